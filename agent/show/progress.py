"""Reporters: a live display on a terminal, plain lines elsewhere, JSON lines for machines.

All write to stderr, so that stdout holds the result alone. The loop calls them from several threads at once.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol, TextIO

from agent.run.context import BudgetView, Reporter, Stage, StopReason
from agent.run.outcome import percent, spread
from tools.records import Comparison, Decision, Scorecard

PLAIN_SECONDS = 10.0
"""A plain line about progress inside a stage comes at most so often."""
Clock = Callable[[], float]


class ClosableReporter(Reporter, Protocol):
    """A reporter that may hold the terminal."""

    def close(self) -> None:
        """Give the terminal back."""
        ...


def make_reporter(*, json_lines: bool, stream: TextIO | None = None) -> ClosableReporter:
    """The reporter that fits: JSON lines if asked for, live on a terminal, else plain lines."""
    stream = stream or sys.stderr
    if json_lines:
        return JsonReporter(stream)
    if not stream.isatty():
        return PlainReporter(stream)
    from agent.show.live import LiveReporter

    return LiveReporter()


def remaining_text(seconds: float) -> str:
    """Time left, coarse on purpose."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d} left"


def amount_text(used: float, limit: float | None) -> str:
    """`120/900`, or `120` where there is no limit."""
    return f"{used:,.0f}" if limit is None else f"{used:,.0f}/{limit:,.0f}"


def budget_text(budget: BudgetView) -> str:
    """All budgets in one line."""
    return (
        f"iteration {amount_text(budget.iteration, budget.iteration_limit)}"
        f" · samples {amount_text(budget.samples, budget.samples_limit)}"
        f" · teacher calls {amount_text(budget.teacher_calls, budget.teacher_calls_limit)}"
        f" · seconds {amount_text(budget.seconds, budget.seconds_limit)}"
    )


def comparison_text(comparison: Comparison) -> str:
    """A gate decision in one line; on the test split nothing is decided, there is only the gain."""
    if comparison.split == "gate":
        return f"gate: {comparison.reason}"
    gain = comparison.gain
    bounds = f"{100 * gain.low:+.1f} to {100 * gain.high:+.1f}"
    return f"{comparison.split}: {percent(gain.value, sign=True)} points ({bounds})"


def decision_text(decision: Decision) -> str:
    """A tool call in one line."""
    return f"{decision.batch}: {decision.tool}, {decision.reason} -> {decision.outcome}"


class Tracker:
    """How far the current stage is: shared by the reporters for people."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self.clock = clock
        self.stage: str = ""
        self.iteration = self.done = self.total = 0
        self.correct: int | None = None
        self._began = clock()
        self._first = 0  # units reported with the first advance: after a resume they took no time

    def start(self, stage: Stage, *, iteration: int, total: int) -> bool:
        """False for another branch of the stage that runs already."""
        if (stage, iteration) == (self.stage, self.iteration) and stage == "investigate":
            return False
        self.stage, self.iteration, self.total = stage, iteration, total
        self.done, self.correct, self._first, self._began = 0, None, -1, self.clock()
        return True

    def end(self) -> None:
        """A stage or a branch of it is done: branches are the units of `investigate`."""
        if self.stage == "investigate":
            self.advance(done=self.done + 1, total=self.total, correct=None)

    def advance(self, *, done: int, total: int, correct: int | None) -> None:
        if self._first < 0:
            self._first, self._began = done, self.clock()
        self.done, self.total, self.correct = done, total, correct

    def eta(self) -> float | None:
        """Seconds left at the pace so far; None when nothing can be said."""
        fresh = self.done - max(self._first, 0)
        if fresh <= 0 or self.total <= self.done:
            return None
        return (self.clock() - self._began) * (self.total - self.done) / fresh

    def text(self) -> str:
        """`evaluate 120/400, 61.7 % right, 0:12 left`."""
        parts = [f"{self.stage} {amount_text(self.done, self.total or None)}"]
        if self.correct is not None and self.done:
            parts.append(f"{percent(self.correct / self.done)} right")
        eta = self.eta()
        return ", ".join([*parts, remaining_text(eta)] if eta is not None else parts)


class PlainReporter:
    """One line per event, for logs."""

    def __init__(self, stream: TextIO, *, clock: Clock = time.monotonic) -> None:
        self._stream, self._lock = stream, threading.Lock()
        self._tracker, self._clock, self._said = Tracker(clock), clock, clock()

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


class JsonReporter:
    """One JSON object per event; records are given whole."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._lock = stream, threading.Lock()

    def _say(self, event: str, **fields: Any) -> None:
        with self._lock:
            print(json.dumps({"event": event, **fields}, ensure_ascii=False), file=self._stream, flush=True)

    def stage_started(self, stage: Stage, *, iteration: int, total: int) -> None:
        self._say("stage_started", stage=stage, iteration=iteration, total=total)

    def stage_advanced(self, stage: Stage, *, iteration: int, done: int, total: int, correct: int | None) -> None:
        self._say("stage_advanced", stage=stage, iteration=iteration, done=done, total=total, correct=correct)

    def stage_ended(self, stage: Stage, *, iteration: int, seconds: float, summary: str) -> None:
        self._say("stage_ended", stage=stage, iteration=iteration, seconds=round(seconds, 3), summary=summary)

    def decision_made(self, decision: Decision) -> None:
        self._say("decision_made", decision=decision.model_dump(mode="json"))

    def scored(self, scorecard: Scorecard) -> None:
        self._say("scored", scorecard=scorecard.model_dump(mode="json"))

    def compared(self, comparison: Comparison) -> None:
        self._say("compared", comparison=comparison.model_dump(mode="json"))

    def budget_changed(self, budget: BudgetView) -> None:
        self._say("budget_changed", **budget._asdict())

    def run_ended(self, reason: StopReason, *, resume: bool) -> None:
        self._say("run_ended", reason=reason, resume=resume)

    def close(self) -> None:
        """Nothing is open."""
