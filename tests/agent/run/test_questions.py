"""Reading commands find the questions where `prepare` put them."""

from __future__ import annotations

from pathlib import Path

import pytest

from errata.agent.loop.prepare import read_splits
from errata.agent.run.folder import RunFolder
from errata.agent.run.questions import validation_problems
from errata.agent.settings.data import DataSettings, WorldSettings
from errata.agent.settings.file import dump_settings
from errata.agent.settings.tree import Settings, StudentSettings


def test_the_world_is_found_where_it_was_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sizes = {"pool": 24, "diagnosis": 24, "gate": 24, "test": 24}
    world = WorldSettings.model_validate({"seed": 1, "sizes": sizes})
    settings = Settings(data=DataSettings(world=world), student=StudentSettings(base=str(tmp_path)))
    folder = RunFolder(tmp_path / "w-1")
    folder.write_text("settings.yaml", dump_settings(settings))
    assert validation_problems(folder) == {}  # reading never makes a world
    assert "cannot be read" in capsys.readouterr().err
    made, _ = read_splits(settings.data, worlds=tmp_path / ".worlds")
    found = validation_problems(folder)
    assert set(found) == {name for split in ("diagnosis", "gate", "test") for name in made[split]}
    assert len(found) == 72
