"""One matrix from a seed: rules, rows, candidates.

Candidates are made by attribute bisection (I-RAVEN, arXiv 2002.06838): three attributes, for each the answer's value
and one other, and all eight combinations. That alone does not hide the answer, since some values are answers more
often than others (sums are large). So the other value is the answer of a second drawing of rows of the same attribute,
and both are drawn again while they are equal: which of the two belongs to the matrix cannot be told from the pair.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from errata.tools.records import seed_of
from errata.tools.synthesize.matrices.layout import CONFIGURATIONS, Attribute, Component, Configuration, scale_of
from errata.tools.synthesize.matrices.rules import (
    ROWS,
    Drawn,
    Kind,
    Rule,
    draw_mask,
    draw_rows,
    explain_rows,
    possible_kinds,
)
from errata.tools.synthesize.matrices.settings import MatrixSettings

VERSION = 1
CANDIDATES = 8
_TRIES = 10_000


class State(NamedTuple):
    """One component of one panel. `looks` holds type, size and colour of every slot, filled or not."""

    mask: int
    looks: tuple[tuple[int, int, int], ...]

    @property
    def objects(self) -> tuple[tuple[int, tuple[int, int, int]], ...]:
        """(slot, looks) of each object that is there."""
        return tuple((slot, looks) for slot, looks in enumerate(self.looks) if self.mask >> slot & 1)


Panel = tuple[State, ...]
"""One state for each component of the configuration."""


class Governed(NamedTuple):
    """A rule of the matrix, and the rows of values that follow it."""

    component: int
    attribute: Attribute
    rule: Rule
    rows: tuple[tuple[int, ...], ...]


class Matrix(NamedTuple):
    """`panels` are all three rows, the last of them the answer; it is also `candidates[answer]`."""

    serial: int
    """The index it was made from."""
    seed: int
    """Of everything that is drawn after the matrix: wordings, turns, order of questions."""
    configuration: Configuration
    columns: int
    panels: tuple[Panel, ...]
    candidates: tuple[Panel, ...]
    answer: int
    rules: tuple[Governed, ...]
    noise: tuple[tuple[int, Attribute], ...]
    changed: tuple[tuple[int, Attribute], ...]
    """The attributes in which candidates differ."""

    @property
    def context(self) -> tuple[Panel, ...]:
        """What is shown of the matrix."""
        return self.panels[:-1]


class _Plan(NamedTuple):
    """One attribute of one component: its rows, and the value that rivals the answer's."""

    component: int
    attribute: Attribute
    drawn: Drawn
    rival: int
    masks: tuple[tuple[int, ...], ...] = ()
    """For a number: the places of every panel."""
    rival_mask: int = 0


def make_matrix(index: int, *, settings: MatrixSettings) -> Matrix:
    """The matrix of this index; its own generator, so that any process can make any matrix, and any split others."""
    rng = random.Random(seed_of("matrix", VERSION, settings.split, settings.seed, index))
    names = settings.configurations
    configuration = CONFIGURATIONS[names[index % len(names)]]
    plans: list[_Plan] = []
    noise: list[tuple[int, Attribute]] = []
    for number, component in enumerate(configuration.components):
        made, without_rule = _plan_component(number, component, rng, settings)
        plans += made
        noise += [(number, attribute) for attribute in without_rule]
    changed = rng.sample(range(len(plans)), 3)
    panels = _build_panels(configuration, plans, noise, rng, settings)
    if settings.candidates == "bisection":
        offered = [{i for bit, i in enumerate(changed) if choice >> bit & 1} for choice in range(CANDIDATES)]
        built = [_vary(panels[-1], [plans[i] for i in chosen]) for chosen in offered]
    else:
        changed = list(range(len(plans)))
        built = [panels[-1], *_single_changes(panels[-1], plans, rng, configuration, settings)]
    order = rng.sample(range(CANDIDATES), CANDIDATES)
    return Matrix(
        serial=index,
        seed=rng.getrandbits(63),
        configuration=configuration,
        columns=settings.columns,
        panels=tuple(panels),
        candidates=tuple(built[i] for i in order),
        answer=order.index(0),
        rules=tuple(Governed(p.component, p.attribute, p.drawn.rule, p.drawn.rows) for p in plans),
        noise=tuple(noise),
        changed=tuple((plans[i].component, plans[i].attribute) for i in changed),
    )


def _plan_component(
    number: int, component: Component, rng: random.Random, settings: MatrixSettings
) -> tuple[list[_Plan], list[Attribute]]:
    """Rules of one component, and the attribute that follows none."""
    plans = [_plan_places(number, len(component.slots), rng, settings.columns)] if len(component.slots) > 1 else []
    noise: list[Attribute] = []
    if plans and rng.random() < settings.noise:
        shown = [mask for row in _masks(plans[0]) for mask in row][:-1]
        choice = rng.choice(component.looks)
        if any(mask.bit_count() > 1 for mask in shown):
            noise.append(choice)
    for attribute in component.looks:
        if attribute not in noise:
            plans.append(_plan_look(number, attribute, len(component.slots), rng, settings))
    return plans, noise


def _plan_look(
    number: int, attribute: Attribute, slots: int, rng: random.Random, settings: MatrixSettings
) -> _Plan:
    """Kinds of rules are drawn once and evenly; the rows are drawn again while answer and rival are equal."""
    scale = scale_of(attribute, slots=slots, levels=settings.levels)
    kinds = possible_kinds(attribute, scale=scale, columns=settings.columns)
    first, second = rng.choice(kinds), rng.choice(kinds)
    for _ in range(_TRIES):
        drawn, rival = (
            draw_rows(kind, rng, attribute=attribute, scale=scale, slots=slots, columns=settings.columns)
            for kind in (first, second)
        )
        if drawn.answer != rival.answer:
            return _Plan(number, attribute, drawn, rival.answer)
    raise AssertionError(f"{attribute}: {first} and {second} have only one answer")


def place_rules(slots: int, columns: int) -> list[tuple[Attribute, Kind]]:
    """What can govern the places of a grid, each as likely as the others (RAVEN)."""
    pairs: list[tuple[Attribute, Kind]] = []
    for attribute in ("position", "number"):
        scale = scale_of(attribute, slots=slots)
        pairs += [(attribute, kind) for kind in possible_kinds(attribute, scale=scale, columns=columns)]
    return pairs


def _plan_places(number: int, slots: int, rng: random.Random, columns: int) -> _Plan:
    """A rule over number or over position. The rival comes from a rule over the same of the two."""
    pairs = place_rules(slots, columns)
    attribute, first = rng.choice(pairs)
    second = rng.choice([kind for name, kind in pairs if name == attribute])
    for _ in range(_TRIES):
        one, other = (_draw_places(attribute, kind, slots, rng, columns) for kind in (first, second))
        if one.drawn.answer != other.drawn.answer:
            return one._replace(component=number, rival=other.drawn.answer, rival_mask=_masks(other)[-1][-1])
    raise AssertionError(f"{attribute}: {first} and {second} have only one answer")


def _draw_places(attribute: Attribute, kind: Kind, slots: int, rng: random.Random, columns: int) -> _Plan:
    """Rows of places; under a rule over numbers they are drawn at random, and no rule over positions explains them."""
    scale, places = scale_of(attribute, slots=slots), scale_of("position", slots=slots)
    for _ in range(_TRIES):
        drawn = draw_rows(kind, rng, attribute=attribute, scale=scale, slots=slots, columns=columns)
        if attribute == "position":
            return _Plan(0, attribute, drawn, 0)
        masks = tuple(tuple(draw_mask(rng, slots, count) for count in row) for row in drawn.rows)
        seen = (*masks[:-1], masks[-1][:-1])
        if not explain_rows(seen, attribute="position", scale=places, slots=slots):
            return _Plan(0, attribute, drawn, 0, masks)
    raise AssertionError(f"every draw of {kind} of number has a rule over positions")


def _masks(plan: _Plan) -> tuple[tuple[int, ...], ...]:
    return plan.masks or plan.drawn.rows


def _build_panels(
    configuration: Configuration,
    plans: Sequence[_Plan],
    noise: Sequence[tuple[int, Attribute]],
    rng: random.Random,
    settings: MatrixSettings,
) -> list[Panel]:
    """All panels row by row, the answer last."""
    by_name: Mapping[tuple[int, Attribute], _Plan] = {(p.component, p.attribute): p for p in plans}
    panels = []
    for place in range(ROWS * settings.columns):
        row, column = divmod(place, settings.columns)
        states = []
        for number, component in enumerate(configuration.components):
            slots = len(component.slots)
            governing = by_name.get((number, "position")) or by_name.get((number, "number"))
            mask = _masks(governing)[row][column] if governing else 1
            values: list[list[int]] = []
            for attribute in ("type", "size", "colour"):
                plan = by_name.get((number, attribute))
                if (number, attribute) in noise:
                    values.append(_draw_noise(attribute, mask, slots, rng, settings.levels))
                else:
                    values.append([plan.drawn.rows[row][column] if plan else 0] * slots)
            states.append(State(mask, tuple(zip(*values, strict=True))))
        panels.append(tuple(states))
    return panels


def _draw_noise(attribute: Attribute, mask: int, slots: int, rng: random.Random, levels: int) -> list[int]:
    """Values of every slot; where two objects or more are there, at least two of them differ."""
    scale = scale_of(attribute, slots=slots, levels=levels)
    while True:
        values = [rng.randint(*scale) for _ in range(slots)]
        if mask.bit_count() < 2 or len({values[s] for s in range(slots) if mask >> s & 1}) > 1:
            return values


def _vary(answer: Panel, plans: Sequence[_Plan]) -> Panel:
    """The answer with the rival values of some attributes."""
    states = list(answer)
    for plan in plans:
        value = plan.rival_mask if plan.attribute in ("number", "position") else plan.rival
        states[plan.component] = with_value(states[plan.component], plan.attribute, value)
    return tuple(states)


def with_value(state: State, attribute: Attribute, value: int) -> State:
    """The state with another value for all its objects; for number and position the value is a mask of places."""
    if attribute in ("number", "position"):
        return state._replace(mask=value)
    at = ("type", "size", "colour").index(attribute)
    looks = tuple((*look[:at], value, *look[at + 1 :]) for look in state.looks)
    return state._replace(looks=looks)  # type: ignore[arg-type]


def _single_changes(
    answer: Panel, plans: Sequence[_Plan], rng: random.Random, configuration: Configuration, settings: MatrixSettings
) -> list[Panel]:
    """RAVEN's way: seven different panels that each differ from the answer in one attribute."""
    made: dict[Panel, None] = {}
    while len(made) < CANDIDATES - 1:
        plan = rng.choice(plans)
        slots = len(configuration.components[plan.component].slots)
        if plan.attribute in ("number", "position"):
            value = draw_mask(rng, slots)
            same = value.bit_count() == plan.drawn.answer if plan.attribute == "number" else value == plan.drawn.answer
        else:
            value = rng.randint(*scale_of(plan.attribute, slots=slots, levels=settings.levels))
            same = value == plan.drawn.answer
        if not same:
            state = with_value(answer[plan.component], plan.attribute, value)
            made[(*answer[: plan.component], state, *answer[plan.component + 1 :])] = None
    return list(made)
