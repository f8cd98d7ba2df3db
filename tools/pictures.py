"""One way to open a picture, for training, evaluation, the firewall, the report and sheets.

A picture is shown as a person sees it: turned as its EXIF says, 16 bits scaled to 8, transparency laid on white, the
first frame of an animation. The conversions are returned, so that they can be counted. A picture that cannot be shown
is a PictureFault. A plain 8-bit RGB picture keeps its pixels.
"""

from __future__ import annotations

import re
import struct
import warnings
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from PIL import Image

MAX_PIXELS = 100_000_000
ALPHA_MODES = ("RGBA", "LA", "PA", "La", "RGBa")
PLAIN_MODES = ("1", "L", "P", "RGB")
DEEP = re.compile(r"I|F|I;\d+.*")
"""Modes of more than 8 bits a channel."""
ORIENTATION = 0x0112


class PictureFault(ValueError):
    """A picture that cannot be shown; `what` is the cause, `value` its size where that is the cause."""

    def __init__(self, what: str, *, remedy: str, value: str = "") -> None:
        self.what, self.remedy, self.value = what, remedy, value
        super().__init__(f"{what}{f' ({value})' if value else ''}; {remedy}")


class Opened(NamedTuple):
    """A picture as RGB, 8 bits a channel."""

    image: Image.Image
    converted: tuple[str, ...]
    """How it was changed to be shown, e.g. `turned by its EXIF orientation`; empty for a plain picture."""


def open_picture(source: str | Path | IO[bytes], *, reduce_to: tuple[int, int] | None = None) -> Opened:
    """Decode the whole picture. Raises PictureFault.

    `reduce_to`: a JPEG may be decoded at a fraction of its size, never below this width and height.
    """
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Pillow about sizes and broken metadata: both are handled here
            with Image.open(source) as opened:
                check_pixels(*opened.size)
                if reduce_to is not None:
                    opened.draft("RGB", reduce_to)
                return _show(opened)
    except Image.DecompressionBombError as error:
        size = re.search(r"\d{6,}", str(error))
        value = f"{int(size[0]):,} pixels" if size else ""
        what = f"picture of more than {MAX_PIXELS:,} pixels"
        raise PictureFault(what, remedy="scale it down", value=value) from error
    except FileNotFoundError as error:
        raise PictureFault("no such picture", remedy="copy it there or mend the path") from error
    except (OSError, SyntaxError, EOFError, ValueError, struct.error) as error:
        if isinstance(error, PictureFault):
            raise
        raise PictureFault("picture is corrupt", remedy="replace the file") from error


def read_size(source: str | Path) -> tuple[int, int]:
    """Width and height as the picture is shown; only its header is read. Raises PictureFault."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(source) as opened:
                width, height = opened.size
                orientation = opened.getexif().get(ORIENTATION, 1) if opened.format in ("JPEG", "TIFF", "WEBP") else 1
    except (OSError, SyntaxError, EOFError, ValueError, TypeError, KeyError, struct.error, ZeroDivisionError):
        return open_picture(source).image.size
    check_pixels(width, height)
    return (height, width) if orientation in (5, 6, 7, 8) else (width, height)


def check_pixels(width: int, height: int) -> None:
    """Raise PictureFault for a picture that is too large; only its header was read."""
    if width * height > MAX_PIXELS:
        size = f"{width} x {height} pixels"
        raise PictureFault(f"picture of more than {MAX_PIXELS:,} pixels", remedy="scale it down", value=size)


def _show(opened: Any) -> Opened:
    """The picture as RGB, with what was done to it."""
    converted: list[str] = []
    frames = getattr(opened, "n_frames", 1)
    if frames > 1:
        converted.append("first frame of an animation")
    opened.load()
    image, turn = _turn(opened)
    converted += turn
    if DEEP.fullmatch(image.mode):
        image, how = _scale_down(image)
        converted.append(how)
    elif image.mode in ALPHA_MODES or "transparency" in opened.info:
        image, laid = _lay_on_white(image)
        converted += laid
    elif image.mode == "LAB":
        from PIL import ImageCms

        image = ImageCms.profileToProfile(
            image, ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), outputMode="RGB"
        )
        converted.append("colours of mode LAB")
    elif image.mode not in PLAIN_MODES:
        converted.append(f"colours of mode {image.mode}")
    return Opened(image.convert("RGB"), tuple(converted))


def _turn(opened: Any) -> tuple[Any, list[str]]:
    """Turn and mirror by the EXIF orientation; a broken EXIF block is ignored and said."""
    from PIL import ImageOps

    try:
        orientation = opened.getexif().get(ORIENTATION, 1)
        if orientation in range(2, 9):
            return ImageOps.exif_transpose(opened), ["turned by its EXIF orientation"]
    except (SyntaxError, ValueError, TypeError, KeyError, OSError, EOFError, struct.error, ZeroDivisionError):
        return opened, ["EXIF that cannot be read"]
    return opened, ["EXIF orientation that does not exist"] if orientation != 1 else []


def _scale_down(image: Any) -> tuple[Any, str]:
    """Grey of 16 or 32 bits, or of floats, to 8 bits: the range of 16 bits, else from the least to the largest."""
    import numpy as np
    from PIL import Image

    values = np.nan_to_num(np.asarray(image, dtype=np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(values.min()), float(values.max())
    if image.mode.startswith("I;16") or (image.mode == "I" and low >= 0 and 255 < high <= 65535):
        low, high, how = 0.0, 65535.0, "16 bits scaled to 8"
    elif image.mode == "I" and low >= 0 and high <= 255:
        low, high, how = 0.0, 255.0, "32 bits scaled to 8"
    elif image.mode == "F" and low >= 0 and high <= 1:
        low, high, how = 0.0, 1.0, "floats scaled to 8 bits"
    else:
        how = "floats scaled to 8 bits" if image.mode == "F" else "32 bits scaled to 8"
    spread = (values - low) * (255.0 / (high - low)) if high > low else np.zeros_like(values)
    return Image.fromarray(np.rint(spread).clip(0, 255).astype(np.uint8), "L"), how


def _lay_on_white(image: Any) -> tuple[Any, list[str]]:
    """Transparent parts become white; a picture whose alpha is full everywhere is only converted."""
    from PIL import Image

    premultiplied = {"La": "LA", "RGBa": "RGBA"}.get(image.mode)
    whole = (image.convert(premultiplied) if premultiplied else image).convert("RGBA")
    if whole.getchannel("A").getextrema() == (255, 255):
        return whole.convert("RGB"), []
    white = Image.new("RGBA", whole.size, "white")
    return Image.alpha_composite(white, whole), ["transparency laid on white"]
