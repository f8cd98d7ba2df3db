"""What a run tells while it works, and the protocol of those who listen: a terminal, a log, a page, a test."""

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
