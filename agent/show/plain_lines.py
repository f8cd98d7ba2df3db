"""The reporter for logs: one line for each event, on stderr."""

from __future__ import annotations

import threading
import time
from typing import TextIO

from agent.run.outcome import spread
from agent.run.reporter import BudgetView, Stage, StopReason
from agent.show.event_text import budget_text, comparison_text, decision_text
from agent.show.stage_progress import Clock, StageProgress
from tools.records import Comparison, Decision, Scorecard

PLAIN_SECONDS = 10.0
"""A plain line about progress inside a stage comes at most so often."""


class PlainReporter:
    """One line per event, for logs."""

    def __init__(self, stream: TextIO, *, clock: Clock = time.monotonic) -> None:
        self._stream, self._lock = stream, threading.Lock()
        self._tracker, self._clock, self._said = StageProgress(clock), clock, clock()

    def _say(self, line: str) -> None:
        self._said = self._clock()
        print(line, file=self._stream, flush=True)

    def stage_started(self, stage: Stage, *, iteration: int, total: int) -> None:
        with self._lock:
            fresh = self._tracker.start(stage, iteration=iteration, total=total)
            if fresh and (total or stage != "prepare"):  # reading data is told when it is done, or is one error
                self._say(f"[{iteration}] {stage}" + (f": {total:,} to do" if total else ""))

    def stage_advanced(
        self,
        stage: Stage,  # noqa: ARG002
        *,
        iteration: int,
        done: int,
        total: int,
        correct: int | None,
    ) -> None:
        with self._lock:
            self._tracker.advance(done=done, total=total, correct=correct)
            if self._clock() - self._said >= PLAIN_SECONDS:
                self._say(f"[{iteration}]   {self._tracker.text()}")

    def stage_ended(self, stage: Stage, *, iteration: int, seconds: float, summary: str) -> None:
        with self._lock:
            self._tracker.end()
            self._say(f"[{iteration}] {stage} done in {seconds:.1f} s: {summary}")

    def decision_made(self, decision: Decision) -> None:
        with self._lock:
            self._say(f"[{decision.iteration}]   {decision_text(decision)}")

    def scored(self, scorecard: Scorecard) -> None:
        with self._lock:
            self._say(f"    {scorecard.split} accuracy {spread(scorecard.accuracy)} of {scorecard.total}")

    def compared(self, comparison: Comparison) -> None:
        with self._lock:
            self._say(f"    {comparison_text(comparison)}")

    def budget_changed(self, budget: BudgetView) -> None:
        with self._lock:
            self._say(f"    {budget_text(budget)}")

    def run_ended(self, reason: StopReason, *, resume: bool) -> None:
        with self._lock:
            self._say(f"{'stopped' if resume else 'ended'}: {reason.replace('_', ' ')}")

    def close(self) -> None:
        """Nothing is open."""
