"""Runs that keep the accepted adapter only: the same records, less on disk, and every resume finds what it needs."""

from __future__ import annotations

from pathlib import Path

import pytest

from errata.agent.cli.main import main
from errata.agent.loop.driver import resume_loop, run_loop
from errata.agent.loop.parts import Parts
from errata.agent.run.checkpoints import read_pruned
from errata.agent.run.folder import RunFolder
from errata.agent.run.outcome import read_outcome
from errata.agent.run.reporter import Stage
from errata.agent.settings.tree import Settings
from errata.tools.errors import StopRequested
from errata.tools.records import Checkpoint
from tests.agent.loop_fakes import (
    ScriptedTeacher,
    StoppingReporter,
    TableStudent,
    make_settings,
    read_everything,
    write_data,
)

NEEDS = {"count shapes": 30, "compare sizes": 999, "mirror letters": 999, "name colours": 0}
"""The first training is rejected, the second accepted."""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    write_data(tmp_path / "data")
    budget = {"iteration": {"samples": 60}, "total": {"samples": 200}}
    run = {"keep_checkpoints": "best"}
    return make_settings(tmp_path / "data", base=tmp_path / "base", budget=budget, run=run)


def parts() -> Parts:
    return Parts(student=TableStudent(needs=NEEDS), teacher=ScriptedTeacher())


def adapters(folder: RunFolder) -> list[str]:
    return sorted(p.parent.name for p in folder.path.glob("checkpoints/*/adapter_model.safetensors"))


def test_only_the_accepted_adapter_stays(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = RunFolder(tmp_path / "best" / "t-1")
    run_loop(settings, folder=folder, parts=parts())
    outcome = read_outcome(folder)
    trained = [c.id for c in folder.read_records("checkpoints.jsonl", Checkpoint) if c.parent]
    assert len(trained) > 1
    assert adapters(folder) == [outcome.best]
    assert [p.id for p in read_pruned(folder)] == [name for name in trained if name != outcome.best]
    removed = f"{len(trained) - 1} adapter"
    for words in (["status", "t-1"], ["show", "t-1", "summary"]):
        assert main([*words, "--runs-dir", str(tmp_path / "best")]) == 0
        assert removed in capsys.readouterr().out, words
    assert main(["export", "t-1", "--checkpoint", trained[0], "--runs-dir", str(tmp_path / "best")]) == 2
    assert "its adapter was removed: not among those that run.keep_checkpoints=best keeps" in capsys.readouterr().err
    keeping = settings.model_copy(update={"run": settings.run.model_copy(update={"keep_checkpoints": "all"})})
    whole = RunFolder(tmp_path / "all" / "t-1")
    run_loop(keeping, folder=whole, parts=parts())
    assert read_everything(whole) == read_everything(folder), "no record depends on what is kept"
    assert adapters(whole) == sorted(trained)


STOPS: tuple[tuple[Stage, int], ...] = (("evaluate", 2), ("gate", 1), ("triage", 2), ("assemble", 2), ("gate", 2))


def test_a_stop_anywhere_finds_what_it_needs(settings: Settings, tmp_path: Path) -> None:
    whole = RunFolder(tmp_path / "whole" / "t-1")
    run_loop(settings, folder=whole, parts=parts())
    for stage, number in STOPS:
        folder, given = RunFolder(tmp_path / f"{stage}-{number}" / "t-1"), parts()
        reporter = StoppingReporter(folder, stage=stage, number=number)
        with pytest.raises(StopRequested):
            run_loop(settings, folder=folder, reporter=reporter, parts=given)
        resume_loop(folder, parts=given)
        assert read_everything(folder) == read_everything(whole), stage
        assert (adapters(folder), read_pruned(folder)) == (adapters(whole), read_pruned(whole)), stage
