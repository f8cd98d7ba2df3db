"""Tables for a person: the summary of a run and the list of runs. Rich is imported on first use."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from errata.agent.run.checkpoints import describe_pruned
from errata.agent.run.outcome import Outcome, StageCost, changes_by_skill, samples_by_route
from errata.agent.run.sentences import percent, spread, verdict
from errata.agent.show.report import duration, group_decisions

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from errata.agent.run.find import RunSummary
    from errata.tools.records import Comparison, Scorecard

PLAIN_WIDTH = 110
"""Columns where the output is not a terminal."""


def make_console(*, stderr: bool = False) -> Console:
    """A console as wide as the terminal, or `PLAIN_WIDTH` columns without colours elsewhere."""
    from rich.console import Console

    console = Console(stderr=stderr, highlight=False)
    return console if console.is_terminal else Console(stderr=stderr, highlight=False, width=PLAIN_WIDTH)


def make_table(title: str, *columns: str) -> Table:
    """A table without frame; a column whose name begins with `>` is right-aligned."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column.lstrip(">"), justify="right" if column.startswith(">") else "left")
    return table


def fill_table(table: Table, rows: Sequence[Sequence[object]]) -> Table:
    """Add rows of anything that prints; square brackets are text, not markup."""
    from rich.text import Text

    for row in rows:
        table.add_row(*(Text(str(cell)) for cell in row))
    return table


def print_outcome(
    console: Console,
    outcome: Outcome,
    *,
    costs: Sequence[StageCost],
    chance: float | None,
    report: Path | None,
) -> None:
    """The end of a run: accuracy before and after, by skill, decisions, samples, cost, report."""
    from rich.text import Text

    console.print()
    for sentence in verdict(outcome, chance=chance):
        console.print(Text(sentence, style="bold"))
    console.print(_accuracy_table(outcome))
    changes = [
        (c.skill, f"{percent(c.before / c.total)}", f"{percent(c.after / c.total)}", c.total)
        for c in changes_by_skill(outcome)
    ]
    if changes:
        table = make_table(f"By skill ({outcome.final_split} questions)", "skill", ">before", ">after", ">questions")
        console.print(fill_table(table, changes))
    if outcome.decisions:
        console.print(_decision_table(outcome))
    routes = samples_by_route(outcome.lessons)
    if routes:
        console.print(fill_table(make_table("Samples by route", "route", ">samples"), list(routes.items())))
    if outcome.skipped:
        console.print(fill_table(make_table("Rows left out", "source", "reason", ">rows"), outcome.skipped))
    if costs:
        console.print(cost_table(costs))
    if outcome.pruned:
        console.print(Text(f"disk:   {describe_pruned(outcome.pruned)}"), soft_wrap=True)
    if report is not None:
        console.print(Text(f"report: {report}"), soft_wrap=True)
    console.print(Text(f"more:   errata show {outcome.run} errors|skills|lessons|decisions|ID"), soft_wrap=True)


def _accuracy_table(outcome: Outcome) -> Table:
    table = make_table("Accuracy, with 95 % intervals", "split", ">before", ">after", ">gain in points", ">questions")
    rows = []
    for split in ("gate", "test"):
        before, after = outcome.scorecard(outcome.base, split), outcome.scorecard(outcome.best, split)
        if before is not None and after is not None:
            pair = next(
                (c for c in outcome.comparisons if (c.split, c.before, c.after) == (split, outcome.base, outcome.best)),
                None,
            )
            rows.append(
                (
                    split,
                    spread(before.accuracy),
                    spread(after.accuracy),
                    gain_text(before, after, pair),
                    after.total,
                )
            )
    return fill_table(table, rows)


def gain_text(before: Scorecard, after: Scorecard, pair: Comparison | None) -> str:
    """Gain in points, with its paired interval where it was computed."""
    if pair is None:
        return percent(after.accuracy.value - before.accuracy.value, sign=True)
    return f"{percent(pair.gain.value, sign=True)} ({100 * pair.gain.low:+.1f} to {100 * pair.gain.high:+.1f})"


def _decision_table(outcome: Outcome) -> Table:
    table = make_table(
        "What was decided, and why",
        ">iteration",
        "tool",
        ">calls",
        ">samples",
        ">gate",
        "reason of the largest",
    )
    rows = []
    for use in group_decisions(d for d in outcome.decisions if d.tool != "finish_batch"):
        gain = "" if use.gain is None else percent(use.gain, sign=True)
        rows.append((use.iteration, use.tool, use.times, use.samples or "", gain, use.reason))
    return fill_table(table, rows)


def cost_table(costs: Sequence[StageCost]) -> Table:
    """The ledger by stage; a dash is unknown or not applicable."""

    def count(value: int | None) -> str:
        return "–" if value is None else f"{value:,}"

    table = make_table("Cost by stage", "stage", ">time", ">asked", ">paid", ">samples")
    return fill_table(
        table,
        [(c.stage, duration(c.seconds), count(c.asked), count(c.paid), count(c.samples)) for c in costs],
    )


def runs_table(runs: Sequence[RunSummary]) -> Table:
    """One line per run."""
    table = make_table("", "run", "state", ">iteration", "ended because")
    return fill_table(table, [(r.id, r.state, r.iteration, r.stop_reason.replace("_", " ")) for r in runs])


def records_table(title: str, rows: Sequence[dict[str, Any]]) -> Table:
    """Rows with equal keys as a table."""
    table = make_table(title, *(rows[0] if rows else ()))
    return fill_table(table, [list(row.values()) for row in rows])
