"""Letters that are missing from the top list: bounds decide, or one exact question, or nothing."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from errata.tools.locate.answer_switch import SwitchOptions, ask_gaps
from errata.tools.records import Attempt, Problem
from errata.tools.teacher.protocol import Operation, OptionReply, OptionRequest

PROBLEM = Problem(id="p", question="?", choices=("red", "blue"), target="A")
ATTEMPT = Attempt(
    id="a", problem="p", checkpoint="base", response="", steps=("x",), answer="B", correct=False, score=0.0,
    format_error=False,
)  # fmt: skip


class ListTeacher:
    """First replies and, when asked for exactly, second ones."""

    name = "list"
    operations: frozenset[Operation] = frozenset({"option_probabilities"})

    def __init__(self, first: OptionReply, exact: OptionReply | None = None) -> None:
        self.first, self.exact, self.asked = first, exact, [0, 0]

    def option_probabilities(self, requests: Sequence[OptionRequest]) -> list[OptionReply]:
        for request in requests:
            self.asked[request.exact] += 1
        return [self.exact if r.exact and self.exact else self.first for r in requests]


def gap(teacher: ListTeacher, *, delta: float = 0.2) -> float | None:
    (found,) = ask_gaps(
        [(ATTEMPT, ("x",))],
        problems={"p": PROBLEM},
        teacher=teacher,  # type: ignore[arg-type]
        options=SwitchOptions(delta=delta),
    )
    return found


def bounded(low: float, high: float, *, mass: float = 0.9) -> OptionReply:
    """The wrong option is missing: it has between low and high."""
    return OptionReply(probabilities=(1 - low, low), mass=mass, low=(1 - high, low), high=(1 - low, high))


@pytest.mark.parametrize(("low", "high"), [(0.0, 0.1), (0.7, 0.9), (0.6, 0.6)])
def test_bounds_on_one_side_of_delta_decide_without_another_question(low: float, high: float) -> None:
    teacher = ListTeacher(bounded(low, high))
    assert gap(teacher) == pytest.approx(2 * low - 1)
    assert teacher.asked == [1, 0]


def test_a_straddling_interval_is_asked_for_exactly_once() -> None:
    teacher = ListTeacher(bounded(0.3, 0.7), OptionReply(probabilities=(0.35, 0.65), mass=0.9))
    assert gap(teacher) == pytest.approx(0.3)
    assert teacher.asked == [1, 1]


def test_what_stays_open_is_unscored_and_never_nought() -> None:
    teacher = ListTeacher(bounded(0.3, 0.7))
    assert gap(teacher) is None
    assert teacher.asked == [1, 1]


def test_an_unscored_prefix_is_not_asked_for_again() -> None:
    teacher = ListTeacher(bounded(0.3, 0.7, mass=0.4))
    assert gap(teacher) is None
    assert teacher.asked == [1, 0]
