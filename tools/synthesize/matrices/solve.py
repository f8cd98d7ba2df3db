"""The solver: from what is seen to the one candidate that fits, with the proof.

It sees the panels and the candidates and nothing of how they were made. For each attribute of each component it
finds every rule that explains the rows. An attribute that differs between objects of one panel follows no rule.
Position is tried before number, because a rule over positions explains more.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from errata.tools.synthesize.matrices.generate import Panel, State
from errata.tools.synthesize.matrices.layout import LOOKS, Attribute, Configuration, scale_of
from errata.tools.synthesize.matrices.rules import Rows, Rule, explain_rows


class Explanation(NamedTuple):
    """Every rule that explains one attribute, with the value it gives to the missing panel."""

    component: int
    attribute: Attribute
    rules: dict[Rule, int]


class Solution(NamedTuple):
    """`fits` are the candidates that agree with at least one rule for every attribute that has any."""

    fits: tuple[int, ...]
    explanations: tuple[Explanation, ...]
    noise: tuple[tuple[int, Attribute], ...]
    """Attributes that follow no rule."""

    @property
    def proved(self) -> bool:
        """One candidate alone fits, and each attribute has exactly one rule: the missing panel is known without
        looking at the candidates.
        """
        return len(self.fits) == 1 and all(len(e.rules) == 1 for e in self.explanations)


def solve_matrix(
    context: Sequence[Panel],
    candidates: Sequence[Panel],
    *,
    configuration: Configuration,
    columns: int,
    levels: int = 0,
) -> Solution:
    """`context` are the panels row by row without the last one; raises ValueError for another number of them."""
    if len(context) % columns != columns - 1 or len(context) < 2 * columns:
        raise ValueError(f"{len(context)} panels do not make rows of {columns} with the last one missing")
    explained: list[Explanation] = []
    noise: list[tuple[int, Attribute]] = []
    for number, component in enumerate(configuration.components):
        states = [panel[number] for panel in context]
        slots = len(component.slots)
        names: tuple[Attribute, ...] = (*(("position", "number") if slots > 1 else ()), *component.looks)
        for attribute in names:
            values = [value_of(state, attribute) for state in states]
            seen = [value for value in values if value is not None]
            if len(seen) < len(values):
                noise.append((number, attribute))
                continue
            rules = explain_rows(
                _rows(seen, columns),
                attribute=attribute,
                scale=scale_of(attribute, slots=slots, levels=levels),
                slots=slots,
            )
            if attribute == "number" and explained and explained[-1].attribute == "position":
                continue
            if rules:
                explained.append(Explanation(number, attribute, rules))
            elif attribute != "position":
                noise.append((number, attribute))
    fits = [i for i, panel in enumerate(candidates) if all(_agrees(panel, e) for e in explained)]
    return Solution(tuple(fits), tuple(explained), tuple(noise))


def _rows(values: Sequence[int], columns: int) -> Rows:
    return [values[i : i + columns] for i in range(0, len(values), columns)]


def value_of(state: State, attribute: Attribute) -> int | None:
    """The value that all objects of the state have; None where they differ."""
    if attribute == "position":
        return state.mask
    if attribute == "number":
        return state.mask.bit_count()
    at = LOOKS.index(attribute)
    values = {looks[at] for _, looks in state.objects}
    return values.pop() if len(values) == 1 else None


def _agrees(panel: Panel, explanation: Explanation) -> bool:
    return value_of(panel[explanation.component], explanation.attribute) in explanation.rules.values()
