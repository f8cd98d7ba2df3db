"""The reporter for a terminal: one display that is redrawn in place, and lines for what is done above it."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from errata.agent.run.reporter import BudgetView, Stage, StopReason
from errata.agent.run.sentences import percent, spread
from errata.agent.show.progress.batch_lines import BatchLines
from errata.agent.show.progress.event_text import budget_text, comparison_text
from errata.agent.show.progress.stage_progress import Clock, StageProgress
from errata.tools.records import Comparison, Decision, Scorecard

if TYPE_CHECKING:
    from rich.live import Live
    from rich.table import Table


class LiveReporter:
    """Redraws stage, counts, time left, accuracy and budget in place, and prints finished stages above."""

    def __init__(self, *, clock: Clock = time.monotonic) -> None:
        from errata.agent.show.tables import make_console

        self._console, self._lock = make_console(stderr=True), threading.RLock()
        self._stage = StageProgress(clock)
        self._budget: BudgetView | None = None
        self._accuracy = ""
        self._batches = BatchLines()
        self._live: Live | None = None

    def _render(self) -> Table:
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        with self._lock:
            table = Table.grid(padding=(0, 1))
            total = self._stage.total or None
            bar = ProgressBar(total=total, completed=self._stage.done, width=28, pulse=total is None)
            table.add_row(bar, Text(f"[{self._stage.iteration}] {self._stage.text()}"))
            notes = [self._accuracy, budget_text(self._budget) if self._budget else ""]
            table.add_row("", Text(" · ".join(note for note in notes if note), style="dim"))
            return table

    def _print(self, line: str, *, style: str = "") -> None:
        from rich.text import Text

        with self._lock:
            self._console.print(Text(line, style=style), soft_wrap=True)

    def stage_started(self, stage: Stage, *, iteration: int, total: int) -> None:
        from rich.live import Live

        with self._lock:
            self._stage.start(stage, iteration=iteration, total=total)
            if self._live is None:
                self._live = Live(
                    get_renderable=self._render, console=self._console, refresh_per_second=8, transient=True
                )
                self._live.start()

    def stage_advanced(
        self,
        stage: Stage,  # noqa: ARG002
        *,
        iteration: int,  # noqa: ARG002
        done: int,
        total: int,
        correct: int | None,
    ) -> None:
        with self._lock:
            self._stage.advance(done=done, total=total, correct=correct)

    def stage_ended(self, stage: Stage, *, iteration: int, seconds: float, summary: str) -> None:
        with self._lock:
            self._stage.end()
        self._print(f"[{iteration}] {stage:<12} {seconds:6.1f} s  {summary}")

    def decision_made(self, decision: Decision) -> None:
        with self._lock:
            lines = self._batches.add(decision)
        for line in lines:
            self._print(f"      {line}", style="dim")

    def scored(self, scorecard: Scorecard) -> None:
        with self._lock:
            self._accuracy = f"{scorecard.split} {percent(scorecard.accuracy.value)}"
        self._print(f"      {scorecard.split} accuracy {spread(scorecard.accuracy)} of {scorecard.total}")

    def compared(self, comparison: Comparison) -> None:
        self._print(
            f"      {comparison_text(comparison)}",
            style="bold green" if comparison.accepted else "bold yellow",
        )

    def budget_changed(self, budget: BudgetView) -> None:
        with self._lock:
            self._budget = budget

    def run_ended(self, reason: StopReason, *, resume: bool) -> None:
        self.close()
        with self._lock:
            lines = self._batches.rest()
        for line in lines:
            self._print(f"      {line}", style="dim")
        self._print(f"{'stopped' if resume else 'ended'}: {reason.replace('_', ' ')}")

    def close(self) -> None:
        """Remove the display, also after an error."""
        with self._lock:
            if self._live is not None:
                self._live.stop()
                self._live = None
