"""The end of a run in a few lines: what came out, what it cost, where the rest is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from errata.agent.run.checkpoints import describe_pruned
from errata.agent.run.outcome import Outcome, StageCost, changes_by_skill, samples_by_route, total_of
from errata.agent.run.sentences import percent, verdict
from errata.agent.show.report import duration

SKILLS = 3
"""Skills that are named; `errata show RUN summary` has them all."""


def outcome_lines(
    outcome: Outcome, *, costs: Sequence[StageCost], chance: float | None, report: Path | None
) -> list[str]:
    """Accuracy before and after, the skills that changed most, samples, cost, and what to type for more."""
    lines = ["", *verdict(outcome, chance=chance)]
    before, after = outcome.scorecard(outcome.base, "gate"), outcome.scorecard(outcome.best, "gate")
    trained = sum(c.split == "gate" for c in outcome.comparisons)
    if before is not None and after is not None and trained:
        values = f"{percent(before.accuracy.value)} to {percent(after.accuracy.value)}"
        accepted = f"{outcome.accepted} of {trained} trainings accepted"
        lines.append(f"gate:     {values} on {after.total} questions; {accepted}")
    lines += _skill_lines(outcome)
    routes = samples_by_route(outcome.lessons)
    if routes:
        by_route = ", ".join(f"{count} by {route}" for route, count in routes.items())
        lines.append(f"samples:  {len(outcome.lessons)} trained on, {by_route}")
    if costs:
        lines.append(f"cost:     {_cost_text(costs)}")
    if outcome.skipped:
        lines.append(f"left out: {sum(count for *_, count in outcome.skipped):,} rows")
    if outcome.pruned:
        lines.append(f"disk:     {describe_pruned(outcome.pruned)}")
    if report is not None:
        lines.append(f"report:   {report}")
    return [*lines, f"more:     errata show {outcome.run} summary|errors|skills|lessons|decisions|ID"]


def _skill_lines(outcome: Outcome) -> list[str]:
    """The skills that gained most, and those that fell."""
    changes = changes_by_skill(outcome)

    def result(chosen: Sequence[object]) -> str:
        texts = []
        for change in changes:
            if change in chosen:
                rates = f"{percent(change.before / change.total)} to {percent(change.after / change.total)}"
                texts.append(f"{change.skill} ({rates})")
        return ", ".join(texts)

    gained = [change for change in changes if change.gain > 0][:SKILLS]
    fallen = [change for change in changes if change.gain < 0]
    lines = [f"gained:   {result(gained)}"] if gained else []
    if fallen:
        rest = f" and {len(fallen) - SKILLS} more" if len(fallen) > SKILLS else ""
        lines.append(f"fell:     {result(fallen[-SKILLS:])}{rest}")
    return lines


def _cost_text(costs: Sequence[StageCost]) -> str:
    """Time in all and of the longest stages, and replies of the teacher."""
    timed = sorted((c for c in costs if c.seconds), key=lambda c: -(c.seconds or 0.0))
    longest = ", ".join(f"{c.stage} {duration(c.seconds)}" for c in timed[:2])
    asked, paid = (total_of(getattr(c, name) for c in costs) for name in ("asked", "paid"))
    calls = "" if not asked else f"; {asked:,.0f} teacher calls, {paid or 0:,.0f} of them answered anew"
    return f"{duration(total_of(c.seconds for c in costs))} ({longest}){calls}"
