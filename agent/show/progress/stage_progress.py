"""Progress of the current stage, shared by the reporters that people read."""

from __future__ import annotations

import time
from collections.abc import Callable

from errata.agent.run.reporter import Stage
from errata.agent.run.sentences import percent
from errata.agent.show.progress.event_text import amount_text, remaining_text

Clock = Callable[[], float]


class StageProgress:
    """Progress of the current stage."""

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
