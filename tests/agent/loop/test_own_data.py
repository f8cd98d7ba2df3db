"""A whole run on data in the formats of others: four splits, four formats; bad rows are counted or refused."""

from __future__ import annotations

import base64
import csv
import io
import json
from pathlib import Path

import pytest
from PIL import Image

from errata.agent.loop.driver import run_loop
from errata.agent.loop.parts import Parts
from errata.agent.run.folder import RunFolder
from errata.agent.run.questions import validation_problems
from errata.agent.run.reporter import SilentReporter
from errata.agent.settings.file import load_settings
from errata.agent.settings.tree import Settings
from errata.tools.data.write import write_problems
from errata.tools.errors import OperatorError
from errata.tools.records import Problem, Scorecard, SkippedRow
from tests.agent.loop_fakes import ScriptedTeacher, TableStudent, make_row

CONFIG = """\
run: {name: own, seed: 3}
data:
  max_bad_share: 0.02
  pool: {path: data/pool.json, format: llava}
  diagnosis: {path: data/diagnosis.jsonl, format: messages}
  gate:
    path: data/gate.csv
    format: table
    fields: {id: Number, question: Ask, choices: [A, B, C, D], target: Gold, skills: Skill, images: Picture}
    image_root: pictures
  test: {path: data/test.tsv, format: mmbench}
student: {base: student}
decide: {batch_errors: 11, max_steps: 12}
budget: {total: {samples: 90}, iteration: {samples: 30}, iterations: 3}
"""


def problems(split: str, count: int) -> list[Problem]:
    return [Problem.model_validate(make_row(split, number)) for number in range(count)]


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """The data, its pictures and the settings file."""
    data, pictures = tmp_path / "data", tmp_path / "pictures"
    for folder in (data, pictures, tmp_path / "student"):
        folder.mkdir()
    Image.new("RGB", (8, 8), "red").save(pictures / "red.png")
    write_problems(problems("pool", 160), file=data / "pool.json", format="llava")
    write_problems(problems("diagnosis", 40), file=data / "diagnosis.jsonl", format="messages")
    with (data / "gate.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["Number", "Ask", "A", "B", "C", "D", "Gold", "Skill", "Picture"])
        for p in problems("gate", 40):
            writer.writerow([p.id, p.question, *p.choices, p.target, p.skills[0], "red.png"])
    with (data / "test.tsv").open("w", newline="") as file:
        writer = csv.writer(file, delimiter="\t")
        writer.writerow(["index", "question", "A", "B", "C", "D", "answer", "category", "image"])
        for i, p in enumerate(problems("test", 40)):
            picture = io.BytesIO()
            Image.new("RGB", (8, 8), (i, 0, 0)).save(picture, format="PNG")
            image = base64.b64encode(picture.getvalue()).decode()
            writer.writerow([p.id, p.question, *p.choices, p.target, p.skills[0].replace(" ", "_"), image])
    (tmp_path / "own.yaml").write_text(CONFIG)
    return tmp_path


def run(house: Path, settings: Settings) -> RunFolder:
    folder = RunFolder(house / "runs" / "own-1")
    parts = Parts(student=TableStudent(), teacher=ScriptedTeacher())
    run_loop(settings, folder=folder, parts=parts, reporter=SilentReporter())
    return folder


def spoil_pool(house: Path, count: int) -> None:
    """Rows whose answer is no choice."""
    file = house / "data" / "pool.json"
    rows = json.loads(file.read_text())
    for row in rows[:count]:
        del row["errata"]
        row["conversations"][1]["value"] = "The answer is G."
    file.write_text(json.dumps(rows))


def test_a_run_on_four_formats_counts_its_bad_rows(house: Path) -> None:
    spoil_pool(house, 2)
    folder = run(house, load_settings(house / "own.yaml"))
    cards = {(c.checkpoint, c.split): c for c in folder.read_records("scorecards.jsonl", Scorecard)}
    result = folder.read_json("result.json")
    assert cards["base", "gate"].accuracy.value == pytest.approx(0.25)
    assert cards[result["best"], "test"].accuracy.value == pytest.approx(0.75)
    skipped = list(folder.read_records("skipped.jsonl", SkippedRow))
    assert [(row.source, row.row, row.bad) for row in skipped] == [("pool.json", 1, True), ("pool.json", 2, True)]
    assert "2 rows skipped (2 of them bad)" in (folder.path / "events.jsonl").read_text()
    kept = list((house / "runs" / ".pictures").iterdir())
    assert len(kept) == 40
    assert len(validation_problems(folder, required=True)) == 120


def test_too_many_bad_rows_are_refused_by_one_line(house: Path) -> None:
    spoil_pool(house, 4)
    with pytest.raises(OperatorError, match=r"4 of 160 rows are bad, more than the share 0.02; the first: .*json:1: "):
        run(house, load_settings(house / "own.yaml"))
    looser = load_settings(house / "own.yaml", ["data.pool.max_bad_share=0.05"])
    assert looser.data.pool is not None
    assert looser.data.pool.max_bad_share == 0.05
    assert len(list(run(house, looser).read_records("skipped.jsonl", SkippedRow))) == 4


def test_settings_name_what_they_do_not_know(house: Path) -> None:
    with pytest.raises(OperatorError, match=r"data\.gate\.format: wrong value \(got 'xml'\)"):
        load_settings(house / "own.yaml", ["data.gate.format=xml"])
    with pytest.raises(OperatorError, match=r"data\.gate\.field: unknown key .* did you mean data\.gate\.fields\?"):
        load_settings(house / "own.yaml", ["data.gate.field={id: Number}"])
    settings = load_settings(house / "own.yaml", ["data.gate={path: org/name, format: huggingface, part: validation}"])
    assert settings.data.gate is not None
    assert settings.data.gate.path == "org/name"
