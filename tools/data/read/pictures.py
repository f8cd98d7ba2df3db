"""Pictures of a row, given as a path, as bytes, as a data URL or as a column of a dataset.

A path must lie within the folder of the data. Bytes are written once into a folder, named by their content.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
from collections import Counter
from pathlib import Path
from typing import Any

from errata.tools.data.check import RowError, Verify, check_bytes, check_image, resolve_path
from errata.tools.errors import OperatorError
from errata.tools.records import ImageRef

_WEB = re.compile(r"(https?|s3|gs|ftp)://", re.IGNORECASE)
MAX_BYTES = 100_000_000
SHORTEST = 64
"""Characters of the shortest picture in base64."""
HEADS = ("iVBORw0KGgo", "/9j/", "R0lGOD", "UklGR", "Qk", "SUkqA", "TU0AK")
"""How PNG, JPEG, GIF, WebP, BMP and TIFF begin in base64."""


class PictureStore:
    """Where the pictures of one source come from and go to; remembers what it has looked at."""

    def __init__(self, *, root: str, folder: Path | None, verify: Verify) -> None:
        """`folder` is for pictures given as bytes; with None they are looked at and not kept."""
        self.root, self.folder, self.verify = root, folder, verify
        self._hashes: dict[str, str] = {}
        self.converted: Counter[str] = Counter()
        """Pictures that are converted to be shown, by how; each picture counts once."""

    def take(self, given: Any) -> ImageRef:
        """A picture as a record, an empty one where none is looked at; raises RowError that says what is wrong."""
        if self.verify == "ignore":
            return ImageRef(path="", sha256="")
        sha256 = ""
        if isinstance(given, dict):
            sha256 = given.get("sha256") or ""
            if not isinstance(sha256, str):
                raise RowError("images", "sha256 is no text", value=sha256, remedy="remove it")
            given = self._unwrap(given)
        if isinstance(given, str) and given[:5].lower() == "data:":
            given = decode_url(given)
        elif isinstance(given, str) and is_base64(given):
            given = decode_base64(given)
        if isinstance(given, (bytes, bytearray, memoryview)):
            return self._keep(bytes(given), sha256=sha256)
        if isinstance(given, str) and _WEB.match(given):
            remedy = "download it and give its path"
            raise RowError("images", "an address on the web", value=given, remedy=remedy)
        path = given.removeprefix("file://") if isinstance(given, str) else given
        full = resolve_path(path, root=self.root)
        if full not in self._hashes or (sha256 and sha256 != self._hashes[full]):
            checked = check_image(full, sha256=sha256, verify=self.verify)
            self._hashes[full] = checked.name
            self.converted.update(checked.converted)
        return ImageRef(path=full, sha256=self._hashes[full])

    @staticmethod
    def _unwrap(given: dict[str, Any]) -> object:
        """What a dict means by bytes (raw, or base64 in a text), url or path."""
        data = given.get("bytes")
        if isinstance(data, str):
            return decode_base64(data)
        if data is not None:
            if not isinstance(data, (bytes, bytearray)):
                raise RowError("images", "bytes are no bytes", value=data, remedy="give base64 or a path")
            return data
        for key in ("path", "url", "image", "image_url"):
            if given.get(key) is not None:
                value = given[key]
                return value.get("url") if isinstance(value, dict) else value
        raise RowError("images", "a picture without a path or bytes", value=given, remedy='give it a "path"')

    def _keep(self, data: bytes, *, sha256: str) -> ImageRef:
        actual = hashlib.sha256(data).hexdigest()
        if sha256 and sha256 != actual:
            remedy = f"the row says {sha256[:12]}, the bytes are {actual[:12]}"
            raise RowError("images", "sha256 differs", value=sha256, remedy=remedy)
        if actual not in self._hashes:
            checked = check_bytes(data, verify=self.verify)
            self.converted.update(checked.converted)
            path = f"{actual}{checked.name}" if self.folder is None else self._write(data, actual + checked.name)
            self._hashes[actual] = path
        return ImageRef(path=self._hashes[actual], sha256=actual)

    def _write(self, data: bytes, name: str) -> str:
        assert self.folder is not None
        path = self.folder.absolute() / name
        try:
            if not (path.is_file() and path.stat().st_size == len(data)):
                self.folder.mkdir(parents=True, exist_ok=True)
                part = path.with_name(f".{name}.{os.getpid()}")
                part.write_bytes(data)
                part.replace(path)
        except OSError as error:
            what = f"a picture cannot be written ({error.strerror})"
            raise OperatorError(what, where=str(path), remedy="make room, or mend the rights") from error
        return str(path)


def is_base64(text: str) -> bool:
    """Whether a text is a picture in base64: long, and it begins as one of the kinds of pictures does."""
    return len(text) >= SHORTEST and text.lstrip().startswith(HEADS) and "." not in text[:SHORTEST]


def decode_url(url: str) -> bytes:
    """The bytes of a data URL; raises RowError."""
    head, comma, body = url.partition(",")
    if not comma or not head.lower().endswith(";base64"):
        remedy = "write data:image/png;base64,..."
        raise RowError("images", "a data URL without base64", value=url[:40], remedy=remedy)
    return decode_base64(body)


def decode_base64(text: str) -> bytes:
    """The bytes behind base64, blanks left out; raises RowError."""
    if len(text) > MAX_BYTES:
        raise RowError("images", f"more than {MAX_BYTES:,} characters", value=len(text), remedy="scale it down")
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        value = f"{text[:20]}... of {len(text)} characters"
        raise RowError("images", f"wrong base64 ({error})", value=value, remedy="encode it again") from error
