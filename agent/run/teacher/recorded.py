"""The teacher of a run: each reply is written to disk before it is used, is counted, and is never asked for twice.

Replies are kept in teacher.sqlite by the content of their request, so that a kill between a paid call and the
receipt of its tool call costs nothing on resume. `asked` counts requests whether or not they were answered
from disk: it is the same in a resumed run, and budgets are kept in it; a question that is put again to be answered
exactly counts once. `paid` counts replies that the teacher
gave. Nothing of the test split passes: a request that shows a test problem is a bug and raises
`TestSplitLeak`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TypeVar, cast

from errata.agent.run.folder import RunFolder
from errata.agent.run.teacher.replies import ReplyStore
from errata.agent.run.teacher.split_guard import TestSplitGuard
from errata.tools.errors import BudgetSpent
from errata.tools.records import Problem, Record, digest
from errata.tools.teacher.protocol import (
    ComparesSkills,
    FailureReply,
    FailureRequest,
    JudgeReply,
    JudgeRequest,
    MissingSkillRequest,
    Operation,
    OptionReply,
    OptionRequest,
    ProposeReply,
    ProposeRequest,
    RationaleReply,
    RationaleRequest,
    ReadsFailures,
    ReadsSteps,
    RequiredSkillsRequest,
    SameSkillReply,
    SameSkillRequest,
    SkillReply,
    StagedTeacher,
    StepCheckReply,
    StepCheckRequest,
    StepIndexReply,
    StepIndexRequest,
    Teacher,
)

Q = TypeVar("Q", bound=Record)
A = TypeVar("A", bound=Record)
CHUNK = 256
"""Requests after which the replies are on disk: a kill repeats at most so many calls."""


class RecordingTeacher:
    """Implements `Teacher`; see the module's docstring. `scoped` returns one with its own stage and budget."""

    def __init__(
        self,
        teacher: Teacher,
        *,
        store: ReplyStore,
        folder: RunFolder,
        guard: TestSplitGuard,
        identity: str,
        stage: str = "prepare",
        iteration: int = 0,
        allowance: int | None = None,
    ) -> None:
        """`identity` stands for the teacher and its options in the keys; `allowance` caps `asked`, None does not."""
        self.name, self.operations = teacher.name, teacher.operations
        self._teacher, self._store, self._folder, self._guard = teacher, store, folder, guard
        self._identity, self._stage, self._iteration = identity, stage, iteration
        self.allowance = allowance
        self.asked = 0

    def scoped(self, stage: str, *, iteration: int, allowance: int | None) -> RecordingTeacher:
        """The same teacher and replies, counting from 0 for one stage or error batch."""
        inner = self._teacher
        return RecordingTeacher(
            inner.scoped(stage, iteration=iteration) if isinstance(inner, StagedTeacher) else inner,
            store=self._store,
            folder=self._folder,
            guard=self._guard,
            identity=self._identity,
            stage=stage,
            iteration=iteration,
            allowance=allowance,
        )

    @property
    def left(self) -> int | None:
        """Requests that may still be asked; None when there is no cap."""
        return None if self.allowance is None else self.allowance - self.asked

    def option_probabilities(self, requests: Sequence[OptionRequest]) -> list[OptionReply]:
        """See `Teacher`; raises BudgetSpent before the cap is passed."""
        return self._ask("option_probabilities", requests, self._teacher.option_probabilities, OptionReply)

    def missing_skill(self, requests: Sequence[MissingSkillRequest]) -> list[SkillReply]:
        """See `Teacher`; raises BudgetSpent before the cap is passed."""
        return self._ask("missing_skill", requests, self._teacher.missing_skill, SkillReply)

    def required_skills(self, requests: Sequence[RequiredSkillsRequest]) -> list[SkillReply]:
        """See `Teacher`; raises BudgetSpent before the cap is passed."""
        return self._ask("required_skills", requests, self._teacher.required_skills, SkillReply)

    def judge(self, requests: Sequence[JudgeRequest]) -> list[JudgeReply]:
        """See `Teacher`; raises BudgetSpent before the cap is passed."""
        return self._ask("judge", requests, self._teacher.judge, JudgeReply)

    def propose(self, requests: Sequence[ProposeRequest]) -> list[ProposeReply]:
        """See `Teacher`; raises BudgetSpent before the cap is passed."""
        return self._ask("propose", requests, self._teacher.propose, ProposeReply)

    def check_step(self, requests: Sequence[StepCheckRequest]) -> list[StepCheckReply]:
        """See `ReadsSteps`; raises BudgetSpent before the cap is passed."""
        return self._ask("check_step", requests, self._reader.check_step, StepCheckReply)

    def name_step(self, requests: Sequence[StepIndexRequest]) -> list[StepIndexReply]:
        """See `ReadsSteps`; raises BudgetSpent before the cap is passed."""
        return self._ask("name_step", requests, self._reader.name_step, StepIndexReply)

    def write_rationale(self, requests: Sequence[RationaleRequest]) -> list[RationaleReply]:
        """See `ReadsSteps`; raises BudgetSpent before the cap is passed."""
        return self._ask("write_rationale", requests, self._reader.write_rationale, RationaleReply)

    def same_skill(self, requests: Sequence[SameSkillRequest]) -> list[SameSkillReply]:
        """See `ComparesSkills`; raises BudgetSpent before the cap is passed."""
        return self._ask("same_skill", requests, cast(ComparesSkills, self._teacher).same_skill, SameSkillReply)

    def analyse_failure(self, requests: Sequence[FailureRequest]) -> list[FailureReply]:
        """See `ReadsFailures`; raises BudgetSpent before the cap is passed."""
        return self._ask("analyse_failure", requests, cast(ReadsFailures, self._teacher).analyse_failure, FailureReply)

    @property
    def _reader(self) -> ReadsSteps:
        """The inner teacher; callers check `operations` first."""
        return cast(ReadsSteps, self._teacher)

    def _ask(
        self,
        operation: Operation,
        requests: Sequence[Q],
        ask: Callable[[Sequence[Q]], list[A]],
        kind: type[A],
    ) -> list[A]:
        for request in requests:
            self._guard.check(request)
        counted = sum(not (isinstance(request, OptionRequest) and request.exact) for request in requests)
        if self.left is not None and counted > self.left:
            raise BudgetSpent(f"{counted} teacher calls are needed and {self.left} are left")
        self.asked += counted
        shown = [request.model_dump_json() for request in requests]
        keys = [digest(self._identity, operation, text, length=32) for text in shown]
        known = self._store.find(keys)
        open_ = {key: i for i, key in reversed(list(enumerate(keys))) if key not in known}
        order = sorted(open_.values())
        started = time.monotonic()
        for start in range(0, len(order), CHUNK):
            part = order[start : start + CHUNK]
            replies = ask([requests[i] for i in part])
            rows = [
                (
                    keys[i],
                    operation,
                    self._stage,
                    self._iteration,
                    _subject(requests[i]),
                    kept,
                    reply.model_dump_json(),
                )
                for i, reply in zip(part, replies, strict=True)
                for kept in ["" if operation == "required_skills" else shown[i]]
            ]
            self._store.add(rows)
            known.update({row[0]: row[6] for row in rows})
        if requests:
            seconds = round(time.monotonic() - started, 3)
            amounts = {"asked": counted, "paid": len(order), "teacher_seconds": seconds}
            self._folder.spend(self._stage, iteration=self._iteration, operation=operation, **amounts)
        return [kind.model_validate_json(known[key]) for key in keys]


def _subject(request: Record) -> str:
    """Id of the problem that a request is about."""
    value = getattr(request, "problem", None) or getattr(request, "example", None)
    return value.id if isinstance(value, Problem) else str(value or "")
