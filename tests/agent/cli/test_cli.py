"""The command line: what is printed where, and with which exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from errata.agent.cli.main import main, parse_arguments
from errata.agent.run.folder import RunFolder
from errata.tools.records import Problem
from tests.agent.made_run import BASE, make_run

Made = tuple[RunFolder, dict[str, Problem]]


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    """The single line on stderr; nothing may have gone to stdout."""
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("errata: ")
    assert err.count("\n") == 1, err
    return err


@pytest.mark.parametrize(
    "arguments",
    [
        ["fly"],
        [],
        ["demo", "--bogus"],
        ["run", "a.yaml", "--bogus"],
        ["demo", "--control", "sideways"],
        ["demo", "--seed", "one"],
        ["show", "run-1", "errors", "extra"],
        ["eval", "x.jsonl"],
        ["eval", "x.jsonl", "--model", "m", "--limit", "0"],
    ],
)
def test_bad_arguments_get_one_line_and_code_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    one_line(capsys)


def test_overrides_and_options_mix() -> None:
    parsed = parse_arguments(["run", "c.yaml", "a.b=1", "--seed", "3", "c.d=2"])
    assert (parsed.overrides, parsed.seed) == (["a.b=1", "c.d=2"], 3)


def test_unknown_run_names_what_there_is(made: Made, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["status"], ["show"], ["resume"], ["compare", "made-1"]):
        assert main([*command, "mad-1", "--runs-dir", str(runs)]) == 2
        assert made[0].id in one_line(capsys)


def test_missing_settings_file_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(tmp_path / "none.yaml"), "--runs-dir", str(tmp_path / "runs")]) == 2
    assert "none.yaml" in one_line(capsys)
    assert not (tmp_path / "runs").exists()


def test_bad_data_leaves_no_run_behind(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "student").mkdir()
    (tmp_path / "student" / "config.json").write_text('{"vision_config": {}}')
    for split in ("pool", "diagnosis", "gate", "test"):
        (tmp_path / f"{split}.jsonl").write_text("")
    sources = "".join(f"  {s}: {{path: {s}.jsonl}}\n" for s in ("pool", "diagnosis", "gate", "test"))
    (tmp_path / "c.yaml").write_text(f"data:\n{sources}student: {{base: student}}\n")
    assert main(["run", str(tmp_path / "c.yaml"), "--runs-dir", str(tmp_path / "runs"), "--json"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "pool.jsonl" in err.splitlines()[-1]
    assert list((tmp_path / "runs").glob("run-*")) == []


def test_dry_run_prints_settings_and_makes_nothing(
    tmp_path: Path, made: Made, capsys: pytest.CaptureFixture[str]
) -> None:
    (made[0].path.parent / "base").mkdir()
    (made[0].path.parent / "base" / "config.json").write_text('{"vision_config": {}}')
    config = made[0].path / "settings.yaml"
    arguments = ["run", str(config), "budget.iterations=2", "--seed", "9", "--control", "random", "--dry-run"]
    assert main([*arguments, "--json", "--runs-dir", str(tmp_path / "new")]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["settings"]["run"]["seed"] == 9
    assert told["plan"]["iterations at most"] == 2
    assert told["plan"]["decided by"] == "control: random"
    assert not (tmp_path / "new").exists()


def test_runs_and_status(made: Made, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", "--json", "--runs-dir", str(runs)]) == 0
    assert [run["id"] for run in json.loads(capsys.readouterr().out)] == [made[0].id]
    assert main(["status", "last", "--json", "--runs-dir", str(runs)]) == 0
    status = json.loads(capsys.readouterr().out)
    assert (status["state"], status["stop_reason"]) == ("finished", "no_gain_twice")
    assert (status["gate_before"], status["gate_after"], status["accepted"]) == (0.4, 0.65, 1)
    assert (status["teacher_calls"], status["samples"], status["go_on_with"]) == (8, 5, "")
    assert main(["runs", "--runs-dir", str(runs / "empty")]) == 0
    assert "errata demo" in capsys.readouterr().out


def test_a_stopped_run_says_how_to_go_on(made: Made, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (made[0].path / "result.json").unlink()
    assert main(["status", "made-1", "--runs-dir", str(runs)]) == 0
    assert f"errata resume {made[0].path}" in capsys.readouterr().out


def test_compare_pairs_answers_to_the_same_questions(
    made: Made, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other, _ = make_run(runs, name="made-2")
    for folder, right in ((made[0], 2), (other, 7)):
        answer_test(folder, made[1], right=right)
    assert main(["compare", "made-1", "made-2", "--json", "--runs-dir", str(runs)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["split"], told["total"], told["fixed"], told["broken"]) == ("test", 8, 5, 0)
    assert told["gain"]["value"] == pytest.approx(5 / 8)
    assert told["gain"]["low"] > 0
    assert main(["compare", "made-1", "made-2", "--runs-dir", str(runs)]) == 0
    assert "made-2 minus made-1 on 8 test questions: +62.5 points" in capsys.readouterr().out


def test_compare_refuses_different_questions(made: Made, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other, _ = make_run(runs, name="made-2")
    manifest = other.read_json("manifest.json")
    manifest["test"]["digest"] = "another"
    other.write_json("manifest.json", manifest)
    assert main(["compare", made[0].id, "made-2", "--runs-dir", str(runs)]) == 2
    assert "different test questions" in one_line(capsys)


def answer_test(folder: RunFolder, problems: dict[str, Problem], *, right: int) -> None:
    """Answers of the best checkpoint to the test questions, the first `right` of them right."""
    from tests.agent.made_run import FIRST, make_attempt

    test = [p for p in problems.values() if p.split == "test"]
    attempts = [make_attempt(p, checkpoint=FIRST, correct=i < right) for i, p in enumerate(test)]
    folder.write_records(f"attempts/{FIRST}.test.jsonl", attempts)
    assert BASE != FIRST


def test_eval_names_a_missing_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", str(tmp_path / "q.jsonl"), "--model", str(tmp_path / "none")]) == 2
    assert "--model" in one_line(capsys)


def test_doctor_reports_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    from errata.agent.cli.doctor.findings import Check
    from errata.agent.cli.doctor.machine import check_packages, check_python

    checks = [*check_python(), *check_packages()]
    assert all(isinstance(check, Check) for check in checks)
    found = {check.name: check for check in checks}
    assert found["torch"].ok is True
    assert found["vllm"].ok is None
    assert capsys.readouterr().out == ""
