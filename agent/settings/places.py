"""Where things lie that no settings file names: the installed code, its settings files, and the runs.

Only the command line calls `find_runs`: nothing below it reads the environment.
"""

from __future__ import annotations

import os
from pathlib import Path

CODE = Path(__file__).resolve().parents[2]
"""The package `errata`: the repository itself in a clone, a folder of site-packages elsewhere. Never written to."""
CONFIGS = CODE / "runs" / "configs"
RUNS_VARIABLE = "ERRATA_RUNS"
"""Environment variable that names the folder of runs."""
OWN_SETTINGS = Path("errata.yaml")
"""What `errata init` writes into the current folder, and `errata run` reads where no file is named."""


def in_clone() -> bool:
    """Whether this is a clone of the repository, not an installed package."""
    return (CODE / "pyproject.toml").is_file()


def find_runs() -> Path:
    """The folder of runs: what ERRATA_RUNS says, else runs/ of the clone, else runs/ of the current folder."""
    named = os.environ.get(RUNS_VARIABLE)
    if named:
        return Path(named)
    return CODE / "runs" if in_clone() else Path("runs")
