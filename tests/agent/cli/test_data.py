"""`errata data`: verdicts, conversion and figures on the command line; every fault is one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from errata.agent.cli.main import main
from errata.tools.data.read import read_problems


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Three rows: one good, one with an answer that is no choice, one whose picture is missing."""
    (tmp_path / "images").mkdir()
    Image.new("RGB", (8, 6), "red").save(tmp_path / "images/a.png")
    row = {"question": "Which?", "choices": ["one", "two"], "target": "A", "images": ["images/a.png"]}
    rows: list[dict[str, Any]] = [
        {"id": "q1", **row, "skills": ["count"]},
        {"id": "q2", **row, "target": "F"},
        {"id": "q3", **row, "images": ["images/none.png"]},
    ]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return path


def good(file: Path) -> Path:
    """The file without its bad rows."""
    file.write_text(file.read_text().splitlines()[0] + "\n")
    return file


def test_check_prints_each_error_and_a_summary(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", str(file)]) == 2
    out = capsys.readouterr().out
    assert f"{file}:2: target: answer is not among the choices (got 'F'); use A to B" in out
    assert f"{file}:3: images: no such picture" in out
    assert "3 rows = 1 good + 0 left out + 2 with errors; 1 questions" in out
    assert main(["data", "check", str(file), "--limit", "1"]) == 2
    assert "and 1 more" in capsys.readouterr().out


def test_check_as_json(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", str(file), "--json"]) == 2
    report = json.loads(capsys.readouterr().out)
    assert (report["ok"], report["rows"], report["accepted"]) == (False, 3, 1)
    assert report["errors"] == {"images: no such picture": 1, "target: answer is not among the choices": 1}
    first = report["findings"][0]
    assert (first["row"], first["id"], first["field"], first["value"]) == (2, "q2", "target", "'F'")
    assert main(["data", "check", str(good(file)), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ok"]


def test_convert_refuses_bad_rows_or_counts_them(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = file.parent / "out" / "train.json"
    assert main(["data", "convert", str(file), str(out), "--to", "llava"]) == 2
    assert "2 bad rows; the first: " in capsys.readouterr().err
    assert not out.exists()
    arguments = ["data", "convert", str(file), str(out), "--to", "sharegpt", "--max-bad-share", "0.7", "--json"]
    assert main(arguments) == 0
    told = capsys.readouterr()
    assert "2 bad rows are left out" in told.err
    found = json.loads(told.out)
    assert (found["problems"], found["bad"], found["pictures_copied"]) == (1, 2, 1)
    assert found["dataset_info"].endswith("dataset_info.json")
    assert [p.id for p in read_problems(out, split="pool", format="sharegpt").problems] == ["q1"]
    assert main(arguments) == 2
    error = json.loads(capsys.readouterr().err)
    assert (error["error"], error["remedy"]) == ("there is a file already", "name another, or give --force")
    assert main([*arguments, "--force"]) == 0


def test_stats_and_a_sheet(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sheet = file.parent / "sheet.png"
    assert main(["data", "stats", str(good(file)), "--json", "--sheet", str(sheet)]) == 0
    stats = json.loads(capsys.readouterr().out)
    assert (stats["problems"], stats["skills"], stats["answers"]) == (1, {"count": 1}, {"A": 1})
    assert stats["widths"]["median"] == 8
    assert stats["unit"] == "words"
    with Image.open(sheet) as picture:
        assert picture.format == "PNG"
        colours = {colour for _, colour in picture.convert("RGB").getcolors(1 << 20) or []}
    assert (255, 0, 0) in colours
    assert main(["data", "stats", str(file)]) == 0
    assert "1 problems, 0 with a rationale, 0 without a skill" in capsys.readouterr().out


BAD: dict[str, tuple[list[str], str]] = {
    "no such file": (["check", "none.json"], "no such file"),
    "unknown format": (["check", "FILE", "--format", "xml"], "--format: unknown data format (got 'xml'); use one of"),
    "no column": (["check", "FILE", "--field", "question"], "--field: no field and column"),
    "no folder of pictures": (["check", "FILE", "--images", "none"], "--images: no such folder"),
    "no tokenizer": (["stats", "FILE", "--tokenizer", "none"], "--tokenizer: no such folder"),
    "out is a folder": (["convert", "FILE", ".", "--to", "llava"], "a folder, not a file"),
    "a folder": (["check", "."], "a folder: its format has to be said"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_fault_is_one_line(
    file: Path, case: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(file.parent)
    words, message = BAD[case]
    assert main(["data", *(str(file) if word == "FILE" else word for word in words)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("errata: ")
    assert err.count("\n") == 1
    assert message in err


def test_check_counts_pictures_that_are_converted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (8, 4), "red").save(tmp_path / "turned.jpg", exif=exif)
    Image.new("RGBA", (8, 8), (0, 0, 0, 9)).save(tmp_path / "clear.png")
    Image.new("RGB", (8, 8), "red").save(tmp_path / "plain.png")
    rows = [
        {"id": str(n), "question": "Which?", "choices": ["a", "b"], "target": "A", "images": [name]}
        for n, name in enumerate(("turned.jpg", "turned.jpg", "clear.png", "plain.png"))
    ]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main(["data", "check", str(path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["converted"]
    assert found == {"transparency laid on white": 1, "turned by its EXIF orientation": 1}
    assert main(["data", "check", str(path)]) == 0
    assert "turned by its EXIF orientation" in capsys.readouterr().out
