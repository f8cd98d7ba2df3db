from collections import Counter
from collections.abc import Sequence

import pytest

from benchmarks.counting import CountingTeacher
from benchmarks.fault_diagnosis import make_errors
from errata.tools.errors import OperatorError
from errata.tools.locate.answer_switch import SwitchOptions
from errata.tools.locate.rivals import METHODS, NEEDS, location_method, most_requests
from errata.tools.records import Attempt, Mistake, Problem
from errata.tools.teacher.protocol import (
    Operation,
    OptionReply,
    OptionRequest,
    RationaleReply,
    RationaleRequest,
    StepCheckReply,
    StepCheckRequest,
    StepIndexReply,
    StepIndexRequest,
)
from errata.tools.teacher.world import WorldTeacher

ALL: tuple[Operation, ...] = ("option_probabilities", "check_step", "name_step", "write_rationale")


class WordTeacher:
    """Believes the second option once the steps say "blue", else the first; is lost at "fog"."""

    name = "words"

    def __init__(self, *operations: Operation) -> None:
        self.operations = frozenset(operations)
        self.batches: list[list[OptionRequest]] = []

    def option_probabilities(self, requests: Sequence[OptionRequest]) -> list[OptionReply]:
        self.batches.append(list(requests))
        return [self._reply(" ".join(request.steps)) for request in requests]

    def check_step(self, requests: Sequence[StepCheckRequest]) -> list[StepCheckReply]:
        said = {"fog": None, "blue": False}
        return [StepCheckReply(correct=said.get(request.steps[-1].strip(" ."), True)) for request in requests]

    def write_rationale(self, requests: Sequence[RationaleRequest]) -> list[RationaleReply]:
        return [RationaleReply(steps=("grey. ", "red. ", *["shown. "] * r.picture)) for r in requests]

    def name_step(self, requests: Sequence[StepIndexRequest]) -> list[StepIndexReply]:
        """Outright the last step, beyond the end after fog; beside a reference the first that is not in it."""
        self.named = list(requests)
        return [StepIndexReply(step=self._name(request)) for request in requests]

    def _name(self, request: StepIndexRequest) -> int:
        if request.reference:
            return next((i for i, step in enumerate(request.steps) if step not in request.reference), -1)
        return len(request.steps) + ("fog" in request.steps) - 1

    def _reply(self, text: str) -> OptionReply:
        probabilities = (0.1, 0.9) if "blue" in text else (0.8, 0.2)
        return OptionReply(probabilities=probabilities, mass=0.1 if "fog" in text else 1.0)


PROBLEM = Problem(id="p", question="?", choices=("red", "blue"), target="A")


def attempt(name: str, *steps: str, answer: str | None = "B") -> Attempt:
    return Attempt(
        id=name,
        problem="p",
        checkpoint="base",
        response="",
        steps=steps,
        answer=answer,
        correct=answer == "A",
        score=float(answer == "A"),
        format_error=answer is None,
    )


def locate(name: str, attempts: Sequence[Attempt], *, teacher: WordTeacher, seed: int = 0) -> list[Mistake]:
    return location_method(name)(
        attempts,
        problems={"p": PROBLEM},
        teacher=teacher,  # type: ignore[arg-type]
        iteration=1,
        options=SwitchOptions(seed=seed),
    )


@pytest.mark.parametrize("name", sorted(METHODS))
def test_all_methods_answer_for_each_wrong_attempt(name: str) -> None:
    wrong = [attempt("one", "grey. ", "blue. "), attempt("none", answer=None), attempt("bare")]
    mistakes = locate(
        name, [*wrong, attempt("right", "x", answer="A")], teacher=WordTeacher(*ALL)
    )
    assert [m.attempt for m in mistakes] == ["one", "none", "bare"]
    assert {m.method for m in mistakes} == {name}
    assert mistakes[1].status == "format_error"
    assert mistakes[2].step == -1
    assert all((m.step >= 0) == (m.status == "found") for m in mistakes)


def test_random_step_is_seeded_uniform_and_asks_nothing() -> None:
    teacher = WordTeacher()
    attempts = [attempt(f"a{i}", "x", "y", "z") for i in range(300)]
    first = [m.step for m in locate("random_step", attempts, teacher=teacher)]
    assert first == [m.step for m in locate("random_step", attempts, teacher=teacher)]
    assert first != [m.step for m in locate("random_step", attempts, teacher=teacher, seed=1)]
    assert all(60 < count < 140 for count in Counter(first).values())
    assert set(first) == {0, 1, 2}
    assert teacher.batches == []


def test_step_alone_reads_each_step_without_the_others() -> None:
    teacher = WordTeacher("option_probabilities")
    attempts = [attempt("a", "grey", "blue", "red"), attempt("b", "grey", "fog"), attempt("c", "grey", "red")]
    mistakes = locate("step_alone", attempts, teacher=teacher)
    assert [(m.status, m.step) for m in mistakes] == [("found", 1), ("unscored", -1), ("none", -1)]
    assert mistakes[0].gaps == pytest.approx((None, -0.6, 0.8, -0.6))
    assert len(teacher.batches) == 1
    assert [request.steps for request in teacher.batches[0]][:2] == [("grey",), ("blue",)]


def test_a_teacher_without_probabilities_is_refused_only_where_they_are_needed() -> None:
    with pytest.raises(OperatorError, match="words"):
        locate("step_alone", [attempt("a", "x")], teacher=WordTeacher())
    (found,) = locate("whole_rationale", [attempt("a", "x")], teacher=WordTeacher())
    assert (found.status, found.step, found.gaps) == ("none", -1, ())


def test_per_step_takes_the_first_incorrect_and_counts_unreadable_replies() -> None:
    attempts = [attempt("a", "grey", "blue", "blue"), attempt("b", "grey", "fog"), attempt("c", "fog", "blue")]
    mistakes = locate("per_step", attempts, teacher=WordTeacher("check_step"))
    assert [(m.status, m.step, m.probes) for m in mistakes] == [("found", 1, 3), ("unscored", -1, 2), ("found", 1, 2)]


def test_pseudo_rationale_compares_with_what_the_teacher_wrote_and_shows_the_picture_only_if_told() -> None:
    teacher = WordTeacher("write_rationale", "name_step")
    attempts = [attempt("a", "grey. ", "blue. "), attempt("b", "red. "), attempt("c", "shown. ")]
    mistakes = locate("pseudo_rationale", attempts, teacher=teacher)
    assert [(m.status, m.step) for m in mistakes] == [("found", 1), ("none", -1), ("found", 0)]
    assert {m.probes for m in mistakes} == {2}
    assert {r.gold for r in teacher.named} == {"red"}
    options = SwitchOptions(picture=True)
    (seen,) = location_method("pseudo_rationale")(
        attempts[2:],
        problems={"p": PROBLEM},
        teacher=teacher,  # type: ignore[arg-type]
        iteration=1,
        options=options,
    )
    assert seen.status == "none"


def test_an_index_beyond_the_rationale_is_unscored() -> None:
    attempts = [attempt("a", "grey", "blue"), attempt("b", "grey", "fog")]
    mistakes = locate("teacher_says", attempts, teacher=WordTeacher("name_step"))
    assert [(m.status, m.step, m.probes) for m in mistakes] == [("found", 1, 1), ("unscored", -1, 1)]


@pytest.mark.parametrize("name", ["per_step", "pseudo_rationale", "teacher_says"])
def test_a_teacher_that_cannot_talk_about_steps_is_refused(name: str) -> None:
    with pytest.raises(OperatorError, match=name):
        locate(name, [attempt("a", "x")], teacher=WordTeacher("option_probabilities"))


def test_an_unknown_method_is_answered_with_those_there_are() -> None:
    with pytest.raises(OperatorError, match=r"guess.*answer_switch, per_step, pseudo_rationale, random_step"):
        location_method("guess")


class Without(CountingTeacher):
    """The world's teacher, counted, that lacks some operations."""

    def __init__(self, *lacking):
        super().__init__(WorldTeacher())
        self.operations = self.operations - set(lacking)


@pytest.mark.parametrize("name", sorted(METHODS))
def test_a_method_asks_for_what_it_says_and_no_more_often(name):
    attempts, problems = make_errors(4, seed=2)
    given = {"problems": problems, "iteration": 1, "options": SwitchOptions(scan="full")}
    every = {"option_probabilities", "check_step", "name_step", "write_rationale"}
    teacher = Without(*(every - NEEDS[name]))
    assert len(METHODS[name](attempts, teacher=teacher, **given)) == 4
    assert teacher.calls == sum(most_requests(name, steps=len(a.steps)) for a in attempts)
    for operation in sorted(NEEDS[name]):
        with pytest.raises(OperatorError, match=f"this teacher has no {operation}"):
            METHODS[name](attempts, teacher=Without(operation), **given)
