"""Questions about what is in the picture of a matrix (P3: visual elicitation).

Coarse questions come first, then fine ones about single panels in an order that is shuffled for each matrix: when they
follow the grid, loss falls fast and perception falls with it, since the order alone says which panel is meant.
`order="grid"` makes the trap on purpose, and `measure_grid_order` finds it in any questions.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

from errata.tools.records import Problem, seed_of
from errata.tools.synthesize.matrices.generate import Governed, Matrix
from errata.tools.synthesize.matrices.layout import CONFIGURATIONS, TYPES, Attribute, Component, Scale, scale_of
from errata.tools.synthesize.matrices.rules import KINDS, STEPS, Rule, possible_kinds
from errata.tools.synthesize.matrices.settings import MatrixSettings
from errata.tools.synthesize.matrices.solve import value_of
from errata.tools.synthesize.matrices.words import (
    NOUNS,
    join_words,
    name_attribute,
    name_change,
    name_place,
    name_scales,
)

Level = Literal["coarse", "fine", "rule"]
OPTIONS = 4


class Asked(NamedTuple):
    """One question, its options in the order they are shown, and the right one."""

    level: Level
    question: str
    options: tuple[str, ...]
    answer: str
    skill: str
    place: int = -1
    """Of the panel: row by row, then the candidates; -1 for the whole picture."""


def ask_matrix(matrix: Matrix, *, settings: MatrixSettings) -> list[Asked]:
    """Coarse, then fine, then about rules."""
    rng = random.Random(seed_of("perception", matrix.seed))
    coarse = rng.sample(_COARSE, settings.coarse)
    asked = [ask(matrix, rng) for ask in sorted(coarse, key=_COARSE.index)]
    fine = _ask_fine(matrix, rng, settings)
    asked += sorted(fine, key=lambda a: a.place) if settings.order == "grid" else fine
    chosen = rng.sample(matrix.rules, min(settings.rules, len(matrix.rules)))
    return asked + [_ask_rule(governed, matrix, rng, settings) for governed in chosen]


def _with_options(
    rng: random.Random, others: Sequence[object], answer: object, *, count: int = OPTIONS
) -> tuple[str, ...]:
    """The answer among others, shuffled."""
    rest = [str(other) for other in others if str(other) != str(answer)]
    options = [str(answer), *rng.sample(rest, min(count - 1, len(rest)))]
    rng.shuffle(options)
    return tuple(options)


def _near(rng: random.Random, value: int, scale: Scale) -> range:
    """Six numbers in a row that hold the value anywhere, so that a middle one is no more likely right than an end."""
    width = min(6, scale.values)
    first = rng.randint(max(scale.low, value - width + 1), min(value, scale.high - width + 1))
    return range(first, first + width)


def _count_panels(matrix: Matrix, rng: random.Random) -> Asked:
    count = 3 * matrix.columns
    options = _with_options(rng, [3 * c for c in range(2, 11)], count)
    text = "How many places does the matrix have, with the one of the question mark?"
    return Asked("coarse", text, options, str(count), "count the panels of a matrix")


def _count_candidates(matrix: Matrix, rng: random.Random) -> Asked:
    count = len(matrix.candidates)
    text = "How many candidate answers stand below the matrix?"
    return Asked("coarse", text, _with_options(rng, [4, 5, 6, 7, 8, 9, 10], count), str(count), "count candidates")


def _name_layout(matrix: Matrix, rng: random.Random) -> Asked:
    words = matrix.configuration.words
    options = _with_options(rng, [c.words for c in CONFIGURATIONS.values()], words)
    return Asked("coarse", "How are the panels laid out?", options, words, "name the layout of panels in a matrix")


def _count_columns(matrix: Matrix, rng: random.Random) -> Asked:
    options = _with_options(rng, range(2, 11), matrix.columns)
    text = "How many panels stand side by side in a row of the matrix?"
    return Asked("coarse", text, options, str(matrix.columns), "count the columns of a matrix")


_COARSE: list[Callable[[Matrix, random.Random], Asked]] = [
    _count_panels,
    _count_columns,
    _name_layout,
    _count_candidates,
]


def name_panel(place: int, columns: int) -> str:
    """`row 1, column 2`, or `candidate C`."""
    if place >= 3 * columns - 1:
        return f"candidate {chr(ord('A') + place - 3 * columns + 1)}"
    return f"row {place // columns + 1}, column {place % columns + 1}"


def _ask_fine(matrix: Matrix, rng: random.Random, settings: MatrixSettings) -> list[Asked]:
    """Different questions about panels and candidates, in random order."""
    panels = [*matrix.context, *matrix.candidates]
    asked: dict[str, Asked] = {}
    for _ in range(settings.fine * 20):
        if len(asked) == settings.fine:
            break
        place, number = rng.randrange(len(panels)), rng.randrange(len(matrix.configuration.components))
        component, state = matrix.configuration.components[number], panels[place][number]
        where, slots = name_panel(place, matrix.columns), len(component.slots)
        kinds: list[Attribute] = [*component.looks, *(("number", "position") if slots > 1 else ())]
        attribute = rng.choice(kinds)
        value = value_of(state, attribute)
        if value is None:
            continue
        if attribute == "position":
            made = _ask_place(state.mask, component, where, place, rng)
        else:
            made = _ask_value(attribute, value, component, where, place, rng, settings)
        asked.setdefault(made.question, made)
    return list(asked.values())


def _ask_place(mask: int, component: Component, where: str, place: int, rng: random.Random) -> Asked:
    """About a filled or an empty place, as likely the one as the other where both are there."""
    slots = len(component.slots)
    wanted = rng.random() < 0.5
    found = [s for s in range(slots) if bool(mask >> s & 1) == wanted] or list(range(slots))
    slot = rng.choice(found)
    answer = "yes" if mask >> slot & 1 else "no"
    inner = f" of the {component.name} grid" if component.name else ""
    text = f"Is there an object in the {name_place(slot, slots)} place{inner} of {where}?"
    return Asked("fine", text, ("yes", "no"), answer, "tell whether a place of a panel is filled", place)


def _ask_value(
    attribute: Attribute,
    value: int,
    component: Component,
    where: str,
    place: int,
    rng: random.Random,
    settings: MatrixSettings,
) -> Asked:
    scale = scale_of(attribute, slots=len(component.slots), levels=settings.levels)
    subject = name_attribute(attribute, component)
    scales = f" {name_scales(settings.levels)}" if attribute in ("size", "colour") else ""
    text = f"What is {subject} in {where}?{scales}"
    if attribute == "type":
        options, answer = _with_options(rng, TYPES, TYPES[value - 1]), TYPES[value - 1]
    else:
        options, answer = _with_options(rng, _near(rng, value, scale), value), str(value)
    return Asked("fine", text, options, answer, f"read the {NOUNS[attribute]} in one panel of a matrix", place)


def _ask_rule(governed: Governed, matrix: Matrix, rng: random.Random, settings: MatrixSettings) -> Asked:
    """Which rule one attribute follows; the options are what it could do in a matrix of this size."""
    component, attribute = matrix.configuration.components[governed.component], governed.attribute
    slots = len(component.slots)
    scale = scale_of(attribute, slots=slots, levels=settings.levels)
    kinds = possible_kinds(attribute, scale=scale, columns=matrix.columns)
    rules = [Rule(k, s) for k in KINDS for s in _steps_of(k) if k in kinds or k == "constant"]
    right = name_change(governed.rule, attribute, matrix.columns)
    options = _with_options(rng, [name_change(rule, attribute, matrix.columns) for rule in rules], right)
    order = f" The order of shapes is {join_words(TYPES)}." if attribute == "type" else ""
    text = f"What does {name_attribute(attribute, component)} do along each row?{order}"
    return Asked("rule", text, options, right, f"name the rule that the {NOUNS[attribute]} follows in a matrix")


def _steps_of(kind: str) -> tuple[int, ...]:
    return {"progression": STEPS, "arithmetic": (1, -1)}.get(kind, (0,))


def measure_grid_order(problems: Sequence[Problem]) -> float:
    """Share of matrices, among those with three fine questions or more, whose fine questions follow the grid.

    Shuffled ones do so by chance: once in six with three questions, once in 120 with five.
    """
    places: dict[str, list[int]] = defaultdict(list)
    for problem in problems:
        if problem.metadata.get("level") == "fine":
            places[problem.metadata["matrix"]].append(problem.metadata["place"])
    long = [found for found in places.values() if len(found) >= 3]
    return sum(found == sorted(found) for found in long) / len(long) if long else 0.0
