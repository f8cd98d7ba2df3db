"""Accept or reject a checkpoint, and decide whether the run ends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from errata.agent.run.context import Context
from errata.agent.run.reporter import StopReason
from errata.tools.records import Attempt, Comparison, Problem


class Verdict(NamedTuple):
    """What the gate changes in the state."""

    comparison: Comparison
    best: str
    no_gain: int
    """Rejected iterations in a row."""
    withdrawn: list[int]
    """Iterations whose lessons are not used again."""


def judge_checkpoint(
    before: list[Attempt],
    after: list[Attempt],
    *,
    problems: Mapping[str, Problem],
    iteration: int,
    no_gain: int,
    context: Context,
) -> Verdict:
    """Paired comparison on the gate (methods, section 7); `no_gain` iterations in a row were rejected before.

    The best checkpoint is kept. Lessons accumulate: those of a rejected iteration stay for the next training,
    since a gain within noise says nothing against them; only where a sentinel skill fell are they withdrawn.
    """
    from errata.tools.evaluate.compare import compare_attempts

    comparison = compare_attempts(
        before,
        after,
        split="gate",
        problems=list(problems.values()),
        seed=context.settings.run.seed,
        min_gain=context.settings.gate.min_gain,
        keep_steps=context.settings.gate.keep_steps,
    )
    withdrawn = [] if comparison.accepted or not comparison.sentinels_fallen else [iteration]
    return Verdict(
        comparison=comparison,
        best=comparison.after if comparison.accepted else comparison.before,
        no_gain=0 if comparison.accepted else no_gain + 1,
        withdrawn=withdrawn,
    )


def find_stop(
    *, iteration: int, no_gain: int, errors: int, gate_accuracy: float, spent: str, context: Context
) -> StopReason | None:
    """Why the run ends before its next iteration; None when it goes on. First reason in the order below."""
    budget = context.settings.budget
    if budget.target is not None and gate_accuracy >= budget.target:
        return "target_reached"
    if errors == 0:
        return "no_errors"
    if no_gain >= 2:
        return "no_gain_twice"
    if iteration >= budget.iterations:
        return "iteration_limit"
    return "budget_spent" if spent else None
