"""The seven configurations of RAVEN: which components a panel has, where their slots lie, and which values they take.

A component is a group of objects with rules of its own. A slot is a place that holds one object or none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

Attribute = Literal["number", "position", "type", "size", "colour"]
LOOKS: tuple[Attribute, ...] = ("type", "size", "colour")
"""Attributes of each object; number and position are attributes of a component."""
TYPES = ("triangle", "square", "pentagon", "hexagon", "circle")
"""Value 1 is the triangle, 5 the circle, in RAVEN's order."""
SIZES, COLOURS = 6, 10
"""RAVEN's ranges: sizes 1 (smallest) to 6, colours 0 (white) to 9 (black)."""


class Scale(NamedTuple):
    """Whole values from low to high, both included."""

    low: int
    high: int

    @property
    def values(self) -> int:
        """How many values there are."""
        return self.high - self.low + 1


class Box(NamedTuple):
    """A square within a panel whose side is 1: middle and half a side."""

    x: float
    y: float
    half: float


class Component(NamedTuple):
    """One group of objects. `white` is the outer component, whose colour stays 0 so that the inner one is seen."""

    name: str
    """As texts call it; empty where the panel has this component alone."""
    slots: tuple[Box, ...]
    white: bool = False
    smallest: float = 0.4
    largest: float = 0.92
    """Radii of the smallest and the largest size, as shares of half a slot."""

    @property
    def looks(self) -> tuple[Attribute, ...]:
        """The attributes of objects that can follow a rule."""
        return LOOKS[:2] if self.white else LOOKS


class Configuration(NamedTuple):
    """How the panels of one matrix are laid out."""

    name: str
    words: str
    """For questions and answers."""
    components: tuple[Component, ...]


def _grid(side: int, *, middle: float = 0.5, width: float = 1.0) -> tuple[Box, ...]:
    """Slots row by row."""
    step = width / side
    first = middle - width / 2 + step / 2
    return tuple(Box(first + c * step, first + r * step, step / 2) for r in range(side) for c in range(side))


_OUTER = Component("outer", (Box(0.5, 0.5, 0.5),), white=True, smallest=0.74, largest=0.98)
"""A triangle's inner circle has half its radius: what lies inside has to fit into 0.74 / 4 of a panel."""

CONFIGURATIONS: Mapping[str, Configuration] = {
    c.name: c
    for c in (
        Configuration("centre", "a single object", (Component("", (Box(0.5, 0.5, 0.5),)),)),
        Configuration("grid2", "a 2x2 grid of places", (Component("", _grid(2)),)),
        Configuration("grid3", "a 3x3 grid of places", (Component("", _grid(3)),)),
        Configuration(
            "left-right",
            "one object on the left and one on the right",
            (Component("left", (Box(0.25, 0.5, 0.25),)), Component("right", (Box(0.75, 0.5, 0.25),))),
        ),
        Configuration(
            "up-down",
            "one object above and one below",
            (Component("upper", (Box(0.5, 0.25, 0.25),)), Component("lower", (Box(0.5, 0.75, 0.25),))),
        ),
        Configuration("out-in", "one object inside another", (_OUTER, Component("inner", (Box(0.5, 0.5, 0.16),)))),
        Configuration(
            "out-in-grid",
            "a 2x2 grid of places inside a large object",
            (_OUTER, Component("inner", _grid(2, width=0.29))),
        ),
    )
}


def scale_of(attribute: Attribute, *, slots: int, levels: int = 0) -> Scale:
    """The values of an attribute. `levels` stands in for RAVEN's number of sizes and colours where it is not 0."""
    if attribute == "number":
        return Scale(1, slots)
    if attribute == "position":
        return Scale(1, 2**slots - 1)
    if attribute == "type":
        return Scale(1, len(TYPES))
    if attribute == "size":
        return Scale(1, levels or SIZES)
    return Scale(0, (levels or COLOURS) - 1)
