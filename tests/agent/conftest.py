"""The made-up run as fixtures."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.run.folder import RunFolder
from tests.agent.made_run import make_run
from tools.records import Problem


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Folder in which the made run `made-1` lies."""
    return tmp_path / "runs"


@pytest.fixture
def made(runs: Path) -> tuple[RunFolder, dict[str, Problem]]:
    """The made run and its validation questions."""
    return make_run(runs)
