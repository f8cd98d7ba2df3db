import itertools
import random
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from errata.tools.errors import OperatorError
from errata.tools.locate.answer_switch import SwitchOptions, locate_mistakes
from errata.tools.locate.curves import find_switch, skip_scan
from errata.tools.records import Attempt, Problem
from errata.tools.teacher.protocol import Operation, OptionReply, OptionRequest

Curve = list[float | None]


class CurveTeacher:
    """Answers from written curves, by problem and number of steps; what was not written it cannot answer."""

    name = "curves"

    def __init__(self, curves: dict[str, Curve], *, gold: int = 0, wrong: int = 1) -> None:
        self.operations: frozenset[Operation] = frozenset({"option_probabilities"})
        self.curves, self.gold, self.wrong = curves, gold, wrong
        self.batches: list[list[OptionRequest]] = []

    def option_probabilities(self, requests: Sequence[OptionRequest]) -> list[OptionReply]:
        self.batches.append(list(requests))
        return [self._reply(request) for request in requests]

    def _reply(self, request: OptionRequest) -> OptionReply:
        gap = self.curves[request.problem][len(request.steps)]
        shares = [0.0] * len(request.options)
        shares[self.gold], shares[self.wrong] = (1 - (gap or 0.0)) / 2, (1 + (gap or 0.0)) / 2
        return OptionReply(probabilities=tuple(shares), mass=0.4 if gap is None else 0.9)


def problem(name: str) -> Problem:
    return Problem(id=name, question=f"{name}?", choices=("red", "blue", "green"), target="A")


def attempt(name: str, *, steps: int, answer: str | None = "B", correct: bool = False) -> Attempt:
    return Attempt(
        id=f"attempt-{name}",
        problem=name,
        checkpoint="base",
        response="",
        steps=tuple(f"Step {i}. " for i in range(steps)),
        answer=answer,
        correct=correct,
        score=float(correct),
        format_error=answer is None,
    )


def scan(curve: Curve, *, window: int, strict: bool = False, delta: float = 0.2):  # type: ignore[no-untyped-def]
    """Skip scan that counts its probes and refuses to be asked twice."""
    asked: set[int] = set()

    def probe(i: int) -> float | None:
        assert i not in asked
        asked.add(i)
        return curve[i]

    found = skip_scan(probe, length=len(curve) - 1, delta=delta, window=window, strict=strict)
    assert found.probes == len(asked)
    return found


@pytest.mark.parametrize(
    ("curve", "window", "strict", "status", "prefix"),
    [
        ([-0.5, -0.5, 0.5, 0.5], 12, False, "found", 2),
        ([-0.5, -0.5, 0.5, 0.5], 1, True, "found", 2),
        ([-0.5, -0.5, 0.5, 0.5], 2, True, "none", -1),
        ([-0.5, 0.5, -0.5, 0.5], 1, False, "found", 3),
        ([-0.5, 0.5, -0.5, 0.5], 0, False, "found", 1),
        ([-0.5, 0.5, 0.5, -0.5], 1, False, "found", 1),
        ([-0.5, 0.5, 0.5, -0.5], 2, False, "none", -1),
        ([-0.5, 0.2 - 5e-10], 12, False, "found", 1),
        ([-0.5, 0.2 - 1e-8], 12, False, "none", -1),
        ([0.5, 0.5, 0.5], 12, False, "no_switch", -1),
        ([0.5, -0.5, 0.5], 12, False, "found", 2),
        ([0.5, -0.5, -0.5], 12, False, "no_switch", -1),
        ([0.5], 12, False, "no_switch", -1),
        ([-0.5], 12, False, "none", -1),
        ([-0.5, None, 0.5, 0.5], 12, False, "found", 2),
        ([-0.5, 0.5, None, -0.5], 1, False, "unscored", -1),
        ([-0.5, -0.5, None, -0.5], 1, False, "none", -1),
        ([-0.5, -0.5, None, -0.5], 0, False, "unscored", -1),
        ([0.5, None, 0.5, 0.5], 12, False, "unscored", -1),
        ([None, 0.5, 0.5], 12, False, "unscored", -1),
        ([None, -0.5], 12, False, "unscored", -1),
        ([None], 12, False, "unscored", -1),
    ],
)
def test_switch_and_status(curve: Curve, window: int, strict: bool, status: str, prefix: int) -> None:
    full = find_switch(curve, delta=0.2, window=window, strict=strict)
    assert (full.status, full.prefix) == (status, prefix)
    assert scan(curve, window=window, strict=strict)[:3] == full[:3]


def random_curve(rng: random.Random) -> Curve:
    values = [rng.uniform(-1, 1), rng.choice([0.2, 0.2 - 5e-10, 0.2 - 1e-6, 0.9])]
    above, unscored = rng.random(), rng.choice([0.0, 0.0, 0.1])

    def gap() -> float | None:
        if rng.random() < unscored:
            return None
        return rng.choice(values) if rng.random() < above else rng.uniform(-1, 0.1)

    return [gap() for _ in range(rng.randrange(1, 26))]


def test_both_scans_agree_on_20000_random_curves(record_property: Callable[[str, object], None]) -> None:
    rng = random.Random(7)
    probes = prefixes = 0
    statuses = set()
    for _ in range(20_000):
        curve, window, strict = random_curve(rng), rng.choice([0, 1, 2, 3, 5, 12]), rng.random() < 0.3
        full = find_switch(curve, delta=0.2, window=window, strict=strict)
        skip = scan(curve, window=window, strict=strict)
        assert skip[:3] == full[:3], (curve, window, strict)
        assert skip.run_length <= full.run_length
        assert all(known in (None, gap) for known, gap in zip(skip.gaps, full.gaps, strict=True))
        probes, prefixes = probes + skip.probes, prefixes + full.probes
        statuses.add(full.status)
    saved = 1 - probes / prefixes
    record_property("share_of_calls_saved", saved)
    assert statuses == {"found", "none", "no_switch", "unscored"}
    assert saved > 0.3


@settings(max_examples=500)
@given(
    curve=st.lists(st.none() | st.floats(-1, 1) | st.just(0.2), min_size=1, max_size=30),
    window=st.integers(0, 14),
    strict=st.booleans(),
    delta=st.sampled_from([0.0, 0.2, 0.9]),
)
def test_both_scans_agree(curve: Curve, window: int, strict: bool, delta: float) -> None:
    full = find_switch(curve, delta=delta, window=window, strict=strict)
    assert scan(curve, window=window, strict=strict, delta=delta)[:3] == full[:3]


@settings(max_examples=300)
@given(
    curve=st.lists(st.sampled_from([None, -0.5, 0.5]), min_size=1, max_size=7),
    window=st.integers(0, 4),
    strict=st.booleans(),
)
def test_unscored_means_that_some_scoring_gives_a_switch(curve: Curve, window: int, strict: bool) -> None:
    full = find_switch(curve, delta=0.2, window=window, strict=strict)
    holes = [i for i, gap in enumerate(curve) if gap is None]
    found = False
    for filling in itertools.product([-0.5, 0.5], repeat=len(holes)):
        filled = list(curve)
        for i, gap in zip(holes, filling, strict=True):
            filled[i] = gap
        found |= find_switch(filled, delta=0.2, window=window, strict=strict).status == "found"
    if full.status == "found":
        assert found
    else:
        assert (full.status == "unscored") == (found or curve[0] is None)


def test_mistakes_are_found_in_lock_step_with_one_call_a_round() -> None:
    curves: dict[str, Curve] = {
        "p": [-0.5, -0.5, -0.5, 0.5, 0.7],
        "q": [-0.5, -0.5],
        "r": [0.5, 0.6],
        "s": [-0.5, None],
    }
    teacher = CurveTeacher(curves)
    attempts = [attempt(name, steps=len(curve) - 1) for name, curve in curves.items()]
    attempts += [attempt("t", steps=2, answer=None), attempt("u", steps=2, answer="A", correct=True)]
    mistakes = locate_mistakes(
        attempts,
        problems={name: problem(name) for name in "pqrstu"},
        teacher=teacher,  # type: ignore[arg-type]
        iteration=1,
        options=SwitchOptions(),
    )
    assert [(m.problem, m.status, m.step) for m in mistakes] == [
        ("p", "found", 2),
        ("q", "none", -1),
        ("r", "no_switch", -1),
        ("s", "unscored", -1),
        ("t", "format_error", -1),
    ]
    assert mistakes[0].gaps == pytest.approx((-0.5, None, -0.5, 0.5, 0.7))
    assert (mistakes[0].run_length, mistakes[0].probes) == (2, 4)
    assert mistakes[0].confidence == pytest.approx(0.6)
    assert [len(batch) for batch in teacher.batches] == [4, 4, 1, 1]
    assert teacher.batches[0][0].prior == (0.6, 0.0, 0.0)
    assert teacher.batches[0][0].steps == ()
    assert len({m.id for m in mistakes}) == 5


def test_full_scan_is_one_call_and_finds_the_same() -> None:
    rng = random.Random(3)
    curves = {f"p{i}": random_curve(rng) for i in range(50)}
    attempts = [attempt(name, steps=len(curve) - 1) for name, curve in curves.items()]
    problems = {name: problem(name) for name in curves}
    found = {}
    for kind in ("skip", "full"):
        teacher = CurveTeacher(curves)
        mistakes = locate_mistakes(
            attempts,
            problems=problems,
            teacher=teacher,  # type: ignore[arg-type]
            iteration=1,
            options=SwitchOptions(scan=kind, window=2, prior=None),  # type: ignore[arg-type]
        )
        found[kind] = [(m.id, m.status, m.step, m.confidence) for m in mistakes]
        assert kind == "skip" or len(teacher.batches) == 1
        assert teacher.batches[0][0].prior == ()
    assert found["skip"] == found["full"]


def test_free_form_makes_two_options_in_an_order_that_varies_by_problem() -> None:
    names = [f"f{i}" for i in range(20)]
    problems = {name: Problem(id=name, question="?", target="red", scoring="exact") for name in names}
    teacher = CurveTeacher({name: [-0.5, 0.5] for name in names})
    locate_mistakes(
        [attempt(name, steps=1, answer="blue") for name in names],
        problems=problems,
        teacher=teacher,  # type: ignore[arg-type]
        iteration=0,
        options=SwitchOptions(),
    )
    orders = {request.options: request.prior for request in teacher.batches[0]}
    assert orders == {("red", "blue"): (0.6, 0.0), ("blue", "red"): (0.0, 0.6)}


def test_a_teacher_without_the_operation_is_named() -> None:
    teacher = CurveTeacher({})
    teacher.operations = frozenset({"missing_skill"})
    with pytest.raises(OperatorError, match=r"option_probabilities.*curves.*whole_rationale"):
        locate_mistakes(
            [attempt("p", steps=1)],
            problems={"p": problem("p")},
            teacher=teacher,  # type: ignore[arg-type]
            iteration=0,
            options=SwitchOptions(),
        )
