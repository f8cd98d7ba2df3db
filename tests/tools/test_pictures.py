"""Every kind of picture as people have them: what is seen, what is said to be converted, and what is refused."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from errata.tools.pictures import MAX_PIXELS, PictureFault, open_picture

LEFT, RIGHT = (250, 10, 10), (10, 10, 250)


def halves(size: tuple[int, int] = (40, 20)) -> Image.Image:
    """Red on the left, blue on the right."""
    image = Image.new("RGB", size, LEFT)
    image.paste(Image.new("RGB", (size[0] // 2, size[1]), RIGHT), (size[0] // 2, 0))
    return image


def seen(image: Image.Image, **how: object) -> tuple[Image.Image, tuple[str, ...]]:
    """The picture after it was saved and opened."""
    buffer = io.BytesIO()
    image.save(buffer, **how)  # type: ignore[arg-type]
    return open_picture(io.BytesIO(buffer.getvalue()))


def near(image: Image.Image, place: tuple[int, int], colour: tuple[int, int, int], within: int = 12) -> bool:
    found = image.getpixel(place)
    assert isinstance(found, tuple)
    return all(abs(a - b) <= within for a, b in zip(found, colour, strict=True))


def png(mode: int, depth: int, rows: bytes, *, size: tuple[int, int]) -> bytes:
    """A PNG by hand: `rows` with a filter byte before each."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", *size, depth, mode, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def grey16(values: np.ndarray) -> bytes:
    """A PNG of 16-bit grey."""
    height, width = values.shape
    return png(0, 16, b"".join(b"\0" + row.tobytes() for row in values), size=(width, height))


def test_a_plain_picture_keeps_its_pixels() -> None:
    image, converted = seen(halves(), format="PNG")
    assert image.tobytes() == halves().tobytes()
    assert converted == ()
    assert seen(halves().convert("L"), format="PNG")[1] == ()
    assert seen(halves().convert("P"), format="PNG")[1] == ()
    assert seen(halves().convert("1"), format="PNG")[1] == ()


@pytest.mark.parametrize(
    ("orientation", "size", "left_is"),
    [
        (2, (40, 20), "right"),
        (3, (40, 20), "right"),
        (4, (40, 20), "left"),
        (6, (20, 40), "top"),
        (8, (20, 40), "bottom"),
    ],
)
def test_the_orientation_of_exif_turns_the_picture(orientation: int, size: tuple[int, int], left_is: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    image, converted = seen(halves(), format="JPEG", quality=95, exif=exif)
    assert image.size == size
    places = {"left": (2, 10), "right": (size[0] - 3, 10), "top": (10, 2), "bottom": (10, size[1] - 3)}
    assert near(image, places[left_is], LEFT)
    assert converted == ("turned by its EXIF orientation",)


def test_an_orientation_that_says_nothing_is_nothing() -> None:
    exif = Image.Exif()
    exif[0x0112] = 1
    assert seen(halves(), format="JPEG", exif=exif)[1] == ()
    exif[0x0112] = 77
    assert seen(halves(), format="JPEG", exif=exif)[1] == ("EXIF orientation that does not exist",)


def test_broken_exif_does_not_hide_the_picture() -> None:
    buffer = io.BytesIO()
    halves().save(buffer, format="JPEG", quality=95, exif=b"Exif\0\0II*\0\xff\xff\xff\x7f" + b"\x01" * 20)
    image, _ = open_picture(io.BytesIO(buffer.getvalue()))
    assert near(image, (2, 10), LEFT)


def test_sixteen_bits_of_grey_are_scaled_and_not_cut() -> None:
    values = np.tile(np.linspace(0, 65535, 64).astype(">u2"), (8, 1))
    image, converted = open_picture(io.BytesIO(grey16(values)))
    pixels = np.asarray(image)[0, :, 0]
    assert converted == ("16 bits scaled to 8",)
    assert (pixels[0], pixels[-1]) == (0, 255)
    assert 120 < pixels.mean() < 135
    dark = open_picture(io.BytesIO(grey16(np.full((8, 64), 257, dtype=">u2"))))
    assert np.asarray(dark.image).max() == 1


@pytest.mark.parametrize(
    ("values", "low", "high", "how"),
    [
        (np.linspace(0, 1, 64, dtype=np.float32), 0, 255, "floats scaled to 8 bits"),
        (np.linspace(-5, 900, 64, dtype=np.float32), 0, 255, "floats scaled to 8 bits"),
        (np.linspace(0, 255, 64).astype(np.int32), 0, 255, "32 bits scaled to 8"),
        (np.linspace(0, 65535, 64).astype(np.int32), 0, 255, "16 bits scaled to 8"),
        (np.full(64, 7.5, dtype=np.float32), 0, 0, "floats scaled to 8 bits"),
        (np.full(64, np.nan, dtype=np.float32), 0, 0, "floats scaled to 8 bits"),
    ],
)
def test_deep_pictures_keep_their_range(values: np.ndarray, low: int, high: int, how: str) -> None:
    image, converted = seen(Image.fromarray(np.tile(values, (4, 1))), format="TIFF")
    pixels = np.asarray(image)
    assert (pixels.min(), pixels.max(), converted) == (low, high, (how,))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_becomes_white(mode: str) -> None:
    drawn = Image.new("RGBA", (20, 20), (0, 0, 0, 0))
    drawn.paste((0, 0, 0, 255), (5, 5, 15, 15))
    image, converted = seen(drawn.convert(mode), format="PNG")
    assert near(image, (1, 1), (255, 255, 255), 0)
    assert near(image, (10, 10), (0, 0, 0), 0)
    assert converted == ("transparency laid on white",)


def test_alpha_that_hides_nothing_is_no_conversion() -> None:
    image, converted = seen(halves().convert("RGBA"), format="PNG")
    assert image.tobytes() == halves().tobytes()
    assert converted == ()


def test_half_transparent_is_half_white() -> None:
    image, _ = seen(Image.new("RGBA", (4, 4), (0, 0, 0, 128)), format="PNG")
    assert near(image, (1, 1), (127, 127, 127), 1)


@pytest.mark.parametrize(("mode", "format"), [("CMYK", "JPEG"), ("CMYK", "TIFF"), ("YCbCr", "TIFF"), ("LAB", "TIFF")])
def test_other_colours_are_shown_true(mode: str, format: str) -> None:
    if mode == "LAB":
        from PIL import ImageCms

        profiles = (ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"))
        given = ImageCms.profileToProfile(halves(), *profiles, outputMode="LAB")
    else:
        given = halves().convert(mode)
    image, converted = seen(given, format=format)
    assert near(image, (3, 10), LEFT, 40)
    assert near(image, (36, 10), RIGHT, 40)
    assert converted == (f"colours of mode {mode}",)


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG"])
def test_of_an_animation_the_first_frame_is_shown(format: str) -> None:
    later = Image.new("RGB", (40, 20), (0, 200, 0))
    image, converted = seen(halves(), format=format, save_all=True, append_images=[later], duration=50)
    assert near(image, (3, 10), LEFT, 40)
    assert "first frame of an animation" in converted


def test_a_picture_that_is_too_large_says_its_size(tmp_path: Path) -> None:
    for width, height in ((14_000, 8_000), (20_000, 10_000)):
        rows = (b"\0" + bytes(width // 8)) * 2
        (tmp_path / "wide.png").write_bytes(png(0, 1, rows, size=(width, height)))
        with pytest.raises(PictureFault) as fault:
            open_picture(tmp_path / "wide.png")
        assert fault.value.what == f"picture of more than {MAX_PIXELS:,} pixels"
        assert any(size in fault.value.value for size in (f"{width} x {height}", f"{width * height:,}"))


@pytest.mark.parametrize("kept", [0, 3, 60, 400])
def test_cut_off_and_broken_files_are_refused(kept: int, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.effect_noise((64, 64), 80).save(buffer, format="PNG")
    (tmp_path / "cut.png").write_bytes(buffer.getvalue()[:kept])
    with pytest.raises(PictureFault, match="picture is corrupt; replace the file"):
        open_picture(tmp_path / "cut.png")


def test_a_picture_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(PictureFault, match="no such picture"):
        open_picture(tmp_path / "none.png")
