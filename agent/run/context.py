"""The context of the graph's nodes: what they work with, and the reporter that they call.

The context holds what does not belong into the graph's state: settings, the run folder, the data, the
teacher, the student and the reporter. Student and reporter are protocols, so that a test or another front end
brings its own.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from errata.agent.run.folder import RunFolder
from errata.agent.run.reporter import Reporter, SilentReporter, Stage
from errata.agent.run.stage_clock import StageClock, StageTime
from errata.agent.settings.tree import Settings
from errata.tools.errors import StopRequested
from errata.tools.records import Attempt, Checkpoint, Lesson, MissingSkill, Problem, Split

if TYPE_CHECKING:
    from langchain_core.language_models.chat_models import BaseChatModel

    from errata.agent.run.receipts import Receipts
    from errata.agent.run.teacher.recorded import RecordingTeacher
    from errata.tools.retrieve.lexical import SearchIndex
    from errata.tools.teacher.embedding import EndpointEmbedding
    from errata.tools.teacher.paid import SpendLimits


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
        asked for again. `on_answer` is called with (done, total, correct) and may raise StopRequested.
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

        `on_progress` is called with (step, steps, loss) and may raise StopRequested: the training then
        saves its state. `max_seconds` is what the budget leaves, None without a limit.
        """
        ...


class IndexFor(Protocol):
    """The index to search for the missing skills of some errors."""

    def __call__(
        self, skills: Sequence[MissingSkill], *, problems: Mapping[str, Problem], taken: AbstractSet[str]
    ) -> SearchIndex:
        """`problems` holds the errors' questions, `taken` the ids of samples that were trained on before."""
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
    index_for: IndexFor
    """The index of the skills that the pool's samples require; empty in a control that does not search."""
    skill_names: Sequence[str]
    """Skills of the pool, most frequent first: wordings that the teacher finds are matched to them. Empty where
    samples are tagged as they become candidates."""
    overlap_of: Callable[[Problem], str | None]
    """Why a made sample may not be trained on, None when it may."""
    decider: BaseChatModel
    """The chat model that chooses the tools."""
    spend_limits: SpendLimits | None = None
    """What a teacher behind an endpoint may spend; None where nothing is paid."""
    embedding: EndpointEmbedding | None = None
    """What an endpoint embeds for a control; None where none does."""
    reporter: Reporter = field(default_factory=SilentReporter)
    clock: StageClock = field(default_factory=StageClock)

    def stop_if_asked(self) -> None:
        """Raise StopRequested between two steps when the user asked for a stop."""
        if self.folder.stop_requested():
            raise StopRequested("stopped by the user")

    @contextlib.contextmanager
    def timed(self, stage: Stage, *, iteration: int, total: int = 0) -> Iterator[list[str]]:
        """Report the begin and the end of a stage, and write its seconds into the ledger, also when it fails.

        Yields a list that takes the summary. Branches that run at the same time are one stage: it
        begins with the first and ends with the last of them, and its seconds are counted once.
        """
        self.stop_if_asked()
        if self.clock.enter(stage):
            self.folder.event("stage_started", stage=stage, iteration=iteration, total=total)
            self.reporter.stage_started(stage, iteration=iteration, total=total)
        summary: list[str] = []
        time_spent: StageTime | None = None
        try:
            yield summary
        finally:
            time_spent = self.clock.leave(stage, summary)
            if time_spent is not None:
                self.folder.spend(stage, iteration=iteration, seconds=time_spent.seconds)
        if time_spent is not None:
            result = "; ".join(time_spent.summary)
            self.folder.event("stage_ended", stage=stage, iteration=iteration, summary=result)
            self.reporter.stage_ended(stage, iteration=iteration, seconds=time_spent.seconds, summary=result)
