"""The reporter for logs: one line for each stage, and for each batch and tool, on stderr."""

from __future__ import annotations

import threading
import time
from typing import TextIO

from errata.agent.run.reporter import BudgetView, Stage, StopReason
from errata.agent.show.progress.batch_lines import BatchLines
from errata.agent.show.progress.event_text import budget_text, comparison_text
from errata.agent.show.progress.stage_progress import Clock, StageProgress
from errata.tools.records import Comparison, Decision, Scorecard

FIRST_SECONDS, MOST_SECONDS = 60.0, 300.0
"""A stage that lasts is reported after the first, then after twice as long each time, at most this far apart."""
QUIET = ("triage", "allocate", "investigate", "assemble", "report")
"""Stages whose end is no line of its own: the batches, the budget and the gate say what came of them."""


class PlainReporter:
    """Prints few lines; the details are in the run folder and in `errata show`."""

    def __init__(self, stream: TextIO, *, clock: Clock = time.monotonic) -> None:
        self._stream, self._lock = stream, threading.Lock()
        self._stage, self._clock, self._said, self._wait = StageProgress(clock), clock, clock(), FIRST_SECONDS
        self._batches = BatchLines()
        self._budget_of = 0
        """Iteration whose budget was said last."""

    def _say(self, line: str) -> None:
        self._said = self._clock()
        print(line, file=self._stream, flush=True)

    def stage_started(self, stage: Stage, *, iteration: int, total: int) -> None:
        with self._lock:
            if self._stage.start(stage, iteration=iteration, total=total):
                self._said, self._wait = self._clock(), FIRST_SECONDS

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
            self._stage.advance(done=done, total=total, correct=correct)
            self._say_progress(iteration, self._stage.text())

    def _say_progress(self, iteration: int, text: str) -> None:
        if self._clock() - self._said >= self._wait:
            self._wait = min(2 * self._wait, MOST_SECONDS)
            self._say(f"[{iteration}] {text}")

    def stage_ended(self, stage: Stage, *, iteration: int, seconds: float, summary: str) -> None:
        with self._lock:
            self._stage.end()
            if stage == "gate":
                return  # `compared` says it
            if stage not in QUIET:
                self._say(f"[{iteration}] {stage}, {seconds:.1f} s: {summary}")

    def decision_made(self, decision: Decision) -> None:
        with self._lock:
            for line in self._batches.add(decision):
                self._say(f"[{decision.iteration}] {line}")
            calls = self._batches.calls()
            self._say_progress(decision.iteration, f"{self._stage.text()}, {calls} calls in open batches")

    def scored(self, scorecard: Scorecard) -> None:
        """The end of `evaluate` says it."""

    def compared(self, comparison: Comparison) -> None:
        with self._lock:
            if comparison.split == "gate":  # the gain on test is the first line of the result
                self._say(f"[{self._stage.iteration}] {comparison_text(comparison)}")

    def budget_changed(self, budget: BudgetView) -> None:
        with self._lock:
            if budget.iteration > self._budget_of:
                self._budget_of = budget.iteration
                self._say(f"[{budget.iteration}] {budget_text(budget)}")

    def run_ended(self, reason: StopReason, *, resume: bool) -> None:
        with self._lock:
            for line in self._batches.rest():
                self._say(f"[{self._stage.iteration}] {line}")
            self._say(f"{'stopped' if resume else 'ended'}: {reason.replace('_', ' ')}")

    def close(self) -> None:
        """Nothing is open."""
