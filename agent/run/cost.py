"""Payments of a run to its endpoints, by stage, iteration, role and model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from errata.agent.run.folder import PAID, RunFolder
from errata.agent.run.outcome import read_settings
from errata.tools.teacher.paid_store import Line, PaidStore

GROUP = ("stage", "iteration", "role", "model")
SUMS = ("sent", "hits", "faults", "tokens_in", "tokens_out", "tokens_cached", "tokens_reasoning", "seconds", "money")


def cost_of(folder: RunFolder) -> dict[str, Any]:
    """Sums of the whole run over all its resumes; each sending is one line of the ledger, so none counts twice."""
    chat = read_settings(folder).teacher.chat
    path = Path(chat.store) if chat and chat.store else folder.path / PAID
    caps: dict[str, Any] = chat.caps.model_dump() if chat else {}
    if not path.exists():
        nothing = {"calls": 0, "tokens": 0, "money": 0.0}
        rest = {"lost": nothing, "held": nothing, "caps": caps, "unpriced": 0}
        return {"run": folder.id, "rows": [], "total": sum_lines([]), **rest}
    store = PaidStore(path)
    try:
        lines, held, lost = store.lines(folder.id), store.held(folder.id), store.lost(folder.id)
    finally:
        store.close()
    groups: dict[tuple[Any, ...], list[Line]] = {}
    for line in lines:
        groups.setdefault(tuple(getattr(line, name) for name in GROUP), []).append(line)
    return {
        "run": folder.id,
        "rows": [{**dict(zip(GROUP, key, strict=True)), **sum_lines(rows)} for key, rows in groups.items()],
        "total": sum_lines(lines),
        "unpriced": sum(line.money is None for line in lines),
        "held": held._asdict(),
        "lost": lost._asdict(),
        "caps": caps,
    }


def sum_lines(lines: Sequence[Line]) -> dict[str, Any]:
    """Sums; tokens and money of what is known, None where nothing is."""
    sent = [line for line in lines if line.outcome != "hit"]
    sums: dict[str, Any] = {
        "sent": len(sent),
        "hits": len(lines) - len(sent),
        "faults": sum(line.outcome != "paid" for line in sent),
        "seconds": round(sum(line.seconds for line in sent), 3),
    }
    for name in ("tokens_in", "tokens_out", "tokens_cached", "tokens_reasoning", "money"):
        known = [value for line in sent if (value := getattr(line, name)) is not None]
        sums[name] = round(sum(known), 6) if known else None
    return sums
