"""Run folders of older versions are read; their words are refused in new settings."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from errata.agent.run.folder import RunFolder
from errata.agent.run.outcome import read_settings
from errata.agent.settings.file import load_settings
from errata.agent.settings.older import upgrade_settings
from errata.agent.settings.sources import read_source
from errata.tools.errors import OperatorError

ROW = {"question": "Which?", "choices": ["one", "two"], "answer": 1, "answer_letter": "B", "answer_text": "two"}


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """settings.yaml of a run whose formats were named after datasets, with its data."""
    questions, pool = tmp_path / "questions", tmp_path / "pool"
    questions.mkdir()
    pool.mkdir()
    for name in ("val", "test"):
        (questions / f"{name}.jsonl").write_text(json.dumps({"id": name, **ROW, "skill": "read"}) + "\n")
    (pool / "rows.jsonl").write_text(json.dumps({"id": "p", **ROW, "skills": ["read"]}) + "\n")
    data = {
        "diagnosis": {"path": str(questions), "format": "scienceqa", "images": "any"},
        "gate": {"path": str(questions), "format": "scienceqa", "images": "any"},
        "test": {"path": str(questions), "format": "scienceqa", "images": "any"},
        "pool": {"path": str(pool / "rows.jsonl"), "format": "support_corpus"},
    }
    file = tmp_path / "settings.yaml"
    file.write_text(yaml.safe_dump({"data": data, "student": {"base": "embedded"}}))
    return file


def test_an_older_run_is_read_as_it_was(saved: Path) -> None:
    settings = load_settings(saved, saved=True)
    found = {}
    for split in ("diagnosis", "gate", "test", "pool"):
        source = getattr(settings.data, split)
        found[split] = read_source(settings.data, source, split=split, runs=saved.parent).problems
    assert {split: [p.id for p in problems] for split, problems in found.items()} == {
        "diagnosis": ["val"], "gate": ["val"], "test": ["test"], "pool": ["p"],
    }  # fmt: skip
    assert all(p.target == "B" and p.skills == ("read",) for problems in found.values() for p in problems)
    assert read_settings(RunFolder(saved.parent)).data.pool == settings.data.pool


def test_pictures_are_required_where_they_were(saved: Path) -> None:
    tree = yaml.safe_load(saved.read_text())
    del tree["data"]["gate"]["images"]
    assert upgrade_settings(tree)["data"]["gate"]["images"] == "required"
    assert upgrade_settings(tree)["data"]["pool"]["image_root"] == str(saved.parent)


def test_new_settings_are_refused_under_old_names(saved: Path) -> None:
    with pytest.raises(OperatorError, match=r"data\.pool\.format.*support_corpus"):
        load_settings(saved, ["data.diagnosis.format=table", "data.gate.format=table", "data.test.format=table"])


def test_a_key_that_was_renamed_is_read(saved: Path) -> None:
    tree = yaml.safe_load(saved.read_text())
    chat = {"base_url": "http://127.0.0.1:9/v1", "model": "m", "patience": {"attempts": 3}}
    saved.write_text(yaml.safe_dump({**tree, "teacher": {"kind": "chat", "chat": chat}}))
    found = load_settings(saved, saved=True).teacher.chat
    assert found is not None
    assert found.retries.attempts == 3


@pytest.mark.parametrize("tree", [None, [], {"data": None}, {"data": {"gate": "x"}}, {"run": {"name": "a"}}], ids=str)
def test_anything_else_is_left_as_it_is(tree: object) -> None:
    assert upgrade_settings(tree) == tree
