"""Drawing a scene, exactly: 64 x 64 pixels, one 16-pixel patch a cell, every shape with a dark outline.

The pole mark is a black bar at the top (north) or the bottom (south) of its cell.
"""

from __future__ import annotations

import io
from functools import cache
from typing import TYPE_CHECKING, Any

from errata.tools.world.scene import SIDE, Cell, Scene

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CELL_PIXELS = 16
IMAGE_PIXELS = CELL_PIXELS * SIDE
_OVER = 8  # drawn eight times larger and averaged down, for even edges
RGB = {
    "red": (214, 39, 40),
    "blue": (31, 90, 200),
    "yellow": (250, 215, 30),
    "green": (40, 150, 60),
    "purple": (140, 60, 170),
    "orange": (255, 140, 20),
}
BACKGROUND = (246, 246, 242)
INK = (20, 20, 20)


def _outline(shape: str, radius: float) -> list[tuple[float, float]]:
    """Corners around (0, 0), y down."""
    from math import cos, pi, sin

    def ring(count: int, turn: float, r: float) -> list[tuple[float, float]]:
        return [(r * sin(2 * pi * i / count + turn), -r * cos(2 * pi * i / count + turn)) for i in range(count)]

    if shape == "triangle":
        return ring(3, 0, radius * 1.1)
    if shape == "square":
        return ring(4, pi / 4, radius * 1.15)
    if shape == "diamond":
        return [(0, -radius), (radius * 0.65, 0), (0, radius), (-radius * 0.65, 0)]
    if shape == "star":
        return [p for pair in zip(ring(5, 0, radius * 1.1), ring(5, pi / 5, radius * 0.45), strict=True) for p in pair]
    arm, end = radius * 0.34, radius
    cross = [(-arm, -end), (arm, -end), (arm, -arm), (end, -arm), (end, arm), (arm, arm)]
    return cross + [(-x, -y) for x, y in cross]


@cache
def _draw_cell(cell: Cell) -> NDArray[np.uint8]:
    import numpy as np
    from PIL import Image, ImageDraw

    side = CELL_PIXELS * _OVER
    image = Image.new("RGB", (side, side), BACKGROUND)
    pen = ImageDraw.Draw(image)
    radius, middle = (6.2 if cell.size == "large" else 3.8) * _OVER, side / 2
    fill = RGB[cell.colour]
    if cell.shape == "circle":
        box = (middle - radius, middle - radius, middle + radius, middle + radius)
        pen.ellipse(box, fill=fill, outline=INK, width=_OVER)
    else:
        points = [(middle + x, middle + y) for x, y in _outline(cell.shape, radius)]
        pen.polygon(points, fill=fill)
        pen.line([*points, *points[:2]], fill=INK, width=_OVER, joint="curve")
    top = 0 if cell.pole == "north" else side - 2 * _OVER
    pen.rectangle((5 * _OVER, top, 11 * _OVER - 1, top + 2 * _OVER - 1), fill=INK)
    return np.asarray(image.resize((CELL_PIXELS, CELL_PIXELS), Image.Resampling.BOX), dtype=np.uint8)


def draw_scene(scene: Scene) -> NDArray[np.uint8]:
    """Pixels of a scene, uint8 [64, 64, 3]."""
    import numpy as np

    tiles = [_draw_cell(cell) for cell in scene.cells]
    rows = [np.concatenate(tiles[i : i + SIDE], axis=1) for i in range(0, len(tiles), SIDE)]
    return np.concatenate(rows, axis=0)


def encode_png(pixels: NDArray[Any]) -> bytes:
    """PNG bytes of uint8 [H, W, 3]; the same pixels give the same bytes."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", compress_level=1)
    return buffer.getvalue()
