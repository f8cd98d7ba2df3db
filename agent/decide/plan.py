"""The limits of a run, printed before it begins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from errata.agent.settings.tree import Settings


def plan_of(settings: Settings) -> dict[str, Any]:
    """What a run may use, in words and numbers."""
    budget, data = settings.budget, settings.data
    chat = settings.teacher.chat if settings.teacher.kind == "chat" else None
    sources = {split: getattr(data, split) for split in ("pool", "diagnosis", "gate", "test")}
    plan = {
        "data": "embedded world" if data.world else {k: str(Path(s.path)) for k, s in sources.items() if s},
        "questions": data.world.sizes.model_dump() if data.world else {k: s.limit for k, s in sources.items() if s},
        "iterations at most": budget.iterations,
        "samples at most": budget.total.samples,
        "samples per iteration": budget.iteration.samples,
        "teacher calls at most": budget.total.teacher_calls,
        "seconds at most": budget.total.seconds,
        "decided by": settings.decide.model if settings.control == "none" else f"control: {settings.control}",
    }
    if chat is not None and settings.diagnosed:
        from errata.agent.decide.forecast import forecast

        plan |= {f"forecast, {name}": line for name, line in forecast(settings, chat=chat).items()}
    return plan
