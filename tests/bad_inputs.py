"""What the tests of bad inputs share: a tiny house of data and settings, and the check of what is said.

No model is loaded, because each fault is found before one is needed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from errata.agent.cli.main import main
from tests.agent.loop_fakes import write_data

HOUSE = Path(__file__).resolve().parent.parent
SPLITS = ("pool", "diagnosis", "gate", "test")
CONFIG = """\
run: {name: bad}
data:
  pool: {path: data/pool.jsonl}
  diagnosis: {path: data/diagnosis.jsonl}
  gate: {path: data/gate.jsonl}
  test: {path: data/test.jsonl}
student: {base: student}
teacher: {kind: annotations}
locate: {method: whole_rationale}
budget: {total: {samples: 8}, iteration: {samples: 4}, iterations: 1}
"""


class House:
    """Data, a settings file, the outside of a student, and an empty place for runs."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.data, self.runs = folder, folder / "data", folder / "runs"
        self.config, self.student = folder / "config.yaml", folder / "student"
        write_data(self.data, pool=8, rest=4)
        self.student.mkdir()
        (self.student / "config.json").write_text('{"vision_config": {}}')
        self.config.write_text(CONFIG)

    def run(self, *overrides: str) -> list[str]:
        """Arguments of a run of the settings file."""
        return ["run", str(self.config), "--runs-dir", str(self.runs), *overrides]

    def change_row(self, split: str, number: int, /, **changes: Any) -> None:
        """Other fields in one row, counted from 1; None takes a field out."""
        path = self.data / f"{split}.jsonl"
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        rows[number - 1] = {k: v for k, v in {**rows[number - 1], **changes}.items() if v is not None}
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))

    def add_picture(self, name: str = "a.png", *, colour: str = "red") -> str:
        """A small picture beside the data; returns its path as a row gives it."""
        (self.data / "images").mkdir(exist_ok=True)
        Image.new("RGB", (8, 8), colour).save(self.data / "images" / name)
        return f"images/{name}"

    def files(self) -> dict[str, bytes]:
        """Content of every file; locks may appear, they hold nothing of a run."""
        found = sorted(p for p in self.folder.rglob("*") if p.is_file() and p.name != "lock")
        return {str(p.relative_to(self.folder)): p.read_bytes() for p in found}


def call(arguments: Sequence[str]) -> int:
    """Exit code of the command line."""
    try:
        return main(arguments)
    except SystemExit as stop:
        return int(str(stop.code))


def complain(
    house: House, arguments: Sequence[str], *, names: Sequence[str], capsys: pytest.CaptureFixture[str]
) -> str:
    """The one line of complaint: it names what it must, and no file was made or changed."""
    before = house.files()
    code = call(arguments)
    out, err = capsys.readouterr()
    assert code == 2, err
    assert out == ""
    assert err.startswith("errata: "), err
    assert err.count("\n") == 1, err
    assert len(err) < 1000
    for name in names:
        assert name in err
    assert house.files() == before
    assert [p.name for p in house.runs.glob("bad-*")] == []
    return err
