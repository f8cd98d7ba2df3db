"""Scenes of the embedded world: a 4x4 grid of coloured shapes, each with a size and a pole mark.

A cell is named like a square of a chess board: column `a` to `d`, row `1` to `4` from the top.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

COLOURS = ("red", "blue", "yellow", "green", "purple", "orange")
SHAPES = ("circle", "triangle", "square", "diamond", "star", "cross")
"""In the order in which the rule `progression` walks them, as a ring."""
SIZES = ("small", "large")
POLES = ("north", "south")
SIDE = 4
CELLS = tuple(f"{column}{row}" for row in range(1, SIDE + 1) for column in "abcd")
LINES = tuple([f"row {row}" for row in range(1, SIDE + 1)] + [f"column {column}" for column in "abcd"])

ATTRIBUTES = {"colour": COLOURS, "shape": SHAPES, "size": SIZES, "pole": POLES}


@dataclass(frozen=True)
class Cell:
    """What stands in one place of the grid."""

    colour: str
    shape: str
    size: str
    pole: str

    def matches(self, words: str) -> bool:
        """Whether the cell has every attribute in a description such as `large star`."""
        return set(words.split()) <= {self.colour, self.shape, self.size, self.pole}


@dataclass(frozen=True)
class Scene:
    """Sixteen cells in reading order."""

    cells: tuple[Cell, ...]

    def at(self, name: str) -> Cell:
        """The cell with this name; raises ValueError for a name outside the grid."""
        return self.cells[CELLS.index(name)]

    def find(self, words: str) -> list[str]:
        """Names of all cells that match a description, in reading order."""
        return [name for name, cell in zip(CELLS, self.cells, strict=True) if cell.matches(words)]

    def encode(self) -> str:
        """Four characters a cell; the inverse of `decode_scene`."""
        return "".join(
            f"{COLOURS.index(c.colour)}{SHAPES.index(c.shape)}{SIZES.index(c.size)}{POLES.index(c.pole)}"
            for c in self.cells
        )


def decode_scene(text: str) -> Scene:
    """Read back what `Scene.encode` wrote; raises ValueError on any other text."""
    if len(text) != 4 * len(CELLS) or not text.isdigit():
        raise ValueError(f"a scene has {4 * len(CELLS)} digits, this text has {len(text)} characters")
    digits = [int(d) for d in text]
    quads = [digits[i : i + 4] for i in range(0, len(digits), 4)]
    return Scene(tuple(Cell(COLOURS[c], SHAPES[s], SIZES[z], POLES[p]) for c, s, z, p in quads))


def random_cell(rng: random.Random) -> Cell:
    """A cell with every attribute drawn uniformly."""
    return Cell(rng.choice(COLOURS), rng.choice(SHAPES), rng.choice(SIZES), rng.choice(POLES))


def random_scene(rng: random.Random) -> Scene:
    """Sixteen independent cells."""
    return Scene(tuple(random_cell(rng) for _ in CELLS))


def line_cells(line: str) -> tuple[str, ...]:
    """The four cells of `row 2` (left to right) or `column b` (top to bottom)."""
    kind, name = line.split()
    return tuple(cell for cell in CELLS if cell[1 if kind == "row" else 0] == name)


def mirror_cell(name: str) -> str:
    """The cell at the same height on the other side of the vertical middle line."""
    return "dcba"["abcd".index(name[0])] + name[1]
