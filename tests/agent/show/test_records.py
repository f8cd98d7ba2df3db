"""`errata show`: lists, and the way from a lesson back to the question it began with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from errata.agent.cli.main import main
from errata.agent.run.folder import RunFolder
from errata.agent.run.lineage import Archive
from errata.agent.show.records import rows_of, tree_lines
from errata.tools.errors import OperatorError
from errata.tools.records import Problem

Made = tuple[RunFolder, dict[str, Problem]]
CHAIN = [
    ("lesson", "lesson-2"),
    ("candidate", "candidate-2"),
    ("missing skill", "skill-diagnosis-002"),
    ("mistake", "mistake-diagnosis-002"),
    ("attempt", "attempt-base-diagnosis-002"),
    ("problem", "diagnosis-002"),
]


@pytest.fixture
def archive(made: Made) -> Archive:
    return Archive(made[0], problems=made[1])


def test_a_lesson_leads_back_to_the_question(archive: Archive) -> None:
    node = archive.trace("lesson", "lesson-2")
    for kind, name in CHAIN:
        assert (node.kind, node.id) == (kind, name)
        assert node.record is not None
        node = node.parents[0] if node.parents else node
    assert archive.trace(*CHAIN[4]).parents[1].kind == "checkpoint"


def test_the_tree_is_printed_in_that_order(archive: Archive) -> None:
    lines = [line.strip().removeprefix("<- ") for line in tree_lines(archive.trace(*CHAIN[0]), archive)]
    places = [lines.index(f"{kind} {name}") for kind, name in CHAIN]
    assert places == sorted(places)
    assert "-> 2. It is yellow." in lines


def test_json_carries_the_whole_parentage(runs: Path, made: Made, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", made[0].id, "lesson-2", "--json", "--runs-dir", str(runs)]) == 0
    node = json.loads(capsys.readouterr().out)
    for kind, name in CHAIN:
        assert (node["kind"], node["id"]) == (kind, name)
        node = node["parents"][0] if node["parents"] else node
    assert node["record"]["question"].startswith("Which colour")


def test_the_beginning_of_an_id_is_enough(archive: Archive) -> None:
    assert archive.find("lesson-2") == ("lesson", "lesson-2")
    assert archive.find("decision-1") == ("decision", "decision-1")
    assert archive.find("checkpoint-2") == ("checkpoint", "checkpoint-2")
    assert archive.find("scorecard-checkpoint-1-t") == ("scorecard", "scorecard-checkpoint-1-test")


def test_an_ambiguous_or_unknown_id_names_others(archive: Archive) -> None:
    with pytest.raises(OperatorError, match="records begin so"):
        archive.find("mistake-")
    with pytest.raises(OperatorError, match="the nearest are lesson-"):
        archive.find("leson-3")


def test_lists_hold_one_row_per_record(archive: Archive) -> None:
    errors, skills = rows_of(archive, "errors"), rows_of(archive, "skills")
    first = errors[0]
    assert (first["step"], first["answer"], first["right"]) == ("2 of 2", "blue", "red")
    assert {row["skill"]: (row["errors"], row["lessons"]) for row in skills} == {
        "mix two colours": (2, 2),
        "read the colour of a square": (2, 3),
    }
    assert len(rows_of(archive, "lessons")) == 5
    assert [row["tool"] for row in rows_of(archive, "decisions")] == ["locate_mistakes", "retrieve_samples"]


@pytest.mark.parametrize("what", ["errors", "skills", "lessons", "decisions"])
def test_every_list_is_printed(what: str, made: Made, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", made[0].id, what, "--runs-dir", str(runs), "--limit", "1"]) == 0
    out, err = capsys.readouterr()
    assert "1 of " in out
    assert err == ""


def test_questions_that_are_gone_are_left_out_and_said(
    made: Made, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in runs.glob("pictures-*/gate.jsonl"):
        path.unlink()
    assert main(["show", made[0].id, "mistake-diagnosis-002", "--runs-dir", str(runs)]) == 0
    out, err = capsys.readouterr()
    assert "mistake mistake-diagnosis-002" in out
    assert err.count("\n") == 1
