"""The reporter for machines: one JSON object for each event, on stderr."""

from __future__ import annotations

import json
import threading
from typing import Any, TextIO

from errata.agent.run.reporter import BudgetView, Stage, StopReason
from errata.tools.records import Comparison, Decision, Scorecard


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
