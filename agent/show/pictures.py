"""Pictures as data: URLs, for a page in one file."""

from __future__ import annotations

import base64
import io
from pathlib import Path

from errata.tools.pictures import PictureFault, open_picture
from errata.tools.records import Problem

EDGE = 280
"""Longest edge of a thumbnail in pixels; smaller pictures go in as they are."""
PNG = b"\x89PNG"
SMALL = 24_000
"""Bytes up to which a small PNG goes in as it is."""


def thumbnail(problem: Problem) -> str | None:
    """The first picture of a problem as a data: URL; None when there is none, or none that can be read."""
    if not problem.images:
        return None
    path = Path(problem.images[0].path)
    try:
        opened = open_picture(path)
    except PictureFault:
        return None
    picture = opened.image
    if not opened.converted and max(picture.size) <= EDGE:
        content = path.read_bytes()
        if content.startswith(PNG) and len(content) <= SMALL:
            return _data_url(content, "png")
    picture.thumbnail((EDGE, EDGE))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=82)
    return _data_url(buffer.getvalue(), "jpeg")


def _data_url(content: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"
