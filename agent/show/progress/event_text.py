"""Events of a run as one line each: the budget, a comparison, the time left."""

from __future__ import annotations

from errata.agent.run.reporter import BudgetView
from errata.agent.run.sentences import percent
from errata.tools.records import Comparison


def remaining_text(seconds: float) -> str:
    """Time left in minutes and seconds."""
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
