"""The machine's summary of a run, and the time that it worked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from errata.agent.run.outcome import Outcome


def result_object(outcome: Outcome, *, seconds: float) -> dict[str, Any]:
    """The machine's summary; accuracies are fractions, None where not measured."""

    def accuracy(checkpoint: str, split: Any) -> float | None:
        card = outcome.scorecard(checkpoint, split)
        return None if card is None else card.accuracy.value

    return {
        "run": outcome.run,
        "gate_before": accuracy(outcome.base, "gate"),
        "gate_after": accuracy(outcome.best, "gate"),
        "test_before": accuracy(outcome.base, "test"),
        "test_after": accuracy(outcome.best, "test"),
        "accepted": outcome.accepted,
        "seconds": round(seconds, 1),
        "samples": len(outcome.lessons),
        "stop_reason": outcome.stop_reason or "stopped_by_user",
    }


def worked_seconds(events: Sequence[Mapping[str, Any]]) -> float:
    """Seconds that earlier processes worked on the run, from their first event to their last."""
    total, first, last = 0.0, None, None
    for event in events:
        if event.get("stage") == "prepare":
            continue  # comes before `started` and `resumed`
        if event["event"] in ("started", "resumed"):
            total += last - first if first is not None and last is not None else 0.0
            first = event["at"]
        last = event["at"]
    return total + (last - first if first is not None and last is not None else 0.0)
