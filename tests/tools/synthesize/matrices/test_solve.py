"""The solver: it proves what has one answer and refuses what has none or several."""

from __future__ import annotations

import pytest

from errata.tools.synthesize.matrices.generate import Matrix, Panel, State, make_matrix, with_value
from errata.tools.synthesize.matrices.layout import CONFIGURATIONS
from errata.tools.synthesize.matrices.rules import Rule
from errata.tools.synthesize.matrices.settings import MatrixSettings
from errata.tools.synthesize.matrices.solve import Solution, solve_matrix

CENTRE = CONFIGURATIONS["centre"]


def one(kind: int, size: int, colour: int) -> Panel:
    return (State(1, ((kind, size, colour),)),)


def solve(matrix: Matrix, *, levels: int = 0) -> Solution:
    return solve_matrix(
        matrix.context,
        matrix.candidates,
        configuration=matrix.configuration,
        columns=matrix.columns,
        levels=levels,
    )


CONTEXT = [
    one(1, 1, 3), one(1, 2, 5), one(1, 3, 8),
    one(4, 4, 1), one(4, 5, 2), one(4, 6, 3),
    one(2, 2, 2), one(2, 3, 6),
]  # fmt: skip


def test_a_matrix_by_hand() -> None:
    candidates = [one(2, 4, 7), one(2, 4, 8), one(2, 5, 8), one(3, 4, 8)]
    found = solve_matrix(CONTEXT, candidates, configuration=CENTRE, columns=3)
    assert found.fits == (1,)
    assert found.proved
    rules = {e.attribute: e.rules for e in found.explanations}
    assert rules == {
        "type": {Rule("constant"): 2},
        "size": {Rule("progression", 1): 4},
        "colour": {Rule("arithmetic", 1): 8},
    }
    assert found.noise == ()


def test_no_proof_where_two_candidates_fit_or_none() -> None:
    twice = [one(2, 4, 8), one(2, 4, 8), one(2, 4, 7)]
    assert solve_matrix(CONTEXT, twice, configuration=CENTRE, columns=3).fits == (0, 1)
    assert not solve_matrix(CONTEXT, twice, configuration=CENTRE, columns=3).proved
    none = solve_matrix(CONTEXT, [one(2, 4, 7)], configuration=CENTRE, columns=3)
    assert (none.fits, none.proved) == ((), False)


def test_no_proof_where_two_rules_explain_an_attribute() -> None:
    context = [one(1, size, 0) for size in (1, 2, 3, 1, 2, 3, 1, 2)]
    found = solve_matrix(context, [one(1, 3, 0)], configuration=CENTRE, columns=3)
    assert found.fits == (0,)
    assert not found.proved


def test_an_attribute_without_rule_is_passed_over() -> None:
    context = [one(1, 3, colour) for colour in (0, 4, 2, 9, 1, 1, 3, 8)]
    found = solve_matrix(context, [one(1, 3, 5), one(1, 2, 5)], configuration=CENTRE, columns=3)
    assert found.noise == ((0, "colour"),)
    assert found.fits == (0,)


def test_rows_must_be_whole() -> None:
    with pytest.raises(ValueError, match="7 panels do not make rows of 3"):
        solve_matrix(CONTEXT[:7], [], configuration=CENTRE, columns=3)
    with pytest.raises(ValueError, match="2 panels"):
        solve_matrix(CONTEXT[:2], [], configuration=CENTRE, columns=3)


@pytest.mark.parametrize(
    "knobs",
    [{}, {"columns": 5}, {"columns": 10, "levels": 40}, {"levels": 1000}, {"noise": 1.0}, {"candidates": "raven"}],
)
def test_solver_and_label_agree(knobs: dict[str, object]) -> None:
    settings = MatrixSettings.model_validate({"number": 1, "seed": 8, **knobs})
    for i in range(105):
        matrix = make_matrix(i, settings=settings)
        found = solve(matrix, levels=settings.levels)
        assert found.proved
        assert found.fits == (matrix.answer,)
        named = {(e.component, e.attribute, *e.rules) for e in found.explanations}
        assert named == {(g.component, g.attribute, g.rule) for g in matrix.rules}
        # Under a rule over numbers the places are left over; all else without a rule is noise.
        assert {pair for pair in found.noise if pair[1] not in ("number", "position")} == set(matrix.noise)


def test_the_solver_does_not_follow_the_label() -> None:
    """With another panel in the answer's place, it says that none fits."""
    settings = MatrixSettings(number=1, seed=9)
    for i in range(35):
        matrix = make_matrix(i, settings=settings)
        number, attribute = matrix.changed[0]
        wrong = [panel for j, panel in enumerate(matrix.candidates) if j != matrix.answer]
        assert solve(matrix._replace(candidates=tuple(wrong))).fits == ()
        if attribute == "size":
            state = with_value(matrix.panels[0][number], "size", 7)
            broken = (*matrix.panels[0][:number], state, *matrix.panels[0][number + 1 :])
            found = solve(matrix._replace(panels=(broken, *matrix.panels[1:])))
            assert (number, "size") in found.noise
