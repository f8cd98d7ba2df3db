"""Rivals for which the teacher is asked about steps outright (P1 4.5 and one of ours).

- `per_step`: "is this step correct?", for the rationale up to each step; the first "incorrect" wins. The gold answer
  is not told. All steps are asked about at once, as in the paper; the calls are one per step.
- `pseudo_rationale`: the teacher writes its own steps from question and gold answer, then names the first step of the
  student that differs from them: two calls an error. The picture is withheld unless `options.picture`.
- `teacher_says`: the teacher, told the gold answer, names the first wrong step in one call.

A reply that cannot be read makes the error `unscored` unless an earlier step decided it; "none of them" is `none`.
An index beyond the rationale cannot be read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from errata.tools.locate.answer_switch import SwitchOptions, make_mistake, need_operation
from errata.tools.locate.curves import UNASKED, Switch
from errata.tools.records import Attempt, Mistake, Problem, Status
from errata.tools.teacher.protocol import (
    Operation,
    RationaleRequest,
    ReadsSteps,
    StepCheckRequest,
    StepIndexReply,
    StepIndexRequest,
    Teacher,
)


def per_step(
    attempts: Sequence[Attempt],
    *,
    problems: Mapping[str, Problem],
    teacher: Teacher,
    iteration: int,
    options: SwitchOptions,  # noqa: ARG001
) -> list[Mistake]:
    """The first step that the teacher calls incorrect."""
    asked = _asked(attempts)
    requests = [
        StepCheckRequest(
            problem=a.problem,
            question=problems[a.problem].question,
            options=_options(a, problem=problems[a.problem]),
            steps=a.steps[: i + 1],
        )
        for a in asked
        for i in range(len(a.steps))
    ]
    replies = iter(_reader(teacher, "check_step", method="per_step").check_step(requests) if requests else [])
    found = {a.id: _first_incorrect([next(replies).correct for _ in a.steps]) for a in asked}
    return _mistakes(attempts, found=found, method="per_step", iteration=iteration)


def pseudo_rationale(
    attempts: Sequence[Attempt],
    *,
    problems: Mapping[str, Problem],
    teacher: Teacher,
    iteration: int,
    options: SwitchOptions,
) -> list[Mistake]:
    """The first step that differs from the teacher's own."""
    asked = _asked(attempts)
    references: list[tuple[str, ...]] = []
    if asked:
        reader = _reader(teacher, "write_rationale", method="pseudo_rationale")
        wanted = [RationaleRequest(problem=problems[a.problem], picture=options.picture) for a in asked]
        references = [reply.steps for reply in reader.write_rationale(wanted)]
    found = _name_steps(asked, references, problems=problems, teacher=teacher, method="pseudo_rationale")
    return _mistakes(attempts, found=found, method="pseudo_rationale", iteration=iteration)


def teacher_says(
    attempts: Sequence[Attempt],
    *,
    problems: Mapping[str, Problem],
    teacher: Teacher,
    iteration: int,
    options: SwitchOptions,  # noqa: ARG001
) -> list[Mistake]:
    """The step that the teacher names."""
    asked = _asked(attempts)
    found = _name_steps(asked, [()] * len(asked), problems=problems, teacher=teacher, method="teacher_says")
    return _mistakes(attempts, found=found, method="teacher_says", iteration=iteration)


def _name_steps(
    asked: Sequence[Attempt],
    references: Sequence[tuple[str, ...]],
    *,
    problems: Mapping[str, Problem],
    teacher: Teacher,
    method: str,
) -> dict[str, Switch]:
    requests = [
        StepIndexRequest(
            problem=a.problem,
            question=problems[a.problem].question,
            options=_options(a, problem=problems[a.problem]),
            gold=problems[a.problem].target_text,
            steps=a.steps,
            reference=reference,
        )
        for a, reference in zip(asked, references, strict=True)
    ]
    replies = _reader(teacher, "name_step", method=method).name_step(requests) if requests else []
    calls = 2 if method == "pseudo_rationale" else 1
    return {a.id: _named(reply, steps=len(a.steps), calls=calls) for a, reply in zip(asked, replies, strict=True)}


def _asked(attempts: Sequence[Attempt]) -> list[Attempt]:
    return [a for a in attempts if not a.correct and a.answer is not None]


def _options(attempt: Attempt, *, problem: Problem) -> tuple[str, ...]:
    """The choices; for a free-form question gold and wrong answer in alphabetical order, which says nothing."""
    return problem.choices or tuple(sorted((problem.target, attempt.answer or "")))


def _reader(teacher: Teacher, operation: Operation, *, method: str) -> ReadsSteps:
    need_operation(teacher, operation=operation, method=method)
    return cast(ReadsSteps, teacher)


def _first_incorrect(said: Sequence[bool | None]) -> Switch:
    for i, correct in enumerate(said):
        if correct is False:
            return _switch("found", prefix=i + 1, calls=len(said))
    return _switch("unscored" if None in said else "none", prefix=-1, calls=len(said))


def _named(reply: StepIndexReply, *, steps: int, calls: int) -> Switch:
    if reply.step is None or reply.step >= steps:
        return _switch("unscored", prefix=-1, calls=calls)
    if reply.step < 0:
        return _switch("none", prefix=-1, calls=calls)
    return _switch("found", prefix=reply.step + 1, calls=calls)


def _switch(status: Status, *, prefix: int, calls: int) -> Switch:
    return Switch(status, prefix, 0.0, 0, (), calls)


def _mistakes(
    attempts: Sequence[Attempt], *, found: Mapping[str, Switch], method: str, iteration: int
) -> list[Mistake]:
    return [
        make_mistake(a, switch=found.get(a.id, UNASKED), method=method, iteration=iteration)
        for a in attempts
        if not a.correct
    ]
