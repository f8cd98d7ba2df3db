"""Matrices: candidates by bisection, no leak in them, the same for the same seed."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

import pytest

from errata.tools.synthesize.matrices.generate import Matrix, Panel, make_matrix
from errata.tools.synthesize.matrices.layout import CONFIGURATIONS
from errata.tools.synthesize.matrices.settings import MatrixSettings
from errata.tools.synthesize.matrices.solve import value_of


def make(number: int, **knobs: object) -> list[Matrix]:
    settings = MatrixSettings.model_validate({"number": number, "seed": 3, **knobs})
    return [make_matrix(i, settings=settings) for i in range(number)]


@pytest.fixture(scope="module")
def many() -> list[Matrix]:
    """Enough for shares to be told from chance."""
    return make(3500)


def test_the_same_seed_and_index_give_the_same_matrix_and_others_do_not() -> None:
    first, again = make(14), make(14)
    assert first == again
    assert len({(m.panels, m.candidates) for m in first}) == 14
    for other in (make(14, seed=4), make(14, split="test")):
        assert all(a.panels != b.panels for a, b in zip(first, other, strict=True))


def test_configurations_take_turns() -> None:
    assert [m.configuration.name for m in make(8)] == [*CONFIGURATIONS, "centre"]
    assert [m.configuration.name for m in make(3, configurations=["grid3", "out-in"])] == ["grid3", "out-in", "grid3"]


@pytest.mark.parametrize("knobs", [{}, {"columns": 6, "levels": 30}, {"noise": 1.0}])
def test_three_attributes_are_each_right_in_half_of_the_candidates(knobs: dict[str, object]) -> None:
    for matrix in make(140, **knobs):
        answer = matrix.candidates[matrix.answer]
        assert answer == matrix.panels[-1]
        assert len(set(matrix.candidates)) == 8
        patterns = set()
        for candidate in matrix.candidates:
            same = [
                value_of(candidate[number], attribute) == value_of(answer[number], attribute)
                for number, attribute in matrix.changed
            ]
            patterns.add(tuple(same))
        assert len(matrix.changed) == 3
        assert len(patterns) == 8
        for number in range(len(matrix.configuration.components)):
            changed = {attribute for at, attribute in matrix.changed if at == number}
            for attribute in {"type", "size", "colour"} - changed:
                at = ("type", "size", "colour").index(attribute)
                assert len({tuple(look[at] for look in c[number].looks) for c in matrix.candidates}) == 1


def test_raven_style_candidates_differ_from_the_answer_in_one_attribute() -> None:
    for matrix in make(70, candidates="raven"):
        answer = matrix.candidates[matrix.answer]
        assert len(set(matrix.candidates)) == 8
        for candidate in matrix.candidates[: matrix.answer] + matrix.candidates[matrix.answer + 1 :]:
            assert sum(a != b for a, b in zip(candidate, answer, strict=True)) == 1
            wrong = [
                g
                for g in matrix.rules
                if value_of(candidate[g.component], g.attribute) != g.rows[-1][-1]
            ]
            assert len(wrong) == 1


def test_panels_hold_what_the_rules_say() -> None:
    for matrix in make(140):
        for governed in matrix.rules:
            flat = [value for row in governed.rows for value in row]
            seen = [value_of(panel[governed.component], governed.attribute) for panel in matrix.panels]
            assert seen == flat


def test_noise_is_where_it_is_asked_for() -> None:
    quiet, loud = make(140, noise=0.0), make(140, noise=1.0)
    assert not any(m.noise for m in quiet)
    grids = [m for m in loud if "grid" in m.configuration.name]
    assert all(len(m.noise) == 1 for m in grids)
    assert not any(m.noise for m in loud if "grid" not in m.configuration.name)
    for matrix in grids:
        ((number, attribute),) = matrix.noise
        values = [value_of(panel[number], attribute) for panel in matrix.context]
        crowded = [v for v, p in zip(values, matrix.context, strict=True) if p[number].mask.bit_count() > 1]
        assert crowded == [None] * len(crowded) != []
        assert (number, attribute) not in [(g.component, g.attribute) for g in matrix.rules]


def test_outer_objects_are_white() -> None:
    for matrix in make(70, configurations=["out-in", "out-in-grid"]):
        assert {look[2] for panel in matrix.panels for look in panel[0].looks} == {0}
        assert not any(g.component == 0 and g.attribute == "colour" for g in matrix.rules)


def test_letters_and_rules_are_balanced(many: list[Matrix]) -> None:
    letters = Counter(m.answer for m in many)
    assert set(letters) == set(range(8))
    assert max(letters.values()) < len(many) / 8 * 1.2
    kinds = Counter(g.rule.kind for m in many for g in m.rules if g.attribute == "colour")
    total = sum(kinds.values())
    assert all(abs(count / total - 0.25) < 4 * math.sqrt(0.25 * 0.75 / total) for count in kinds.values())
    places = Counter(
        (g.attribute, g.rule.kind) for m in many for g in m.rules if g.attribute in ("number", "position")
    )
    total = sum(places.values())
    assert len(places) == 7
    assert all(abs(count / total - 1 / 7) < 4 * math.sqrt(6 / 49 / total) for count in places.values())


def describe(panel: Panel) -> Iterator[tuple[object, ...]]:
    """What a candidate shows, one fact an attribute."""
    for number, state in enumerate(panel):
        yield number, "mask", state.mask
        yield number, "number", state.mask.bit_count()
        for attribute in ("type", "size", "colour"):
            yield number, attribute, value_of(state, attribute)  # type: ignore[arg-type]


def guess_from_candidates(matrices: Sequence[Matrix], *, train: int) -> float:
    """Share of answers guessed from the candidates alone: by how much likelier each value is in answers than in
    candidates, and by how many of the eight share it, weighted as the first `train` matrices have it.
    """
    in_answer: dict[object, float] = defaultdict(float)
    in_any: dict[object, float] = defaultdict(float)

    def facts(matrix: Matrix) -> list[list[object]]:
        shown = [[*describe(candidate)] for candidate in matrix.candidates]
        common = Counter(fact for one in shown for fact in one)
        name = matrix.configuration.name
        return [[(name, fact) for fact in one] + [(fact[1], common[fact]) for fact in one] for one in shown]

    for matrix in matrices[:train]:
        for i, one in enumerate(facts(matrix)):
            for fact in one:
                in_any[fact] += 1
                in_answer[fact] += i == matrix.answer
    right = 0
    for matrix in matrices[train:]:
        scores = [
            sum(math.log((in_answer[fact] + 1) / (in_any[fact] + 8)) for fact in one if in_any[fact])
            for one in facts(matrix)
        ]
        right += scores.index(max(scores)) == matrix.answer
    return right / (len(matrices) - train)


def test_candidates_alone_do_not_give_the_answer_away(many: list[Matrix]) -> None:
    assert abs(guess_from_candidates(many, train=1500) - 1 / 8) < 0.03


def test_raven_style_candidates_give_it_away() -> None:
    assert guess_from_candidates(make(1200, candidates="raven"), train=900) > 0.5


def test_a_value_is_as_often_the_answer_as_its_rival(many: list[Matrix]) -> None:
    larger = total = 0
    for matrix in many:
        for number, attribute in matrix.changed:
            if attribute in ("size", "colour", "type", "number"):
                values = {value_of(c[number], attribute) for c in matrix.candidates}
                answer = value_of(matrix.candidates[matrix.answer][number], attribute)
                if len(values) == 2:
                    total += 1
                    larger += answer == max(v for v in values if v is not None)
    assert total > 3000
    assert abs(larger / total - 0.5) < 4 * math.sqrt(0.25 / total)
