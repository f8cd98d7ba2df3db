"""Reading the panels of a drawn matrix back from pixels: which places are filled, with which shape, size and colour.

Each object is compared with every shape, size and turn, drawn as coverage of pixels. What is read is not one value but
all that the pixels do not rule out: shapes and sizes almost as near as the nearest, and the grays around one that a
palette has moved.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from math import cos, pi, sin
from typing import TYPE_CHECKING, NamedTuple

from errata.tools.synthesize.matrices.layout import Box

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TURNS = tuple(range(0, 360, 45))
_OVER = 8
_ALIKE, _SPARE = 1.5, 0.07
"""An error (mean squared coverage) of at most this many times the least, plus this over the side of the slot in pixels
(edges are uncertain, and small objects are mostly edge), rules nothing out."""
_EXACT, _MOVED, _WHITE = 3, 30, 245
"""Gray levels: a fill this near is that colour; else all colours within the second are possible; above, white."""
_LEAST = 9
"""Pixels of a fill from which its colour can be read."""
_FILLED = 0.03
"""Least share of a slot that an object covers; the smallest one covers 0.05."""


class Object(NamedTuple):
    """What was read: values that are possible, the nearest first."""

    type: tuple[int, ...]
    size: tuple[int, ...]
    colour: tuple[int, ...]


class Style(NamedTuple):
    """How a generator draws, as measured on its pictures; lengths in pixels."""

    grays: tuple[int, ...]
    """By colour."""
    scale: float = 1.0
    """Side of a panel over the side of its inside."""
    edge: float = 0.0
    """How far an outline reaches over the radius."""
    offset: float = 0.0
    """Of middles, to the right and down."""


class Group(NamedTuple):
    """Slots to be read. `outer`: what touches the ground; `inner`: what lies inside that."""

    slots: tuple[Box, ...]
    radii: tuple[float, ...]
    """By size, as shares of half a slot."""
    layer: str = "outer"


def read_panel(pixels: NDArray[np.uint8], groups: Sequence[Group], *, style: Style) -> list[dict[int, Object]]:
    """Objects by slot for each group; `pixels` are gray [side, side] without the frame."""
    layers = _split_layers(pixels)
    return [_read_slots(pixels, layers[group.layer], group, style) for group in groups]


def _split_layers(pixels: NDArray[np.uint8]) -> Mapping[str, NDArray[np.float64]]:
    """Coverage of the objects on the ground, and of those inside the largest white area of one."""
    import numpy as np
    from scipy import ndimage

    white = pixels >= 250
    areas, _ = ndimage.label(white)
    border = np.unique(np.concatenate([areas[0], areas[-1], areas[:, 0], areas[:, -1]]))
    ground = np.isin(areas, border[border > 0])
    outer = _cover(pixels, ground)
    sizes = np.bincount(areas.ravel())
    sizes[[0, *border]] = 0
    ring = areas == sizes.argmax() if sizes.max() > 0 else np.zeros_like(white)
    inside = ndimage.binary_fill_holes(ring)
    return {"outer": outer, "inner": np.where(inside, _cover(pixels, ring | ~inside), 0.0)}


def _cover(pixels: NDArray[np.uint8], ground: NDArray[np.bool_]) -> NDArray[np.float64]:
    """1 within objects, 0 outside; on the edge, which is black ink on white, as much as is black."""
    import numpy as np
    from scipy import ndimage

    edge = ndimage.binary_dilation(ground, structure=np.ones((3, 3))) & ~ground
    return np.where(ground, 0.0, np.where(edge, (255.0 - pixels) / 255.0, 1.0))


def _read_slots(
    pixels: NDArray[np.uint8], cover: NDArray[np.float64], group: Group, style: Style
) -> dict[int, Object]:
    import numpy as np

    side = len(pixels)
    found: dict[int, Object] = {}
    for number, box in enumerate(group.slots):
        left, top = round((box.x - box.half) * side), round((box.y - box.half) * side)
        width = round(2 * box.half * side)
        window = np.s_[max(top, 0) : top + width, max(left, 0) : left + width]
        seen, grays = cover[window], pixels[window]
        if seen.mean() < _FILLED:
            continue
        x, y = box.x * side + style.offset - max(left, 0), box.y * side + style.offset - max(top, 0)
        radii = tuple(round(share * box.half * side * style.scale + style.edge, 2) for share in group.radii)
        templates, names = _templates(seen.shape, (round(x, 2), round(y, 2)), radii)
        found[number] = _match(seen, grays, templates, names, style)
    return found


def _match(
    seen: NDArray[np.float64],
    grays: NDArray[np.uint8],
    templates: NDArray[np.float64],
    names: Sequence[tuple[int, int]],
    style: Style,
) -> Object:
    import numpy as np
    from scipy import ndimage

    errors = ((templates - seen.ravel()) ** 2).mean(axis=1)
    order = errors.argsort(kind="stable")
    limit = float(errors[order[0]]) * _ALIKE + _SPARE / seen.shape[0]
    possible = [names[i] for i in order if errors[i] <= limit]
    inside = templates[order[0]].reshape(seen.shape) * seen > 0.99
    middle = ndimage.binary_erosion(inside, iterations=2)
    colours = tuple(range(len(style.grays)))
    if middle.sum() >= _LEAST:
        colours = _name_colours(float(np.median(grays[middle])), style.grays)
    types, sizes = (tuple(dict.fromkeys(values)) for values in zip(*possible, strict=True))
    return Object(types, sizes, colours)


def _name_colours(fill: float, grays: Sequence[int]) -> tuple[int, ...]:
    order = sorted(range(len(grays)), key=lambda level: abs(grays[level] - fill))
    if fill >= _WHITE or abs(grays[order[0]] - fill) <= _EXACT:
        return (order[0],)
    return tuple(level for level in order if abs(grays[level] - fill) <= _MOVED)


@cache
def _templates(
    shape: tuple[int, int], middle: tuple[float, float], radii: tuple[float, ...]
) -> tuple[NDArray[np.float64], list[tuple[int, int]]]:
    """Coverage [templates, pixels] of every type, size and turn, and their (type, size)."""
    import numpy as np
    from PIL import Image, ImageDraw

    drawn: list[NDArray[np.float64]] = []
    names: list[tuple[int, int]] = []
    for size, length in enumerate(radii, start=1):
        for kind in range(1, 6):
            for turn in TURNS if kind < 5 else (0,):
                image = Image.new("L", (shape[1] * _OVER, shape[0] * _OVER), 0)
                pen = ImageDraw.Draw(image)
                x, y, radius = middle[0] * _OVER, middle[1] * _OVER, length * _OVER
                if kind == 5:
                    pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
                else:
                    pen.polygon(_corners(kind + 2, turn, x, y, radius), fill=255)
                drawn.append(np.asarray(image.reduce(_OVER), dtype=np.float64).ravel() / 255)
                names.append((kind, size))
    return np.stack(drawn), names


def _corners(sides: int, turn: int, x: float, y: float, radius: float) -> list[tuple[float, float]]:
    first = pi / 4 if sides == 4 else 0.0
    angles = [first + turn * pi / 180 + 2 * pi * i / sides for i in range(sides)]
    return [(x + radius * sin(a), y - radius * cos(a)) for a in angles]
