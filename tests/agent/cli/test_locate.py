"""`errata locate calibrate` on labels with and without curves."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from errata.agent.cli.main import main
from errata.tools.records import ImageRef
from errata.tools.world.generate import make_problem
from errata.tools.world.programs import FAMILIES
from errata.tools.world.questions import sample_question


def world_labels(folder: Path, *, count: int) -> Path:
    """Mixtures stated wrongly at the third step; no curves, so that the demo's teacher is asked."""
    lines = []
    for seed in range(count):
        question = sample_question(FAMILIES["mix_cells"], random.Random(seed))
        problem = make_problem(question, split="diagnosis", image=ImageRef(path="x.png", sha256="0"), skills=())
        wrong = next(o for o in problem.choices if o != problem.target_text)
        results = [*question.results[:2], wrong]
        steps = [sentence + " " for sentence in question.program.explain(results)]
        answer = next(x for x in problem.letters if x != problem.target)
        lines.append(
            {
                "id": problem.id,
                "question": problem.question,
                "choices": problem.choices,
                "target": problem.target,
                "answer": answer,
                "steps": steps,
                "step": 2,
            }
        )
    path = folder / "labels.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def test_calibrate_asks_the_teacher_and_writes_its_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels = world_labels(tmp_path, count=12)
    assert main(["locate", "calibrate", str(labels), "--folds", "3", "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["labels"] == 12
    assert summary["tuned"]["value"] >= summary["default"]["value"] > 0.5
    names = {p.name for p in (tmp_path / "labels.calibration").iterdir()}
    assert names == {"calibration.json", "calibration.md", "grid.svg", "gaps.svg"}


def test_calibrate_prints_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert main(["locate", "calibrate", str(world_labels(tmp_path, count=6)), "--out", str(out), "--strict"]) == 0
    text = capsys.readouterr().out
    assert "| held out, 5 folds |" in text
    assert "| found |" in text or "| none |" in text
    assert "strict" in (out / "grid.svg").read_text(encoding="utf-8")


def test_a_bad_label_is_one_line_and_exit_code_two(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "labels.jsonl"
    path.write_text('{"id": "x"}\n', encoding="utf-8")
    assert main(["locate", "calibrate", str(path)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "row 1" in error
