"""How the command line reports what a person has to mend: one line, or one JSON object under --json."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from errata.agent.cli.main import main
from tests.bad_inputs import House, call


def error_of(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    """The one object on stderr; nothing is on stdout."""
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1, err
    found: dict[str, object] = json.loads(err)
    return found


def test_an_error_has_its_parts_under_json(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*house.run("train.epochs=0"), "--json"]) == 2
    error = error_of(capsys)
    assert error == {
        "error": "wrong value",
        "where": "command line: train.epochs=0: train.epochs",
        "value": "0",
        "remedy": "input should be greater than or equal to 1",
        "exit_code": 2,
    }


def test_a_run_that_is_not_there(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "gone", "--runs-dir", str(house.runs), "--json"]) == 2
    error = error_of(capsys)
    assert (error["error"], error["value"], error["exit_code"]) == ("no such run", "gone", 2)
    assert error["where"] == str(house.runs)


def test_a_wrong_command_line_too(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["errata", "runs", "--json", "--nonsense"])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    error = error_of(capsys)
    assert (error["where"], error["exit_code"]) == ("command line", 2)
    assert "--nonsense" in str(error["error"])
    monkeypatch.setattr(sys, "argv", ["errata", "runs", "--nonsense"])
    with pytest.raises(SystemExit):
        main()
    assert capsys.readouterr().err.startswith("errata: runs: unknown argument '--nonsense'; see: errata --help")


def test_without_json_it_is_a_line(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(house.run("train.epochs=0")) == 2
    assert capsys.readouterr().err.startswith("errata: command line: train.epochs=0: train.epochs: wrong value (got 0)")


@pytest.mark.parametrize("words", [["demo"], ["runs"]], ids=" ".join)
def test_a_folder_that_the_locale_cannot_read_is_one_line(words: list[str], tmp_path: Path) -> None:
    plain = {key: value for key, value in os.environ.items() if not key.startswith(("LC_", "LANG", "PYTHONUTF8"))}
    done = subprocess.run(
        [sys.executable, "-m", "errata.agent", *words, "--runs-dir", os.fsencode(tmp_path / "caf\u00e9")],
        env=plain | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 2
    text = done.stderr.decode()
    assert text.count("\n") == 1, text
    assert "cannot be read in this locale" in text
    assert "PYTHONUTF8=1" in text
