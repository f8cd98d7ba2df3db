"""The tool calls of an error batch, printed as one line for each tool when the batch ends."""

from __future__ import annotations

from collections.abc import Sequence

from errata.tools.records import Decision


class BatchLines:
    """Collects decisions by batch. Not safe for threads: its owner holds a lock."""

    def __init__(self) -> None:
        self._open: dict[str, list[Decision]] = {}

    def add(self, decision: Decision) -> list[str]:
        """The lines of the batch when this call ended it, else none."""
        self._open.setdefault(decision.batch, []).append(decision)
        if decision.tool == "finish_batch" and not decision.outcome.startswith("refused"):
            return self._close(decision.batch)
        return []

    def rest(self) -> list[str]:
        """The lines of all batches that have not ended, e.g. since a person stopped the run."""
        return [line for batch in list(self._open) for line in self._close(batch)]

    def calls(self) -> int:
        """Tool calls of the batches that are still at work."""
        return sum(map(len, self._open.values()))

    def _close(self, batch: str) -> list[str]:
        made = self._open.pop(batch)
        tools = dict.fromkeys(decision.tool for decision in made if decision.tool != "finish_batch")
        lines = [tool_line(batch, tool, [d for d in made if d.tool == tool]) for tool in tools]
        ends = [d for d in made if d.tool == "finish_batch" and d.outcome.startswith("ended")]
        return lines + [f"batch {batch}: {decision.outcome}" for decision in ends]


def tool_line(batch: str, tool: str, calls: Sequence[Decision]) -> str:
    """The results of all calls of one tool: the outcome of a single call, or sums."""
    head = f"batch {batch}, {tool}"
    if len(calls) == 1:
        return f"{head}: {calls[0].outcome}"
    refused = sum(call.outcome.startswith("refused") for call in calls)
    skills = len({call.arguments["skill"] for call in calls if "skill" in call.arguments})
    samples = sum(call.cost.samples for call in calls)
    parts = [f"{len(calls)} calls"]
    if skills:
        asked = sum(int(call.arguments.get("budget", 0)) for call in calls if not call.outcome.startswith("refused"))
        parts.append(f"{samples} of {asked} samples for {skills} skills")
    if refused:
        parts.append(f"{refused} calls refused")
    return f"{head}: {', '.join(parts)}"
