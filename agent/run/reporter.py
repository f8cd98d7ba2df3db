"""The events of a run while it works, and the protocol of a reporter: for a terminal, a log, a page or a test."""

from __future__ import annotations

from typing import Literal, NamedTuple, Protocol

from errata.tools.records import Comparison, Decision, Scorecard

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
    """The loop calls these methods, during `investigate` from several threads. They must not raise.

    After a resume a stage is reported again; the work that was already done is then reported in the first advance.
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
    """A reporter that does nothing."""

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
