"""Thumbnails of pictures, whole and without their borders, and hashes of any windows of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from errata.tools.data.firewall.overlay import Box, average_matrix
from errata.tools.errors import OperatorError
from errata.tools.pictures import PictureFault, open_picture

GRID = 128
"""Side of the thumbnail that everything is computed from."""
LARGE = 256
"""Side of the one that is looked at more closely."""
EVEN, SPECKS = 24, 0.01
"""Grey levels within which a border is even, and the share of it that may not be."""
INSIDE, LEAST = 256, 16
"""Borders are looked for in a picture of about this size; pixels of it that have to be left."""

Pixels = NDArray[np.uint8]
Hashes = NDArray[np.uint64]


def read_thumbnail(path: str, *, side: int = GRID) -> Pixels:
    """uint8[side, side, 3], averaged from the whole picture. Raises OperatorError for a broken file."""
    try:
        image = open_picture(path, reduce_to=(2 * side, 2 * side)).image
    except PictureFault as error:
        raise OperatorError(error.what, where=path, value=error.value or None, remedy=error.remedy) from error
    return np.asarray(image.resize((side, side), Image.Resampling.BOX))


class Views(NamedTuple):
    """uint8[128, 128, 3] of a picture, and of what its even border encloses: None for one without a border."""

    whole: Pixels
    bare: Pixels | None


def read_image(path: str, *, bare: bool, side: int = LARGE) -> Image.Image:
    """The picture, or what its border encloses. Raises OperatorError for a broken file."""
    try:
        image = open_picture(path, reduce_to=(2 * side, 2 * side)).image
    except PictureFault as error:
        raise OperatorError(error.what, where=path, value=error.value or None, remedy=error.remedy) from error
    box = find_inside(image) if bare else None
    return image if box is None else image.crop(box)


def read_views(path: str) -> Views:
    """Both views of a picture, decoded once. Raises OperatorError for a broken file."""
    image = read_image(path, bare=False, side=GRID)
    box = find_inside(image)
    small = [image.resize((GRID, GRID), Image.Resampling.BOX, box=part) for part in (None, box)]
    return Views(np.asarray(small[0]), None if box is None else np.asarray(small[1]))


def find_inside(image: Image.Image) -> tuple[int, int, int, int] | None:
    """What lies inside an even border of one colour a side, as left, top, right, bottom; None where there is none."""
    factor = max(1, min(image.size) // INSIDE)
    pixels = np.asarray(image.reduce(factor) if factor > 1 else image)
    turned = pixels.swapaxes(0, 1)
    top, bottom, left, right = (_border_of(side) for side in (pixels, pixels[::-1], turned, turned[::-1]))
    height, width = pixels.shape[:2]
    if not (top or bottom or left or right) or height - top - bottom < LEAST or width - left - right < LEAST:
        return None  # no border, or nothing inside it: an empty picture, or a thin line
    box = left * factor, top * factor, (width - right) * factor, (height - bottom) * factor
    return box[0], box[1], min(box[2], image.width), min(box[3], image.height)


def _border_of(part: Pixels) -> int:
    """How many rows from the first on have the colour of the first, all along."""
    colour = np.median(part[0], axis=0).astype(np.int16)
    low = 0
    for row in part:
        off = np.abs(row.astype(np.int16) - colour).max(axis=1) > EVEN
        if off.mean() > SPECKS:
            break
        low += 1
    return low if low < len(part) else 0


def stack_views(views: Sequence[Views]) -> Pixels:
    """uint8[n, 128, 128, 3] of the whole pictures."""
    return np.stack([view.whole for view in views]) if views else np.zeros((0, GRID, GRID, 3), np.uint8)


def hash_windows(pixels: Pixels, boxes: Sequence[Box]) -> Hashes:
    """uint64[n, boxes]: the same hash of any windows of uint8[n, 128, 128, 3]."""
    waves = np.cos(np.pi / 64 * (np.arange(64) + 0.5) * np.arange(1, 9)[:, None]).astype(np.float32)
    spans = sorted({span for box in boxes for span in (box[:2], box[2:])})
    along = np.stack([waves @ average_matrix(low, high, 64, GRID) for low, high in spans])
    places = [(spans.index(box[:2]), spans.index(box[2:])) for box in boxes]
    grey = pixels.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    rows = np.einsum("vij,njk->nvik", along, grey, optimize=True)
    terms = np.stack([rows[:, down] @ along[across].T for down, across in places], axis=1)
    terms = np.round(terms.reshape(len(pixels), len(boxes), 64), 2)
    bits = terms > np.median(terms, axis=2, keepdims=True)
    hashes = np.packbits(bits, axis=2).view(np.uint64)[..., 0]
    flat = grey.reshape(len(grey), -1)
    hashes[flat.max(axis=1) - flat.min(axis=1) < 1] = 0
    return np.asarray(hashes, dtype=np.uint64)
