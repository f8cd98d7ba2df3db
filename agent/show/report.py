"""The report of a run: one HTML file that needs no other file.

It can be written at any time; what has not happened yet is left out. Examples are from the diagnosis part
only, whose errors may be read; no test question is shown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from errata.agent.run.folder import RunFolder
from errata.agent.run.lineage import Archive
from errata.agent.run.outcome import (
    Outcome,
    StageCost,
    changes_by_skill,
    cost_by_stage,
    read_outcome,
    read_settings,
    samples_by_route,
    total_of,
)
from errata.agent.run.sentences import chance_of, percent, spread, verdict
from errata.agent.show.charts import Point, accuracy_chart, change_bar
from errata.agent.show.examples import Example, pick_examples
from errata.tools.data.firewall import Overlap
from errata.tools.records import Comparison, Decision, Problem

REPORT = "report.html"


class ToolUse(NamedTuple):
    """What one tool was used for in one iteration."""

    iteration: int
    tool: str
    times: int
    samples: int
    teacher_calls: int
    gain: float | None
    reason: str
    """The most frequent one."""
    reasons: int
    """Different ones."""
    decisions: list[Decision]


def write_report(folder: RunFolder, *, problems: Mapping[str, Problem]) -> Path:
    """Write `report.html` into the run folder and return its path.

    `problems` are the validation questions by id; those of the test split only count for the level of chance.
    """
    folder.write_text(REPORT, render_report(folder, problems=problems))
    return folder.path / REPORT


def render_report(folder: RunFolder, *, problems: Mapping[str, Problem]) -> str:
    """The report's HTML."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    outcome, settings = read_outcome(folder), read_settings(folder)
    archive = Archive(folder, problems=problems)
    split = outcome.final_split
    chance = chance_of(p for p in problems.values() if p.split == split)
    chart = draw_accuracy(outcome, chance=chance)
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined
    )
    environment.filters |= {"percent": percent, "spread": spread, "number": _number, "seconds": duration}
    environment.globals |= {"svg": lambda draw, *args: Markup(draw(*args))}
    ledger = folder.ledger()
    return environment.get_template("report.html.j2").render(
        outcome=outcome,
        settings=settings,
        sentences=verdict(outcome, chance=chance),
        tiles=_tiles(outcome),
        chart=Markup(chart),
        chance=chance,
        changes=[
            (change, Markup(change_bar(change.before / change.total, change.after / change.total)))
            for change in changes_by_skill(outcome)
        ],
        rounds=list(enumerate(outcome.rounds, 1)),
        tools=group_decisions(outcome.decisions),
        gains={d.iteration: d.gain for d in outcome.decisions if d.gain is not None},
        examples=[_marked(e) for e in pick_examples(archive, delta=settings.locate.delta)],
        statuses=_counts(m.status for m in archive.mistakes.values()),
        routes=samples_by_route(outcome.lessons),
        skipped=outcome.skipped,
        manifest=folder.read_json("manifest.json") or {},
        firewall=describe_firewall(folder, policy=settings.firewall.policy),
        costs=cost_by_stage(ledger),
        all_costs=_sum_costs(cost_by_stage(ledger)),
        settings_text=(folder.path / "settings.yaml").read_text(encoding="utf-8"),
    )


def draw_accuracy(outcome: Outcome, *, chance: float | None) -> str:
    """Gate accuracy by iteration, with the test accuracy of base and best checkpoint; empty before both."""
    base = outcome.scorecard(outcome.base, "gate")
    if base is None:
        return ""
    points = [Point(0, base.accuracy, "kept")]
    best_column = 0
    for number, comparison in enumerate(outcome.rounds, 1):
        card = outcome.scorecard(comparison.after, "gate")
        if card is not None:
            points.append(Point(number, card.accuracy, "kept" if comparison.accepted else "refused"))
        if comparison.after == outcome.best:
            best_column = number
    for column, checkpoint in dict([(0, outcome.base), (best_column, outcome.best)]).items():
        card = outcome.scorecard(checkpoint, "test")
        if card is not None:
            points.append(Point(column, card.accuracy, "test"))
    labels = ["base", *(str(number) for number in range(1, len(outcome.rounds) + 1))]
    return accuracy_chart(points, labels=labels, chance=chance)


def group_decisions(decisions: Iterable[Decision]) -> list[ToolUse]:
    """Decisions by iteration and tool, in order of first use."""
    groups: dict[tuple[int, str], list[Decision]] = {}
    for decision in decisions:
        groups.setdefault((decision.iteration, decision.tool), []).append(decision)
    return [
        ToolUse(
            iteration,
            tool,
            len(group),
            sum(d.cost.samples for d in group),
            sum(d.cost.teacher_calls for d in group),
            next((d.gain for d in group if d.gain is not None), None),
            *_main_reason(group),
            group,
        )
        for (iteration, tool), group in sorted(groups.items(), key=lambda item: item[0][0])
    ]


def _marked(example: Example) -> Example:
    from markupsafe import Markup

    return example._replace(curve=Markup(example.curve))


def _main_reason(decisions: Sequence[Decision]) -> tuple[str, int]:
    """The reason of the decision with the most samples, with the skill it is about, and how many reasons there are."""
    largest = max(decisions, key=lambda d: d.cost.samples)
    skill = largest.arguments.get("skill")
    return f"{skill}: {largest.reason}" if skill else largest.reason, len({d.reason for d in decisions})


def _tiles(outcome: Outcome) -> list[tuple[str, str, str]]:
    """Headline figures: name, value, note."""
    tiles = []
    for split in ("test", "gate"):
        before, after = outcome.scorecard(outcome.base, split), outcome.scorecard(outcome.best, split)
        if before is not None and after is not None:
            pair: Comparison | None = next(
                (c for c in outcome.comparisons if (c.split, c.before, c.after) == (split, outcome.base, outcome.best)),
                None,
            )
            note = f"95 % {100 * after.accuracy.low:.1f} to {100 * after.accuracy.high:.1f}"
            if pair is not None:
                note = f"{percent(pair.gain.value, sign=True)} points, {pair.fixed} fixed, {pair.broken} broken"
            tiles.append(
                (
                    f"{split} accuracy",
                    f"{100 * before.accuracy.value:.1f} → {percent(after.accuracy.value)}",
                    note,
                )
            )
    routes = ", ".join(f"{count} {route}" for route, count in samples_by_route(outcome.lessons).items())
    tiles.append(
        (
            "iterations accepted",
            f"{outcome.accepted} of {len(outcome.rounds)}",
            outcome.stop_reason.replace("_", " "),
        )
    )
    tiles.append(("training samples", f"{len(outcome.lessons):,}", routes))
    return tiles


def _counts(values: Any) -> list[tuple[str, int]]:
    return sorted(Counter(values).items(), key=lambda item: (-item[1], item[0]))


def describe_firewall(folder: RunFolder, *, policy: str) -> str:
    """Overlaps that the firewall found between the pool and the validation and test questions."""
    if not folder.has("overlaps.jsonl"):
        return "It has not looked yet."
    found = len(folder.read_records("overlaps.jsonl", Overlap))
    if not found:
        return "The pool shares no picture and no question with diagnosis, gate and test."
    return f"Left out (policy {policy}): {found:,} samples of the pool that overlap, by kind in the table above."


def _sum_costs(costs: Sequence[StageCost]) -> StageCost:
    whole = {key: total_of(getattr(cost, key) for cost in costs) for key in ("seconds", "asked", "paid", "samples")}
    counts = [None if whole[key] is None else int(whole[key] or 0) for key in ("asked", "paid", "samples")]
    return StageCost("all", whole["seconds"], *counts)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"


def duration(seconds: float | None) -> str:
    """Seconds as text, e.g. `1 min 52 s`; a dash if unknown."""
    if seconds is None:
        return "–"
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
