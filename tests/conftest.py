"""What all tests share: one thread for torch, so that two cores are not fought over, and a house for bad inputs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.bad_inputs import House

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> House:
    """A sound house that each test of bad inputs damages in one place."""
    from tests.bad_inputs import House

    monkeypatch.delenv("ERRATA_DATA", raising=False)
    return House(tmp_path)
