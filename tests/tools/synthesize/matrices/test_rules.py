"""Rules: what explains rows that are given, and rows that are drawn."""

from __future__ import annotations

import random

import pytest

from errata.tools.synthesize.matrices.layout import Attribute, Scale, scale_of
from errata.tools.synthesize.matrices.rules import Rule, draw_mask, draw_rows, explain_rows, possible_kinds

SIZES, COLOURS, TYPES, FOUR = Scale(1, 6), Scale(0, 9), Scale(1, 5), Scale(1, 15)


@pytest.mark.parametrize(
    ("attribute", "scale", "rows", "found"),
    [
        ("size", SIZES, [[2, 2, 2], [5, 5, 5], [3, 3]], {Rule("constant"): 3}),
        ("size", SIZES, [[1, 3, 5], [2, 4, 6], [1, 3]], {Rule("progression", 2): 5}),
        ("size", SIZES, [[6, 5, 4], [3, 2, 1], [4, 3]], {Rule("progression", -1): 2}),
        ("size", SIZES, [[1, 4, 5], [2, 2, 4], [3, 1]], {Rule("arithmetic", 1): 4}),
        ("size", SIZES, [[5, 4, 1], [4, 1, 3], [6, 3]], {Rule("arithmetic", -1): 3}),
        ("size", SIZES, [[1, 4, 6], [4, 6, 1], [6, 1]], {Rule("distribute"): 4}),
        # Two rules at once: 1 + 2 = 3 is also a step of 1.
        ("size", SIZES, [[1, 2, 3], [1, 2, 3], [1, 2]], {Rule("progression", 1): 3, Rule("arithmetic", 1): 3}),
        # Outside the scale, of mixed steps, and of rows that share no rule.
        ("size", SIZES, [[4, 5, 6], [4, 5, 6], [5, 6]], {}),
        ("size", SIZES, [[1, 2, 3], [1, 3, 5], [1, 2]], {}),
        ("size", SIZES, [[1, 1, 1], [2, 2, 2], [3, 4]], {}),
        # The same order in all rows is a progression and no distribution.
        ("type", TYPES, [[1, 3, 5], [1, 3, 5], [1, 3]], {Rule("progression", 2): 5}),
        ("type", TYPES, [[1, 2, 4], [1, 2, 4], [1, 2]], {}),
        # Shapes are not added.
        ("type", TYPES, [[1, 3, 4], [2, 3, 5], [1, 1]], {}),
        # An operand of 0 does nothing.
        ("colour", COLOURS, [[0, 4, 4], [3, 5, 8], [1, 1]], {}),
        ("colour", COLOURS, [[4, 4, 0], [9, 2, 7], [5, 1]], {Rule("arithmetic", -1): 4}),
        # A distribution of other values, of a repeated one, and one that lacks more than one value.
        ("size", SIZES, [[1, 4, 6], [4, 6, 2], [6, 1]], {}),
        ("size", SIZES, [[1, 4, 4], [4, 1, 4], [4, 1]], {}),
        ("size", SIZES, [[1, 4, 6], [4, 6, 1], [6, 6]], {}),
        ("size", SIZES, [[1, 4, 6], [1, 4, 6], [6, 1]], {}),
        # Four in a row.
        ("colour", COLOURS, [[1, 2, 3, 6], [2, 1, 1, 4], [3, 3, 2]], {Rule("arithmetic", 1): 8}),
        ("colour", COLOURS, [[9, 2, 3, 4], [7, 1, 1, 5], [9, 3, 2]], {Rule("arithmetic", -1): 4}),
        # Places of a 2x2 grid: bit 0 is the upper left, bit 3 the lower right.
        ("position", FOUR, [[0b0001, 0b0010, 0b0100], [0b0010, 0b0100, 0b1000], [0b1000, 0b0001]],
         {Rule("progression", 1): 0b0010}),
        ("position", FOUR, [[0b0001, 0b0110, 0b0111], [0b1000, 0b0010, 0b1010], [0b0100, 0b1001]],
         {Rule("arithmetic", 1): 0b1101}),
        ("position", FOUR, [[0b0111, 0b0010, 0b0101], [0b1111, 0b1000, 0b0111], [0b0110, 0b0010]],
         {Rule("arithmetic", -1): 0b0100}),
        ("position", FOUR, [[0b0101, 0b0101, 0b0101], [0b0001, 0b0001, 0b0001], [0b1000, 0b1000]],
         {Rule("constant"): 0b1000}),
        # Nothing is left of the first panel: no place can be drawn.
        ("position", FOUR, [[0b0111, 0b0010, 0b0101], [0b1111, 0b1000, 0b0111], [0b0011, 0b0011]], {}),
    ],
)  # fmt: skip
def test_what_explains_rows(
    attribute: Attribute, scale: Scale, rows: list[list[int]], found: dict[Rule, int]
) -> None:
    assert explain_rows(rows, attribute=attribute, scale=scale, slots=4) == found


def test_operands_that_do_nothing_pass_where_they_are_allowed() -> None:
    rows = [[0, 4, 4], [3, 5, 8], [1, 1]]
    assert explain_rows(rows, attribute="colour", scale=COLOURS, slots=1, idle=True) == {Rule("arithmetic", 1): 2}
    places = [[0b0011, 0b0010, 0b0011], [0b0001, 0b0110, 0b0111], [0b0100, 0b0001]]
    assert explain_rows(places, attribute="position", scale=FOUR, slots=4) == {}
    found = explain_rows(places, attribute="position", scale=FOUR, slots=4, idle=True)
    assert found == {Rule("arithmetic", 1): 0b0101}


def test_two_steps_on_and_two_back_are_one_rule_for_four_places() -> None:
    rows = [[0b0001, 0b0100, 0b0001], [0b0010, 0b1000, 0b0010], [0b0011, 0b1100]]
    assert explain_rows(rows, attribute="position", scale=FOUR, slots=4) == {Rule("progression", 2): 0b0011}


@pytest.mark.parametrize("columns", [3, 4, 7])
@pytest.mark.parametrize(("attribute", "slots", "levels"), [
    ("type", 1, 0), ("size", 1, 0), ("colour", 1, 0), ("colour", 1, 50), ("number", 9, 0), ("position", 4, 0),
    ("position", 9, 0),
])  # fmt: skip
def test_drawn_rows_follow_their_rule_alone(attribute: Attribute, slots: int, levels: int, columns: int) -> None:
    scale = scale_of(attribute, slots=slots, levels=levels)
    rng = random.Random(5)
    kinds = possible_kinds(attribute, scale=scale, columns=columns)
    answers = set()
    for kind in kinds * 20:
        drawn = draw_rows(kind, rng, attribute=attribute, scale=scale, slots=slots, columns=columns)
        assert drawn.rule.kind == kind
        assert [len(row) for row in drawn.rows] == [columns] * 3
        assert all(scale.low <= value <= scale.high for row in drawn.rows for value in row)
        seen = [*drawn.rows[:2], drawn.rows[2][:-1]]
        found = explain_rows(seen, attribute=attribute, scale=scale, slots=slots)
        assert found == {drawn.rule: drawn.answer}
        answers.add(drawn.answer)
    assert len(answers) > 2 or not kinds


@pytest.mark.parametrize(
    ("attribute", "slots", "columns", "kinds"),
    [
        ("type", 1, 3, ("constant", "progression", "distribute")),
        ("type", 1, 6, ("constant",)),
        ("size", 1, 3, ("constant", "progression", "arithmetic", "distribute")),
        ("size", 1, 6, ("constant", "progression", "arithmetic", "distribute")),
        ("size", 1, 7, ("constant",)),
        ("number", 4, 3, ("progression", "arithmetic", "distribute")),
        ("number", 4, 4, ("progression", "arithmetic", "distribute")),
        ("number", 4, 5, ()),
        ("position", 4, 4, ("constant", "progression", "arithmetic", "distribute")),
        ("position", 4, 5, ("constant", "progression", "distribute")),
    ],
)
def test_rules_need_room(attribute: Attribute, slots: int, columns: int, kinds: tuple[str, ...]) -> None:
    assert possible_kinds(attribute, scale=scale_of(attribute, slots=slots), columns=columns) == kinds


@pytest.mark.parametrize(("attribute", "columns"), [("size", 3), ("size", 6), ("colour", 9), ("number", 4)])
def test_sums_and_differences_reach_to_the_ends_of_the_scale(attribute: Attribute, columns: int) -> None:
    slots = 9 if attribute == "number" else 1
    scale, rng = scale_of(attribute, slots=slots), random.Random(3)
    signs, largest = set(), 0
    for _ in range(150):
        drawn = draw_rows("arithmetic", rng, attribute=attribute, scale=scale, slots=slots, columns=columns)
        signs.add(drawn.rule.step)
        largest = max(largest, *(value for row in drawn.rows for value in row))
    assert (signs, largest) == ({1, -1}, scale.high)


def test_distributions_shift_one_order_in_all_three_rows() -> None:
    rng = random.Random(2)
    for attribute, slots in (("position", 4), ("colour", 1)):
        scale = scale_of(attribute, slots=slots)  # type: ignore[arg-type]
        for _ in range(20):
            rows = draw_rows(
                "distribute", rng, attribute=attribute, scale=scale, slots=slots, columns=4  # type: ignore[arg-type]
            ).rows
            assert len({frozenset(row) for row in rows}) == 1
            assert all(len(set(column)) == 3 for column in zip(*rows, strict=True))


def test_masks_have_the_number_of_places_that_is_asked_for() -> None:
    rng = random.Random(1)
    assert {draw_mask(rng, 9, 3).bit_count() for _ in range(50)} == {3}
    assert {draw_mask(rng, 4).bit_count() for _ in range(200)} == {1, 2, 3, 4}
    assert max(draw_mask(rng, 4) for _ in range(200)) == 0b1111
