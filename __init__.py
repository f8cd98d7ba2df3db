"""Errata makes a vision-language model better from its own mistakes.

    from errata import improve, open_run

    if __name__ == "__main__":  # a script starts processes; a notebook does not need this line
        outcome = improve("errata.yaml", "budget.iterations=1")
        print(outcome.stop_reason, open_run(outcome.run).trace(outcome.lessons[0].id))

A name is imported when it is first used: `import errata` loads nothing heavy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from errata.agent.loop.library import Run, improve, open_run  # noqa: TID251
    from errata.agent.run.outcome import Outcome  # noqa: TID251
    from errata.agent.settings.tree import Settings  # noqa: TID251
    from errata.tools.errors import OperatorError
    from errata.tools.records import Checkpoint, Comparison, Lesson, Problem, Scorecard

__version__ = "0.1.0"
__all__ = [
    "Checkpoint",
    "Comparison",
    "Lesson",
    "OperatorError",
    "Outcome",
    "Problem",
    "Run",
    "Scorecard",
    "Settings",
    "improve",
    "open_run",
]
_HOMES = {
    "errata.agent.loop.library": ("Run", "improve", "open_run"),
    "errata.agent.run.outcome": ("Outcome",),
    "errata.agent.settings.tree": ("Settings",),
    "errata.tools.errors": ("OperatorError",),
    "errata.tools.records": ("Checkpoint", "Comparison", "Lesson", "Problem", "Scorecard"),
}


def __getattr__(name: str) -> Any:
    """Import a public name from its module."""
    for module, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(module), name)
    raise AttributeError(f"module 'errata' has no attribute {name!r}; public names: {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
