"""Budgets: what a run has used and may still use, in samples, seconds and teacher calls.

Budgets are checked before a step, never during it. Samples are lessons (unique training samples, kept or withdrawn);
teacher calls are the `asked` of decisions, so both are the same in a resumed run. Seconds are the stages'
times in the ledger. Shares of error batches are allotted here beforehand, so that no batch takes from another
and the number of branches changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from errata.agent.run.folder import RunFolder
from errata.agent.run.reporter import BudgetView
from errata.agent.settings.tree import BudgetSettings, Caps
from errata.tools.records import Decision, Lesson


class Spent(NamedTuple):
    """What was used."""

    samples: int
    seconds: float
    teacher_calls: int


class Remaining(NamedTuple):
    """What may still be used, never below 0; None is no limit."""

    samples: int | None
    seconds: float | None
    teacher_calls: int | None

    def spent(self) -> str:
        """The first cap that is used up, in words; empty when there is none."""
        for name, left in zip(("samples", "seconds", "teacher calls"), self, strict=True):
            if left is not None and left <= 0:
                return name
        return ""


def measure_spent(folder: RunFolder, *, iteration: int | None = None) -> Spent:
    """Used so far, in all or in one iteration."""

    def counts(number: int) -> bool:
        return iteration is None or number == iteration

    lessons = sum(counts(lesson.iteration) for lesson in folder.read_records("lessons.jsonl", Lesson))
    decisions = folder.read_records("decisions.jsonl", Decision)
    calls = sum(d.cost.teacher_calls for d in decisions if counts(d.iteration))
    seconds = sum(float(e.get("seconds") or 0.0) for e in folder.ledger() if counts(int(e["iteration"])))
    return Spent(lessons, seconds, calls)


def measure_remaining(folder: RunFolder, *, budget: BudgetSettings, iteration: int) -> Remaining:
    """What `iteration` may still use: the tighter of its own caps and the total ones."""
    total, own = measure_spent(folder), measure_spent(folder, iteration=iteration)
    caps, own_caps = _limits(budget.total), _limits(budget.iteration)
    left: list[float | None] = []
    for cap, used, own_cap, own_used in zip(caps, total, own_caps, own, strict=True):
        rests = [c - u for c, u in ((cap, used), (own_cap, own_used)) if c is not None]
        left.append(max(0, min(rests)) if rests else None)
    samples, seconds, calls = left
    return Remaining(
        None if samples is None else int(samples), seconds, None if calls is None else int(calls)
    )


def _limits(caps: Caps) -> tuple[float | None, ...]:
    return caps.samples, caps.seconds, caps.teacher_calls


def view_budget(folder: RunFolder, *, budget: BudgetSettings, iteration: int) -> BudgetView:
    """The budget as the reporter shows it."""
    spent, caps = measure_spent(folder), budget.total
    return BudgetView(
        samples=spent.samples,
        samples_limit=caps.samples,
        seconds=spent.seconds,
        seconds_limit=caps.seconds,
        teacher_calls=spent.teacher_calls,
        teacher_calls_limit=caps.teacher_calls,
        iteration=iteration,
        iteration_limit=budget.iterations,
    )


def allot_shares(amount: int, *, weights: Sequence[int]) -> list[int]:
    """Whole shares in proportion to the weights that add up to `amount`; largest remainder, then order."""
    whole = sum(weights)
    if whole <= 0 or amount <= 0:
        return [0] * len(weights)
    shares = [amount * weight // whole for weight in weights]
    by_rest = sorted(range(len(weights)), key=lambda i: (-(amount * weights[i] % whole), i))
    for i in by_rest[: amount - sum(shares)]:
        shares[i] += 1
    return shares
