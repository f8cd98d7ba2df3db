"""Seconds that a stage took, where several branches may be in it at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import NamedTuple

from errata.agent.run.reporter import Stage


class StageTime(NamedTuple):
    """Seconds that a stage took, and the summaries of its branches."""

    seconds: float
    summary: list[str]


class StageClock:
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

    def leave(self, stage: Stage, said: Sequence[str]) -> StageTime | None:
        """Seconds and summaries when this branch was the last one; None while others are still in the stage."""
        with self._lock:
            self._inside[stage] -= 1
            self._said[stage] += said
            if self._inside[stage]:
                return None
            return StageTime(round(time.monotonic() - self._since[stage], 3), self._said[stage])
