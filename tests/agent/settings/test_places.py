"""Where runs lie, and what nothing is ever written to."""

from __future__ import annotations

from pathlib import Path

import pytest

from errata.agent.cli.options.parser import build_parser
from errata.agent.settings.file import load_settings
from errata.agent.settings.places import CODE, CONFIGS, find_runs


def test_runs_lie_in_the_clone_unless_something_else_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ERRATA_RUNS", raising=False)
    assert find_runs() == CODE / "runs"
    monkeypatch.setenv("ERRATA_RUNS", "elsewhere/runs")
    assert find_runs() == Path("elsewhere/runs")
    assert build_parser().parse_args(["runs"]).runs_dir == Path("elsewhere/runs")
    assert build_parser().parse_args(["runs", "--runs-dir", "here"]).runs_dir == Path("here")


def test_the_embedded_student_is_found_from_any_folder(tmp_path: Path) -> None:
    config = tmp_path / "own.yaml"
    config.write_text((CONFIGS / "demo.yaml").read_text())
    assert load_settings(config).student.base == str(CODE / "tools" / "world" / "student")
