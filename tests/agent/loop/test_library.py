"""Errata from Python: public names, what they load, and a run that is improved, opened and traced."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import errata
from errata import OperatorError, open_run
from errata.agent.run.folder import RunFolder
from errata.tools.records import Problem

SMALL = "data.world.sizes={pool: 300, diagnosis: 40, gate: 20, test: 20}"
OVERRIDES = (SMALL, "train.epochs=1", "train.processes=1", "budget.iterations=1", "budget.iteration.samples=30")


def test_public_names_are_there_and_others_are_not() -> None:
    assert {name: getattr(errata, name).__name__ for name in errata.__all__} == {name: name for name in errata.__all__}
    assert set(errata.__all__) < set(dir(errata))
    with pytest.raises(AttributeError, match="public names: Checkpoint"):
        errata.nonsense  # noqa: B018
    assert metadata.version("errata-vlm") == errata.__version__


def test_importing_the_root_loads_nothing_heavy() -> None:
    code = "import sys, errata; print(len({'torch', 'pydantic', 'numpy'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "0\n"


def test_a_run_from_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = errata.improve(None, *OVERRIDES, runs=tmp_path / "runs")
    assert (outcome.state, outcome.stop_reason) == ("finished", "iteration_limit")
    run = open_run(outcome.run, runs=tmp_path / "runs")
    assert run.outcome == outcome
    assert run.settings.run.name == "demo"
    assert str(run.path) in repr(run)
    node = run.trace(outcome.lessons[0].id)
    assert (node.kind, node.id) == ("lesson", outcome.lessons[0].id)
    assert run.resume() == outcome


def test_the_newest_run_is_opened(made: tuple[RunFolder, dict[str, Problem]], runs: Path) -> None:
    assert open_run(runs=runs).path == made[0].path
    with pytest.raises(OperatorError, match="no such run"):
        open_run("nothing", runs=runs)
