"""Real questions as `runs/configs/scienceqa.yaml` reads them, for the scripts that measure on them."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Literal

from errata.agent.settings.file import load_settings
from errata.agent.settings.places import CONFIGS
from errata.agent.settings.sources import read_source
from errata.tools.data.read.layout import Images
from errata.tools.records import Problem, Split


def read_real(data: Path, part: Literal["test", "train", "pool"], *, images: Images) -> list[Problem]:
    """All questions of ScienceQA's test or train part, or of the supporting dataset (`pool`)."""
    settings = load_settings(CONFIGS / "scienceqa.yaml", data_root=str(data)).data
    split: Split = "pool" if part == "pool" else "test"
    source = settings.pool if part == "pool" else settings.test
    assert source is not None, "the settings name every split"
    path = str(Path(source.path).with_name("train.jsonl")) if part == "train" else source.path
    whole = source.model_copy(update={"limit": None, "offset": 0, "images": images, "path": path})
    with tempfile.TemporaryDirectory() as folder:  # no row of these holds its picture as bytes
        return read_source(settings, whole, split=split, runs=Path(folder)).problems
