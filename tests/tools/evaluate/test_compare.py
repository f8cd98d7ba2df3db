import random
from collections.abc import Sequence

import pytest
from scipy import stats

from errata.tools.errors import OperatorError
from errata.tools.evaluate.compare import compare_attempts, mcnemar, paired_interval, wilson
from errata.tools.records import Attempt, Comparison, Problem


def problems(total: int, *, skills: Sequence[str] = ("count",)) -> list[Problem]:
    return [
        Problem(id=f"p{i}", question="?", target="A", choices=("a", "b"), skills=(skills[i % len(skills)],))
        for i in range(total)
    ]


def attempts(outcomes: Sequence[bool], *, checkpoint: str) -> list[Attempt]:
    return [
        Attempt(
            id=f"{checkpoint}-{i}",
            problem=f"p{i}",
            checkpoint=checkpoint,
            response="",
            steps=(),
            answer="A" if right else "B",
            correct=right,
            score=float(right),
            format_error=False,
        )
        for i, right in enumerate(outcomes)
    ]


def compare(
    before: Sequence[bool],
    after: Sequence[bool],
    *,
    skills: Sequence[str] = ("count",),
    min_gain: float = 0.0,
) -> Comparison:
    return compare_attempts(
        attempts(before, checkpoint="old"),
        list(reversed(attempts(after, checkpoint="new"))),
        split="gate",
        problems=problems(len(before), skills=skills),
        seed=1,
        min_gain=min_gain,
    )


@pytest.mark.parametrize(("correct", "total"), [(0, 10), (10, 10), (7, 10), (1, 1), (123, 400)])
def test_wilson_against_scipy(correct: int, total: int) -> None:
    expected = stats.binomtest(correct, total).proportion_ci(method="wilson")
    found = wilson(correct, total)
    assert found.value == correct / total
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_wilson_of_nothing_is_unknown() -> None:
    assert (wilson(0, 0).low, wilson(0, 0).high) == (0.0, 1.0)


@pytest.mark.parametrize(("fixed", "broken"), [(0, 0), (5, 0), (0, 5), (9, 3), (40, 41), (300, 200)])
def test_mcnemar_against_scipy(fixed: int, broken: int) -> None:
    expected = stats.binomtest(fixed, fixed + broken).pvalue if fixed + broken else 1.0
    assert mcnemar(fixed, broken) == pytest.approx(expected, rel=1e-9)


def test_paired_interval_against_scipys_bootstrap() -> None:
    rng = random.Random(5)
    values = [rng.choice([-1.0, 0.0, 0.0, 1.0, 1.0]) for _ in range(200)]
    expected = stats.bootstrap(
        (values,), lambda x, axis: x.mean(axis=axis), method="percentile", n_resamples=10_000, rng=3
    ).confidence_interval
    found = paired_interval(values, seed=3)
    assert found.value == pytest.approx(sum(values) / 200)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.012)


def test_paired_interval_depends_on_the_seed_and_not_on_the_order() -> None:
    values = [random.Random(i).uniform(-1, 1) for i in range(35)]
    assert paired_interval(values, seed=1) == paired_interval(values[::-1], seed=1)
    assert paired_interval(values, seed=1) != paired_interval(values, seed=2)


def test_a_clear_gain_is_accepted() -> None:
    found = compare([False] * 30 + [True] * 20, [True] * 20 + [False] * 10 + [True] * 20)
    assert (found.before, found.after, found.total) == ("old", "new", 50)
    assert (found.fixed, found.broken, found.gain.value) == (20, 0, 0.4)
    assert found.gain.low > 0
    assert found.accepted
    assert found.reason.startswith("accepted")


@pytest.mark.parametrize(
    ("before", "after", "min_gain", "reason"),
    [
        ([True] * 20, [True] * 20, 0.0, "no gain"),
        ([True] * 20, [True] * 10 + [False] * 10, 0.0, "no gain"),
        ([False] * 2 + [True] * 28, [True] * 29 + [False], 0.0, "within noise"),
        ([False] * 30, [True] * 10 + [False] * 20, 0.5, "below the 50.0 points"),
    ],
)
def test_rejections(before: list[bool], after: list[bool], min_gain: float, reason: str) -> None:
    found = compare(before, after, min_gain=min_gain)
    assert not found.accepted
    assert found.reason.startswith("rejected")
    assert reason in found.reason


def test_a_fallen_sentinel_rejects_a_gain_and_is_named() -> None:
    before = [i % 3 == 0 for i in range(90)]
    after = [i % 3 != 0 for i in range(90)]
    found = compare(before, after, skills=("count", "colour", "shape"))
    assert found.gain.low > 0
    assert found.sentinels_fallen == ("count",)
    assert not found.accepted
    assert "count" in found.reason


def test_a_fall_within_its_noise_or_of_a_small_skill_is_no_alarm() -> None:
    skills = [f"s{i}" for i in range(9)] + ["rest"]
    before = [i % 10 == 0 for i in range(100)]
    after = [i % 10 != 0 or i >= 40 for i in range(100)]
    assert compare(before, after, skills=skills).sentinels_fallen == ()
    small = [f"t{i}" for i in range(12)]
    assert compare([True] * 108, [i % 12 != 0 for i in range(108)], skills=small).sentinels_fallen == ()


def test_sentinels_are_corrected_for_their_number() -> None:
    """Five broken and none fixed is p = 0.03 alone, and no alarm among ten skills."""
    before = [True] * 100
    one = [not (i % 10 == 0 and i < 50) for i in range(100)]
    assert compare(before[:50], [i >= 5 for i in range(50)]).sentinels_fallen == ("count",)
    assert compare(before, one, skills=[f"s{i}" for i in range(10)]).sentinels_fallen == ()


def test_missing_attempts_are_named() -> None:
    with pytest.raises(OperatorError, match="p1"):
        compare_attempts(
            attempts([True, True], checkpoint="old"),
            attempts([True], checkpoint="new"),
            split="gate",
            problems=problems(2),
            seed=1,
        )
    with pytest.raises(OperatorError, match="no problems"):
        compare_attempts([], [], split="gate", problems=[], seed=1)
