"""Pictures as data: URLs, for a page in one file."""

from __future__ import annotations

import base64
import io
from pathlib import Path

from errata.tools.records import Problem

EDGE = 280
"""Longest edge of a thumbnail in pixels; smaller pictures go in as they are."""
SMALL = 24_000
"""Bytes up to which a small PNG goes in as it is."""


def thumbnail(problem: Problem) -> str | None:
    """The first picture of a problem as a data: URL; None when there is none, or none that can be read."""
    if not problem.images:
        return None
    from PIL import Image, UnidentifiedImageError

    path = Path(problem.images[0].path)
    try:
        with Image.open(path) as image:
            if image.format == "PNG" and max(image.size) <= EDGE and path.stat().st_size <= SMALL:
                return _data_url(path.read_bytes(), "png")
            picture = image.convert("RGB")
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError):
        return None
    picture.thumbnail((EDGE, EDGE))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=82)
    return _data_url(buffer.getvalue(), "jpeg")


def _data_url(content: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"
