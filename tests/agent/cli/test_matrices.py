"""`errata matrices` on the command line: what it writes, what it says, and one line for each fault."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from errata.agent.cli.main import main
from errata.agent.cli.options.matrices import CONFIGURATIONS
from errata.tools.synthesize.matrices.layout import CONFIGURATIONS as KNOWN

SMALL = ["--size", "96", "--n", "14", "--seed", "2"]


def test_make_writes_rows_that_data_check_takes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "made"
    assert main(["matrices", "make", *SMALL, "--out", str(out), "--fine", "2"]) == 0
    said = capsys.readouterr()
    assert f"{out / 'matrices.jsonl'}: 14 matrices, each proved to have one answer" in said.out
    assert f"{out / 'perception.jsonl'}: 84 questions about them" in said.out
    assert said.err == ""
    for name, rows in (("matrices", 14), ("perception", 84)):
        assert main(["data", "check", str(out / f"{name}.jsonl")]) == 0
        assert f"{rows} rows = {rows} good" in capsys.readouterr().out
    assert main(["matrices", "make", *SMALL, "--out", str(out), "--fine", "2"]) == 0
    assert "(made before)" in capsys.readouterr().out


def test_make_as_json_and_by_every_option(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "made"
    options = ["--configuration", "grid2", "--configuration", "out-in", "--columns", "4", "--levels", "20"]
    options += ["--noise", "1", "--confounders", "3", "--uncertainty", "0.4", "--prefix", "irregular", "--rules", "0"]
    options += ["--split", "gate", "--coarse", "1", "--fine", "0"]
    assert main(["matrices", "make", *SMALL, *options, "--out", str(out), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["matrices"], told["questions"], told["warnings"], told["reused"]) == (14, 14, [], False)
    settings = json.loads((out / "matrices.json").read_text())["settings"]
    assert settings["configurations"] == ["grid2", "out-in"]
    assert (settings["columns"], settings["levels"], settings["noise"], settings["confounders"]) == (4, 20, 1.0, 3)
    row = json.loads((out / "matrices.jsonl").read_text().splitlines()[0])
    assert row["rationale"].startswith("This is an irregular puzzle.")
    assert (row["split"], row["metadata"]["columns"]) == ("gate", 4)


def test_what_a_trainer_should_know_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "made"
    assert main(["matrices", "make", *SMALL, "--out", str(out), "--candidates", "raven", "--order", "grid"]) == 0
    said = capsys.readouterr().err
    assert "these candidates give the answer away" in said
    assert "fine questions follow the grid in 100% of the matrices" in said


def test_symbols(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "made"
    assert main(["matrices", "make", "--n", "3", "--kind", "symbols", "--levels", "1000", "--out", str(out)]) == 0
    assert "questions about them" not in capsys.readouterr().out
    row = json.loads((out / "matrices.jsonl").read_text().splitlines()[0])
    assert row["images"] == []
    assert "Row 3: " in row["question"]


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--columns", "2"], "errata: --columns: out of range (got 2); choose 3 to 10"),
        (["--workers", "0"], "errata: --workers: out of range (got 0); choose 1 or more"),
        (["--configuration", "oval"], "errata: --configuration: no such configuration (got 'oval'); use centre"),
        (["--kind", "symbols", "--fine", "2"], "errata: --kind: there is no picture to ask about"),
    ],
)
def test_faults_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], line: str
) -> None:
    assert main(["matrices", "make", *SMALL, "--out", str(tmp_path / "made"), *options]) == 2
    said = capsys.readouterr()
    assert said.err.startswith(line)
    assert said.err.count("\n") == 1
    assert said.out == ""
    assert list(tmp_path.iterdir()) == []


def test_import_says_what_is_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pack, out = tmp_path / "pack.jsonl", tmp_path / "rows.jsonl"
    pack.write_text('{"topic": "spiral"}\n')
    assert main(["matrices", "import", str(pack), "--out", str(out)]) == 2
    assert "no usable row; row 1: topic: no configuration of RAVEN: 'spiral'" in capsys.readouterr().err
    out.write_text("here")
    assert main(["matrices", "import", str(pack), "--out", str(out)]) == 2
    assert "there is a file already" in capsys.readouterr().err
    assert out.read_text() == "here"


def test_the_options_name_what_there_is() -> None:
    assert tuple(KNOWN) == CONFIGURATIONS


def test_help_imports_nothing_heavy() -> None:
    code = "import sys; from errata.agent.cli.options.parser import build_parser; build_parser(); print(*sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "errata.agent.cli.options.matrices" in told.stdout.split()
    assert not {"PIL", "numpy", "pydantic", "errata.agent.cli.matrices"} & set(told.stdout.split())
