"""Where things lie that no settings file names: the repository, its settings files, and the runs."""

from __future__ import annotations

from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
RUNS = REPOSITORY / "runs"
CONFIGS = RUNS / "configs"
