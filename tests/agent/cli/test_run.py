"""How a run ends on the command line: result object, stop, fault."""

from __future__ import annotations

import json

import pytest

from errata.agent.cli.main import main
from errata.agent.cli.run import run_to_end
from errata.agent.run.folder import RunFolder
from errata.agent.run.result import worked_seconds
from errata.agent.show.progress.reporters import ClosableReporter
from errata.tools.errors import OperatorError, StopRequested
from errata.tools.records import Problem

Made = tuple[RunFolder, dict[str, Problem]]
KEYS = [
    "run",
    "gate_before",
    "gate_after",
    "test_before",
    "test_after",
    "accepted",
    "seconds",
    "samples",
    "stop_reason",
]


def end(_: ClosableReporter) -> None:
    """A loop that has nothing left to do."""


def test_the_last_line_is_one_object(made: Made, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_to_end(made[0], end, json_lines=True) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert list(told) == KEYS
    assert (told["gate_before"], told["gate_after"]) == (0.4, 0.65)
    assert (told["test_before"], told["test_after"]) == (0.45, 0.625)
    assert (told["accepted"], told["samples"], told["stop_reason"]) == (1, 5, "no_gain_twice")
    assert made[0].has("report.html")


def test_a_person_gets_a_few_lines(made: Made, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_to_end(made[0], end, json_lines=False) == 0
    lines = capsys.readouterr().out.strip().splitlines()
    assert len(lines) <= 10
    assert lines[0].startswith("Accuracy rose from 45.0 % to 62.5 % on the 40 test questions (+17.5 points")
    assert lines[1] == "gate:     40.0 % to 65.0 % on 40 questions; 1 of 2 trainings accepted"
    assert "gained:   read the colour of a square (" in lines[2]
    assert f"report:   {made[0].path / 'report.html'}" in lines
    assert lines[-1] == f"more:     errata show {made[0].id} summary|errors|skills|lessons|decisions|ID"


def test_the_summary_has_the_tables(made: Made, capsys: pytest.CaptureFixture[str]) -> None:
    folder = made[0].path
    assert main(["show", folder.name, "summary", "--runs-dir", str(folder.parent)]) == 0
    out = capsys.readouterr().out
    for part in (
        "45.0 %",
        "+17.5 (+10.0 to +25.0)",
        "read the colour of a square",
        "retrieve_samples",
        "most errors lack one skill",
        "bm25",
        "investigate",
    ):
        assert part in out
    assert main(["show", folder.name, "summary", "--runs-dir", str(folder.parent), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["gate_after"] == 0.65


def test_a_stop_prints_the_command_that_goes_on(made: Made, capsys: pytest.CaptureFixture[str]) -> None:
    def stop(_: ClosableReporter) -> None:
        raise StopRequested("stopped by the user")

    (made[0].path / "result.json").unlink()
    assert run_to_end(made[0], stop, json_lines=True) == 130
    out, err = capsys.readouterr()
    assert f"errata resume {made[0].path}" in err
    assert json.loads(out)["stop_reason"] == "stopped_by_user"


def test_a_hard_stop_prints_it_too(made: Made, capsys: pytest.CaptureFixture[str]) -> None:
    def kill(_: ClosableReporter) -> None:
        raise KeyboardInterrupt

    assert run_to_end(made[0], kill, json_lines=True) == 130
    assert "errata resume" in capsys.readouterr().err


def test_a_fault_in_the_middle_says_how_to_go_on(made: Made) -> None:
    def fail(_: ClosableReporter) -> None:
        raise OperatorError("the disk is full", where="somewhere", remedy="make room")

    (made[0].path / "graph.sqlite").touch()
    with pytest.raises(OperatorError) as error:
        run_to_end(made[0], fail, json_lines=True)
    assert str(error.value) == f"somewhere: the disk is full; make room; then go on with: errata resume {made[0].path}"


def test_time_between_two_processes_is_not_work() -> None:
    events = [
        {"at": 10.0, "event": "stage_ended", "stage": "prepare"},
        {"at": 11.0, "event": "started"},
        {"at": 15.0, "event": "stage_started", "stage": "evaluate"},
        {"at": 900.0, "event": "stage_ended", "stage": "prepare"},
        {"at": 901.0, "event": "resumed"},
        {"at": 903.5, "event": "ended"},
    ]
    assert worked_seconds(events) == pytest.approx(6.5)
    assert worked_seconds([]) == 0.0
