"""The teacher that repeats labels, and refuses what labels cannot say."""

from __future__ import annotations

import pytest

from errata.tools.errors import OperatorError
from errata.tools.records import Problem
from errata.tools.teacher.annotations import AnnotationsTeacher
from errata.tools.teacher.protocol import MissingSkillRequest, RequiredSkillsRequest, Teacher

PROBLEM = Problem(id="p", question="?", target="x", scoring="exact", skills=("read a map", "count"))


def ask(*served: str, problem: Problem = PROBLEM) -> tuple[str, ...]:
    request = MissingSkillRequest(problem=problem, steps=(), step=-1, served=served)
    return AnnotationsTeacher().missing_skill([request])[0].skills


def test_it_is_a_teacher_of_two_operations() -> None:
    assert isinstance(AnnotationsTeacher(), Teacher)
    assert AnnotationsTeacher().operations == {"missing_skill", "required_skills"}


def test_the_missing_skill_is_the_first_that_was_not_served() -> None:
    assert ask() == ("read a map",)
    assert ask("read a map") == ("count",)
    assert ask("read a map", "count") == ()
    assert ask(problem=PROBLEM.model_copy(update={"skills": ()})) == ()


def test_required_skills_are_the_labels() -> None:
    (reply,) = AnnotationsTeacher().required_skills([RequiredSkillsRequest(problem=PROBLEM)])
    assert reply.skills == PROBLEM.skills


@pytest.mark.parametrize("operation", ["option_probabilities", "judge", "propose"])
def test_what_labels_cannot_say_is_refused(operation: str) -> None:
    with pytest.raises(OperatorError, match=f"cannot do {operation} \\(got 'annotations'\\); choose the teacher"):
        getattr(AnnotationsTeacher(), operation)([])
