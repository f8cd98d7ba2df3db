"""What the nodes of the graph work with, and whom they tell.

The context holds what does not belong into the graph's state: settings, the run folder, the data, the
teacher, the student and the reporter. Student and reporter are protocols, so that a test or another front end
brings its own.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

from agent.run.folder import RunFolder
from agent.settings.tree import Settings
from tools.errors import StopRequested
from tools.records import Attempt, Checkpoint, Comparison, Decision, Lesson, Problem, Scorecard, Split

if TYPE_CHECKING:
    from langchain_core.language_models.chat_models import BaseChatModel

    from agent.loop.pool_index import IndexFor
    from agent.run.receipts import Receipts
    from agent.run.recorded_teacher import RecordingTeacher
    from tools.teacher.embedding import EndpointEmbedding
    from tools.teacher.paid import Purse

Stage = Literal[
    "prepare", "index", "evaluate", "triage", "allocate", "investigate", "assemble", "train", "gate", "report"
]
StopReason = Literal[
    "target_reached", "budget_spent", "no_gain_twice", "iteration_limit", "no_errors", "stopped_by_user"
]


class BudgetView(NamedTuple):
    """What is used and what may be used; None is no limit."""

    samples: int
    samples_limit: int | None
    seconds: float
    seconds_limit: float | None
    teacher_calls: int
    teacher_calls_limit: int | None
    iteration: int
    iteration_limit: int


class Reporter(Protocol):
    """Told by the loop what happens, from several threads at once during `investigate`; must not raise.

    A stage may be reported again after a resume; what had been done is then reported as advanced at once.
    """

    def stage_started(self, stage: Stage, *, iteration: int, total: int) -> None:
        """`total` units are to be done (problems, batches, training steps); 0 when unknown."""
        ...

    def stage_advanced(
        self, stage: Stage, *, iteration: int, done: int, total: int, correct: int | None
    ) -> None:
        """`correct` of the `done` answers were right; None outside `evaluate`."""
        ...

    def stage_ended(self, stage: Stage, *, iteration: int, seconds: float, summary: str) -> None:
        """`summary` says in one line what came out."""
        ...

    def decision_made(self, decision: Decision) -> None: ...

    def scored(self, scorecard: Scorecard) -> None: ...

    def compared(self, comparison: Comparison) -> None: ...

    def budget_changed(self, budget: BudgetView) -> None: ...

    def run_ended(self, reason: StopReason, *, resume: bool) -> None:
        """`resume`: the run was stopped in the middle and `errata resume` continues it."""
        ...


class SilentReporter:
    """Tells nobody."""

    def stage_started(self, stage: Stage, *, iteration: int, total: int) -> None: ...

    def stage_advanced(
        self, stage: Stage, *, iteration: int, done: int, total: int, correct: int | None
    ) -> None: ...

    def stage_ended(self, stage: Stage, *, iteration: int, seconds: float, summary: str) -> None: ...

    def decision_made(self, decision: Decision) -> None: ...

    def scored(self, scorecard: Scorecard) -> None: ...

    def compared(self, comparison: Comparison) -> None: ...

    def budget_changed(self, budget: BudgetView) -> None: ...

    def run_ended(self, reason: StopReason, *, resume: bool) -> None: ...


class Student(Protocol):
    """The model under study: answers problems, and is trained from its base on lessons."""

    def evaluate(
        self,
        problems: Sequence[Problem],
        *,
        checkpoint: Checkpoint,
        store: Path,
        on_answer: Callable[[int, int, int], None],
    ) -> list[Attempt]:
        """One attempt per problem, in order.

        Each answer is appended to the file `store` as it comes, and those that are there are not
        asked for again. `on_answer` is told (done, total, correct), and may raise StopRequested.
        """
        ...

    def train(
        self,
        lessons: Sequence[Lesson],
        *,
        checkpoint_id: str,
        folder: Path,
        replay: Sequence[Problem],
        max_seconds: float | None,
        on_progress: Callable[[int, int, float | None], None],
    ) -> Checkpoint:
        """Train from the base into `folder`, going on from what a killed training left there.

        `on_progress` is told (step, steps, loss), and may raise StopRequested: the training then
        saves its state. `max_seconds` is what the budget leaves, None without a limit.
        """
        ...


class Lap(NamedTuple):
    """What a stage took, in seconds, and what its branches said."""

    seconds: float
    summary: list[str]


class Clock:
    """Times stages that several branches may be in at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside: dict[Stage, int] = {}
        self._since: dict[Stage, float] = {}
        self._said: dict[Stage, list[str]] = {}

    def enter(self, stage: Stage) -> bool:
        """Whether this branch is the first."""
        with self._lock:
            inside = self._inside.get(stage, 0)
            self._inside[stage] = inside + 1
            if inside == 0:
                self._since[stage], self._said[stage] = time.monotonic(), []
            return inside == 0

    def leave(self, stage: Stage, said: Sequence[str]) -> Lap | None:
        """The lap when this branch was the last, else None."""
        with self._lock:
            self._inside[stage] -= 1
            self._said[stage] += said
            if self._inside[stage]:
                return None
            return Lap(round(time.monotonic() - self._since[stage], 3), self._said[stage])


@dataclass(frozen=True)
class Context:
    """Everything that a node needs beside the state."""

    settings: Settings
    folder: RunFolder
    problems: Mapping[Split, Mapping[str, Problem]]
    """By split and id; the pool holds what the firewall let through."""
    student: Student
    teacher: RecordingTeacher
    receipts: Receipts
    index_for: IndexFor
    """The index of the skills that the pool's samples require; empty in a control that does not search."""
    skill_names: Sequence[str]
    """Skills of the pool, most frequent first: wordings that the teacher finds are matched to them. Empty where
    samples are tagged as they become candidates."""
    forbid: Callable[[Problem], str | None]
    """Why a made sample may not be trained on, None when it may."""
    decider: BaseChatModel
    """The chat model that chooses the tools."""
    purse: Purse | None = None
    """What a teacher behind an endpoint may spend; None where nothing is paid."""
    embedding: EndpointEmbedding | None = None
    """What an endpoint embeds for a control; None where none does."""
    reporter: Reporter = field(default_factory=SilentReporter)
    clock: Clock = field(default_factory=Clock)

    def stop_if_asked(self) -> None:
        """Raise StopRequested between two steps when the user asked for a stop."""
        if self.folder.stop_requested():
            raise StopRequested("stopped by the user")

    @contextlib.contextmanager
    def timed(self, stage: Stage, *, iteration: int, total: int = 0) -> Iterator[list[str]]:
        """Tell that a stage begins and ends, and put its seconds into the ledger, also when it fails.

        Yields a list that takes the summary. Branches that run at the same time are one stage: it
        begins with the first and ends with the last of them, and its seconds are counted once.
        """
        self.stop_if_asked()
        if self.clock.enter(stage):
            self.folder.event("stage_started", stage=stage, iteration=iteration, total=total)
            self.reporter.stage_started(stage, iteration=iteration, total=total)
        summary: list[str] = []
        lap: Lap | None = None
        try:
            yield summary
        finally:
            lap = self.clock.leave(stage, summary)
            if lap is not None:
                self.folder.spend(stage, iteration=iteration, seconds=lap.seconds)
        if lap is not None:
            told = "; ".join(lap.summary)
            self.folder.event("stage_ended", stage=stage, iteration=iteration, summary=told)
            self.reporter.stage_ended(stage, iteration=iteration, seconds=lap.seconds, summary=told)
