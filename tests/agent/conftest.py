"""The made-up run as fixtures."""

from __future__ import annotations

from pathlib import Path

import pytest

from errata.agent.run.folder import RunFolder
from errata.tools.records import Problem
from tests.agent.made_run import make_run


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Folder in which the made run `made-1` lies."""
    return tmp_path / "runs"


@pytest.fixture
def made(runs: Path) -> tuple[RunFolder, dict[str, Problem]]:
    """The made run and its validation questions."""
    return make_run(runs)
