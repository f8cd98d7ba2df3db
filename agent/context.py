"""What the nodes of the graph work with, and whom they tell.

The context holds what does not belong into the graph's state: settings, the run folder, the data, the
teacher, the student and the reporter. Student and reporter are protocols, so that a test or another front end
brings its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

from agent.run_folder import RunFolder
from agent.settings import Settings
from tools.records import Attempt, Checkpoint, Comparison, Decision, Lesson, Problem, Scorecard, Split

if TYPE_CHECKING:
    from langchain_core.language_models.chat_models import BaseChatModel

    from agent.receipts import Receipts
    from agent.recording import RecordingTeacher

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
        done: Mapping[str, Attempt],
        on_answer: Callable[[int, int, int], None],
    ) -> list[Attempt]:
        """One attempt per problem, in order. Those in `done` (by problem id) are returned as they are.

        `on_answer` is told (done, total, correct).
        """
        ...

    def train(
        self,
        lessons: Sequence[Lesson],
        *,
        checkpoint_id: str,
        folder: Path,
        replay: Sequence[Problem],
        on_progress: Callable[[int, int, float | None], None],
    ) -> Checkpoint:
        """Train from the base into `folder`, going on from what a killed training left there.

        `on_progress` is told (step, steps, loss).
        """
        ...


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
    index: object
    """Skill index of the pool (tools.retrieve); None in a control, which does not search."""
    decider: BaseChatModel | None = None
    """The deciding chat model; None in a control."""
    reporter: Reporter = field(default_factory=SilentReporter)
