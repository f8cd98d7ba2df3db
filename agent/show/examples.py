"""Mistakes worth showing: one per missing skill, with the evidence and the lessons that were found for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from errata.agent.run.lineage import Archive
from errata.agent.show.charts import gap_curve
from errata.agent.show.pictures import thumbnail
from errata.tools.records import Attempt, Lesson, MissingSkill, Mistake, Problem

EXAMPLES = 8
LESSONS_SHOWN = 3


class StepView(NamedTuple):
    """One step of a rationale; `wrong` marks the located mistake."""

    number: int
    text: str
    wrong: bool


class LessonView(NamedTuple):
    """A lesson that was fetched or made for a mistake."""

    id: str
    question: str
    route: str
    picture: str | None


class Example(NamedTuple):
    """One mistake with its evidence and what was done about it."""

    mistake: Mistake
    problem: Problem
    picture: str | None
    answer: str
    gold: str
    steps: list[StepView]
    curve: str
    skill: MissingSkill | None
    lessons: list[LessonView]
    lesson_count: int


def pick_examples(archive: Archive, *, delta: float) -> list[Example]:
    """Located mistakes, one per skill: those with lessons first, then the most frequent skills."""
    skills = {skill.mistake: skill for skill in archive.skills.values()}
    lessons: dict[str, list[Lesson]] = {}
    for lesson in archive.lessons.values():
        for parent in lesson.parents:
            lessons.setdefault(parent, []).append(lesson)
    frequency = Counter(skill.skill for skill in skills.values())
    shown: list[Mistake] = []
    seen: set[str] = set()

    def rank(mistake: Mistake) -> tuple[bool, bool, int, str]:
        skill = skills.get(mistake.id)
        taught = bool(skill and lessons.get(skill.id))
        return (mistake.status != "found", not taught, -frequency[skill.skill] if skill else 0, mistake.id)

    for mistake in sorted(archive.mistakes.values(), key=rank):
        skill = skills.get(mistake.id)
        name = skill.skill if skill else mistake.status
        if name not in seen and mistake.problem in archive.problems and mistake.attempt in archive.attempts:
            seen.add(name)
            shown.append(mistake)
    return [_example(m, archive, skills.get(m.id), lessons, delta=delta) for m in shown[:EXAMPLES]]


def _example(
    mistake: Mistake,
    archive: Archive,
    skill: MissingSkill | None,
    lessons: Mapping[str, list[Lesson]],
    *,
    delta: float,
) -> Example:
    problem, attempt = archive.problems[mistake.problem], archive.attempts[mistake.attempt]
    own = lessons.get(skill.id, []) if skill else []
    return Example(
        mistake=mistake,
        problem=problem,
        picture=thumbnail(problem),
        answer=answer_text(attempt, problem),
        gold=problem.target_text,
        steps=[StepView(i, text, i == mistake.step) for i, text in enumerate(attempt.steps)],
        curve=gap_curve(mistake.gaps, step=mistake.step, delta=delta) if mistake.gaps else "",
        skill=skill,
        lessons=[
            LessonView(n.id, n.problem.question, n.route, thumbnail(n.problem)) for n in own[:LESSONS_SHOWN]
        ],
        lesson_count=len(own),
    )


def answer_text(attempt: Attempt, problem: Problem) -> str:
    """What the student answered, in words where the letter is one of the choices."""
    if attempt.answer is None:
        return "no answer that could be read"
    if attempt.answer in problem.letters:
        return problem.choices[problem.letters.index(attempt.answer)]
    return attempt.answer
