"""Drawing a matrix with its candidates: gray PNG of any width, three rows above, candidates A to H below.

Every object is inscribed in a circle, so that its size is one radius whatever its shape and turn. What carries no
meaning (turn, outline, shift, ground, and the uncertainty of sizes and colours) is drawn by its own generator, in the
same way for the panels and for the candidates.
"""

from __future__ import annotations

import io
import random
from functools import cache
from math import cos, pi, sin
from typing import TYPE_CHECKING, NamedTuple

from errata.tools.records import seed_of
from errata.tools.synthesize.matrices.generate import Matrix, Panel
from errata.tools.synthesize.matrices.layout import Box, Component, scale_of
from errata.tools.synthesize.matrices.settings import MatrixSettings

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont, ImageFont

SIDES = {1: 3, 2: 4, 3: 5, 4: 6}
"""Corners by value of the type; the circle has none."""
TURNS = (-90, -45, 0, 45, 90, 135, 180)
"""Degrees, as in RAVEN."""
INK, PAPER = 0, 255
GROUNDS = (255, 247, 239)
GAP, MARGIN, LABEL, APART = 0.07, 0.1, 0.24, 0.16
"""Shares of a panel: between panels, around, height of a letter's line, between matrix and candidates."""


class Geometry(NamedTuple):
    """Pixels of one picture; corners are those of the upper left."""

    width: int
    height: int
    panel: int
    places: tuple[tuple[int, int], ...]
    """Of the panels row by row, the missing one last."""
    candidates: tuple[tuple[int, int], ...]
    label: int
    """Height of the line above a candidate that holds its letter."""


@cache
def lay_out(pixels: int, columns: int, candidates: int = 8) -> Geometry:
    """Where everything lies in a picture of this width; the height follows."""
    abreast = candidates if columns >= candidates else candidates // 2
    most = max(columns, abreast)
    panel = int(pixels / (most + (most - 1) * GAP + 2 * MARGIN))
    gap, margin, label = max(1, round(panel * GAP)), round(panel * MARGIN), round(panel * LABEL)
    step = panel + gap

    def left(count: int) -> int:
        return (pixels - count * step + gap) // 2

    places = tuple((left(columns) + c * step, margin + r * step) for r in range(3) for c in range(columns))
    top = margin + 3 * step + round(panel * APART)
    lower = tuple(
        (left(abreast) + (i % abreast) * step, top + label + (i // abreast) * (step + label)) for i in range(candidates)
    )
    return Geometry(pixels, lower[-1][1] + panel + margin, panel, places, lower, label)


def draw_matrix(matrix: Matrix, *, settings: MatrixSettings) -> Image:
    """The whole picture, mode L."""
    from PIL import Image, ImageDraw

    at = lay_out(settings.pixels, matrix.columns, len(matrix.candidates))
    picture = Image.new("L", (at.width, at.height), PAPER)
    pen = ImageDraw.Draw(picture)
    rng = random.Random(seed_of("drawn", matrix.seed))
    shown = [*zip(matrix.context, at.places, strict=False), *zip(matrix.candidates, at.candidates, strict=True)]
    for panel, corner in shown:
        picture.paste(_draw_panel(panel, matrix.configuration.components, at.panel, rng, settings), corner)
    picture.paste(_draw_panel((), (), at.panel, None, settings), at.places[-1])
    x, y = at.places[-1]
    middle = (x + at.panel / 2, y + at.panel / 2)
    pen.text(middle, "?", fill=INK, anchor="mm", font=_font(round(at.panel * 0.5)))
    for letter, (x, y) in zip("ABCDEFGH", at.candidates, strict=False):
        place = (x + at.panel / 2, y - at.label * 0.48)
        pen.text(place, letter, fill=INK, anchor="mm", font=_font(round(at.label * 0.8)))
    return picture


@cache
def _font(size: int) -> FreeTypeFont | ImageFont:
    from PIL import ImageFont

    return ImageFont.load_default(max(size, 6))


def _draw_panel(
    panel: Panel,
    components: tuple[Component, ...],
    side: int,
    rng: random.Random | None,
    settings: MatrixSettings,
) -> Image:
    """One panel of `side` pixels, drawn several times larger and averaged down; `rng` is None for the empty one."""
    from PIL import Image, ImageDraw

    over = 4 if side < 256 else 2
    size = side * over
    line = max(over, round(size * 0.012))
    ground = rng.choice(GROUNDS) if rng and settings.confounders > 3 else PAPER
    image = Image.new("L", (size, size), ground)
    pen = ImageDraw.Draw(image)
    if rng:
        inner = size - 2 * line
        for state, component in zip(panel, components, strict=True):
            for slot, looks in state.objects:
                box = component.slots[slot]
                placed = Box(line + box.x * inner, line + box.y * inner, box.half * inner)
                _draw_object(pen, looks, placed, component, rng, settings, line=line)
    pen.rectangle((0, 0, size - 1, size - 1), outline=INK, width=line)
    return image.reduce(over)


def _draw_object(
    pen: ImageDraw,
    looks: tuple[int, int, int],
    box: Box,
    component: Component,
    rng: random.Random,
    settings: MatrixSettings,
    *,
    line: int,
) -> None:
    kind, size, colour = looks
    sizes, colours = (scale_of(name, slots=1, levels=settings.levels) for name in ("size", "colour"))
    half = settings.uncertainty / 2
    off = rng.uniform(-half, half) if half else 0.0
    share = component.smallest + (component.largest - component.smallest) * (size + off - 1) / (sizes.values - 1)
    radius = min(share, 1.0) * box.half
    off = rng.uniform(-half, half) if half and not component.white else 0.0
    fill = round(255 * (1 - min(max(colour + off, 0), colours.high) / colours.high))
    turn = rng.choice(TURNS) if settings.confounders > 0 else 0
    width = line if settings.confounders < 2 else rng.choice((line, round(line * 1.8)))
    x, y = box.x, box.y
    if settings.confounders > 2:
        room = box.half - radius
        x, y = x + rng.uniform(-room, room), y + rng.uniform(-room, room)
    if kind not in SIDES:
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill, outline=INK, width=width)
        return
    points = _corners(SIDES[kind], turn, x, y, radius)
    pen.polygon(points, fill=INK)
    # The outline lies inside: its thickness is the distance between two similar shapes.
    within = radius - width / cos(pi / SIDES[kind])
    if within > 0:
        pen.polygon(_corners(SIDES[kind], turn, x, y, within), fill=fill)


def _corners(sides: int, turn: int, x: float, y: float, radius: float) -> list[tuple[float, float]]:
    """Corners of a regular shape that stands on its base (squares too) before it is turned by degrees."""
    first = pi / sides if sides % 2 == 0 else 0.0
    angles = [first + turn * pi / 180 + 2 * pi * i / sides for i in range(sides)]
    return [(x + radius * sin(a), y - radius * cos(a)) for a in angles]


def encode_png(image: Image) -> bytes:
    """The same pixels give the same bytes."""
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", compress_level=3)
    return buffer.getvalue()
