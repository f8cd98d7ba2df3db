"""`errata eval`: a file of questions and a student in, an accuracy with its interval out."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from errata.agent.cli.main import main
from errata.tools.data.write import write_problems
from errata.tools.records import Problem, to_jsonl
from tests.tiny_student import build_problems, build_student


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    """Six questions with pictures."""
    problems = build_problems(tmp_path, 6)
    path = tmp_path / "questions.jsonl"
    path.write_text(to_jsonl([problem.model_copy(update={"split": "test"}) for problem in problems]))
    return path


def test_a_file_and_a_student_give_a_scorecard(
    questions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, out = build_student(tmp_path / "student"), tmp_path / "answers.jsonl"
    arguments = ["eval", str(questions), "--model", str(model), "--max-new-tokens", "4", "--out", str(out)]
    arguments += ["--workers", "1"]
    assert main([*arguments, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["total"] == 6
    assert told["accuracy"]["low"] <= told["accuracy"]["value"] <= told["accuracy"]["high"]
    assert told["chance"] == pytest.approx(0.25)
    assert len(out.read_text().splitlines()) == 6
    before = out.read_bytes()
    assert main(arguments) == 0  # nothing is asked again
    assert "near chance" in capsys.readouterr().out
    assert out.read_bytes() == before


def test_a_broken_file_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "student").mkdir()
    (tmp_path / "student" / "config.json").write_text('{"vision_config": {}}')
    (tmp_path / "q.jsonl").write_text('{"id": ')
    assert main(["eval", str(tmp_path / "q.jsonl"), "--model", str(tmp_path / "student")]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "q.jsonl" in err


def test_questions_come_in_any_format_with_a_map(
    questions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = build_student(tmp_path / "student")
    problems = [Problem.model_validate_json(line) for line in questions.read_text().splitlines()]
    write_problems(problems, file=tmp_path / "own" / "test.json", format="llava")
    with (tmp_path / "own.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["Nr", "Ask", "1", "2", "3", "4", "Right", "Picture"])
        for p in problems:
            writer.writerow([p.id, p.question, *p.choices, p.letters.index(p.target) + 1, p.images[0].path])
    columns = ["id=Nr", "question=Ask", "choices=1,2,3,4", "target=Right", "images=Picture"]
    mapped = [word for column in columns for word in ("--field", column)]
    told = []
    for more in ([tmp_path / "own" / "test.json"], [tmp_path / "own.csv", *mapped, "--first-index", "1"]):
        words = ["eval", *map(str, more), "--model", str(model), "--max-new-tokens", "4", "--workers", "1", "--json"]
        assert main(words) == 0
        told.append(json.loads(capsys.readouterr().out))
    assert [one["total"] for one in told] == [6, 6]
    assert len({one["correct"] for one in told}) == 1
    assert len({one["chance"] for one in told}) == 1
