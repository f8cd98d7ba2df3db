"""Rules over the rows of a matrix: which rules explain what is seen, and rows that follow a rule.

A row is a list of whole numbers. Positions are bit masks, one bit a slot. Each rule is written twice, once as a
check of rows that are given and once as a draw of new ones; `draw_rows` keeps only rows that the checks explain in
exactly one way.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import reduce
from itertools import pairwise
from operator import or_
from typing import Literal, NamedTuple

from errata.tools.synthesize.matrices.layout import Attribute, Scale

Kind = Literal["constant", "progression", "arithmetic", "distribute"]
KINDS: tuple[Kind, ...] = ("constant", "progression", "arithmetic", "distribute")
STEPS = (-2, -1, 1, 2)
ROWS = 3
_TRIES = 10_000
Rows = Sequence[Sequence[int]]


class Rule(NamedTuple):
    """`step` is that of a progression, and +1 or -1 for arithmetic that adds or takes away; else 0."""

    kind: Kind
    step: int = 0


def explain_rows(
    rows: Rows, *, attribute: Attribute, scale: Scale, slots: int, idle: bool = False
) -> dict[Rule, int]:
    """Every rule that holds in all rows, with the value that it gives to the last place of the last row.

    All rows have n values, except the last with n - 1. A value outside the scale cannot be drawn, so that its rule
    does not hold. Arithmetic needs operands that do something (at least 1; a place that comes or goes), and
    distribution needs rows in different orders: otherwise they would only be other names of constant and progression.
    `idle` lets operands of 0 pass, as RAVEN does.
    """
    position = attribute == "position"
    found: dict[Rule, int] = {}
    if all(len(set(row)) == 1 for row in rows):
        found[Rule("constant")] = rows[-1][0]
    for step in _turns(slots) if position else STEPS:
        move = _mover(step, slots) if position else step.__add__
        if all(move(a) == b != a for row in rows for a, b in pairwise(row)):
            found[Rule("progression", step)] = move(rows[-1][-1])
    if attribute != "type":
        for sign in (1, -1):
            value = _explain_arithmetic(rows, sign, idle, combine=_combine_places if position else _combine_numbers)
            if value is not None:
                found[Rule("arithmetic", sign)] = value
    value = _explain_distribution(rows)
    if value is not None:
        found[Rule("distribute")] = value
    return {rule: value for rule, value in found.items() if scale.low <= value <= scale.high}


def _turns(slots: int) -> list[int]:
    """Steps that move places differently: of four places, two on is two back."""
    return list({step % slots: step for step in STEPS}.values())


def _mover(step: int, slots: int) -> Callable[[int], int]:
    """Moves every place of a mask by `step` slots, row by row and from the last slot to the first."""
    turn = step % slots
    return lambda mask: ((mask << turn) | (mask >> (slots - turn))) & ((1 << slots) - 1)


def _combine_numbers(operands: Sequence[int], sign: int, idle: bool = False) -> int | None:
    """The sum, or the first less the rest; None where an operand does nothing."""
    acting = operands if sign > 0 else operands[1:]
    if not idle and any(value < 1 for value in acting):
        return None
    return sum(operands) if sign > 0 else operands[0] - sum(operands[1:])


def _combine_places(operands: Sequence[int], sign: int, idle: bool = False) -> int | None:
    """All places of all operands, or those of the first that no other has; None where an operand does nothing."""
    mask = operands[0]
    for other in operands[1:]:
        after = mask | other if sign > 0 else mask & ~other
        if not idle and (after == mask or (sign > 0 and after == other)):
            return None
        mask = after
    return mask


def _explain_arithmetic(
    rows: Rows, sign: int, idle: bool, *, combine: Callable[[Sequence[int], int, bool], int | None]
) -> int | None:
    if any(combine(row[:-1], sign, idle) != row[-1] for row in rows[:-1]):
        return None
    return combine(rows[-1], sign, idle)


def _explain_distribution(rows: Rows) -> int | None:
    """The value of the first row that the last row lacks; all rows hold the same different values in other orders."""
    values, last = set(rows[0]), set(rows[-1])
    if len(values) != len(rows[0]) or any(set(row) != values for row in rows[1:-1]) or not last < values:
        return None
    if len(last) != len(rows[-1]) or len({tuple(row[:-1]) for row in rows[:-1]} | {tuple(rows[-1])}) != len(rows):
        return None
    return next(iter(values - last))


def possible_kinds(attribute: Attribute, *, scale: Scale, columns: int) -> tuple[Kind, ...]:
    """The kinds of rules that have room in the scale; a constant number is a constant position (RAVEN)."""
    if attribute == "position":
        slots = scale.high.bit_length()
        return KINDS if columns <= slots // 2 + 2 else ("constant", "progression", "distribute")
    kinds: list[Kind] = [] if attribute == "number" else ["constant"]
    if _steps(scale, columns):
        kinds.append("progression")
    if attribute != "type" and _signs(scale, columns):
        kinds.append("arithmetic")
    if scale.values >= columns:
        kinds.append("distribute")
    return tuple(kinds)


def _steps(scale: Scale, columns: int) -> list[int]:
    return [step for step in STEPS if abs(step) * (columns - 1) < scale.values]


def _signs(scale: Scale, columns: int) -> list[int]:
    least = max(scale.low, 1)
    return [
        sign
        for sign, top in ((1, (columns - 1) * least), (-1, scale.low + (columns - 2) * least))
        if top < scale.high
    ]


class Drawn(NamedTuple):
    """Rows that follow one rule and no other; the last value of the last row is the answer."""

    rule: Rule
    rows: tuple[tuple[int, ...], ...]

    @property
    def answer(self) -> int:
        """What belongs in the missing panel."""
        return self.rows[-1][-1]


def draw_rows(
    kind: Kind, rng: random.Random, *, attribute: Attribute, scale: Scale, slots: int, columns: int
) -> Drawn:
    """Three rows under a rule of this kind, such that no other rule explains them."""
    for _ in range(_TRIES):
        if attribute == "position":
            drawn = _draw_places(kind, rng, slots, columns)
        else:
            drawn = _draw_numbers(kind, rng, scale, columns)
        seen = (*drawn.rows[:-1], drawn.rows[-1][:-1])
        if explain_rows(seen, attribute=attribute, scale=scale, slots=slots) == {drawn.rule: drawn.answer}:
            return drawn
    raise AssertionError(f"no rows for {kind} of {attribute} in {scale}, {columns} columns")


def _draw_numbers(kind: Kind, rng: random.Random, scale: Scale, columns: int) -> Drawn:
    low, high = scale
    if kind == "constant":
        return Drawn(Rule(kind), tuple((rng.randint(low, high),) * columns for _ in range(ROWS)))
    if kind == "progression":
        step = rng.choice(_steps(scale, columns))
        way = step * (columns - 1)
        starts = [rng.randint(low - min(way, 0), high - max(way, 0)) for _ in range(ROWS)]
        return Drawn(Rule(kind, step), tuple(tuple(s + step * i for i in range(columns)) for s in starts))
    if kind == "arithmetic":
        sign = rng.choice(_signs(scale, columns))
        return Drawn(Rule(kind, sign), tuple(_draw_sum(rng, scale, columns, sign) for _ in range(ROWS)))
    return Drawn(Rule(kind), _shift_rows(rng.sample(range(low, high + 1), columns), rng))


def _draw_sum(rng: random.Random, scale: Scale, columns: int, sign: int) -> tuple[int, ...]:
    """One row of arithmetic; the largest value is drawn first and then cut into its parts."""
    least = max(scale.low, 1)
    if sign > 0:
        total = rng.randint((columns - 1) * least, scale.high)
        return (*_cut(rng, total, columns - 1, least), total)
    first = rng.randint(scale.low + (columns - 2) * least, scale.high)
    taken = rng.randint((columns - 2) * least, first - scale.low)
    return (first, *_cut(rng, taken, columns - 2, least), first - taken)


def _cut(rng: random.Random, total: int, parts: int, least: int) -> list[int]:
    """`total` as a sum of `parts` values of at least `least`, every way equally likely."""
    spare = total - parts * least
    marks = sorted(rng.sample(range(spare + parts - 1), parts - 1))
    edges = [-1, *marks, spare + parts - 1]
    return [b - a - 1 + least for a, b in pairwise(edges)]


def _shift_rows(values: Sequence[int], rng: random.Random) -> tuple[tuple[int, ...], ...]:
    """Three different turns of one order, so that no column holds a value twice."""
    turns = rng.sample(range(len(values)), ROWS)
    return tuple(tuple(values[(i + turn) % len(values)] for i in range(len(values))) for turn in turns)


def _draw_places(kind: Kind, rng: random.Random, slots: int, columns: int) -> Drawn:
    if kind == "constant":
        return Drawn(Rule(kind), tuple((draw_mask(rng, slots),) * columns for _ in range(ROWS)))
    if kind == "progression":
        step = rng.choice(_turns(slots))
        move = _mover(step, slots)
        rows = []
        for _ in range(ROWS):
            row = [draw_mask(rng, slots)]
            while len(row) < columns:
                row.append(move(row[-1]))
            rows.append(tuple(row))
        return Drawn(Rule(kind, step), tuple(rows))
    if kind == "arithmetic":
        sign = rng.choice((1, -1))
        rows = []
        while len(rows) < ROWS:
            operands = [draw_mask(rng, slots) for _ in range(columns - 1)]
            result = _combine_places(operands, sign)
            if result:
                rows.append((*operands, result))
        return Drawn(Rule(kind, sign), tuple(rows))
    values: set[int] = set()
    while len(values) < columns:
        values.add(draw_mask(rng, slots))
    order = sorted(values)
    rng.shuffle(order)
    return Drawn(Rule(kind), _shift_rows(order, rng))


def draw_mask(rng: random.Random, slots: int, number: int | None = None) -> int:
    """A set of places: the number of objects is drawn first where it is not given, then the places."""
    count = number or rng.randint(1, slots)
    return reduce(or_, (1 << slot for slot in rng.sample(range(slots), count)))
