"""What a teacher sees of a picture: the file's own bytes, or what is shown where it has to be converted for that."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import pytest
from PIL import Image

from errata.tools.errors import OperatorError
from errata.tools.records import ImageRef
from errata.tools.teacher.chat_asking import show_picture


def shown(path: Path) -> tuple[str, bytes]:
    """Kind and bytes of the data URL."""
    head, _, body = show_picture(ImageRef(path=str(path), sha256=""))["image_url"]["url"].partition(";base64,")
    return head.removeprefix("data:image/"), base64.b64decode(body)


def test_a_plain_file_goes_as_it_is(tmp_path: Path) -> None:
    Image.new("RGB", (8, 4), "red").save(tmp_path / "a.jpg")
    assert shown(tmp_path / "a.jpg") == ("jpeg", (tmp_path / "a.jpg").read_bytes())


def test_a_turned_picture_goes_as_a_person_sees_it(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (8, 4), "red").save(tmp_path / "a.jpg", exif=exif)
    kind, data = shown(tmp_path / "a.jpg")
    assert kind == "png"
    assert Image.open(io.BytesIO(data)).size == (4, 8)


def test_a_broken_or_missing_picture_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"\x89PNG no more")
    with pytest.raises(OperatorError, match="picture is corrupt; replace the file"):
        shown(tmp_path / "a.png")
    with pytest.raises(OperatorError, match="the picture cannot be read"):
        shown(tmp_path / "none.png")
