from collections import Counter
from collections.abc import Sequence

import pytest

from tools.errors import OperatorError
from tools.locate.answer_switch import SwitchOptions
from tools.locate.rivals import METHODS, location_method
from tools.records import Attempt, Mistake, Problem
from tools.teacher.protocol import Operation, OptionReply, OptionRequest


class WordTeacher:
    """Believes the second option once the steps say "blue", else the first; is lost at "fog"."""

    name = "words"

    def __init__(self, *operations: Operation) -> None:
        self.operations = frozenset(operations)
        self.batches: list[list[OptionRequest]] = []

    def option_probabilities(self, requests: Sequence[OptionRequest]) -> list[OptionReply]:
        self.batches.append(list(requests))
        return [self._reply(" ".join(request.steps)) for request in requests]

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
        name, [*wrong, attempt("right", "x", answer="A")], teacher=WordTeacher("option_probabilities")
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


def test_an_unknown_method_is_answered_with_those_there_are() -> None:
    with pytest.raises(OperatorError, match=r"guess.*answer_switch, random_step"):
        location_method("guess")
