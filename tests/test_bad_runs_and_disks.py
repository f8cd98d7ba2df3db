"""Bad inputs on the command line: one line on stderr, exit code 2, and every file as it was before."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from errata.agent.loop.driver import run_loop
from errata.agent.loop.parts import Parts
from errata.agent.run.folder import RunFolder
from errata.agent.settings.file import load_settings
from tests.agent.loop_fakes import TableStudent
from tests.bad_inputs import CONFIG, HOUSE, House, call, complain


def test_questions_that_the_teacher_cannot_read(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    """Found after the data were read, so one line of progress may stand before the complaint."""
    before = house.files()
    assert call(house.run("teacher.kind=world", "locate.method=answer_switch")) == 2
    err = capsys.readouterr().err.splitlines()
    assert [line for line in err if line.startswith("errata: ")] == err[-1:]
    assert all(line.startswith("[0] ") for line in err[:-1])
    assert "cannot read this question" in err[-1]
    assert house.files() == before
    assert list(house.runs.iterdir()) == []


@pytest.mark.parametrize(
    ("given", "names"),
    [("nowhere", ("ERRATA_DATA", "nowhere", "data.root")), (None, ("data.root", "ERRATA_DATA"))],
)
def test_data_that_are_elsewhere(
    given: str | None,
    names: tuple[str, ...],
    house: House,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    house.config.write_text(CONFIG.replace("data/", "sets/"))
    if given:
        monkeypatch.setenv("ERRATA_DATA", given)
    complain(house, house.run(), names=names, capsys=capsys)


def test_the_environment_says_where_the_data_lie(
    house: House, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (house.folder / "elsewhere").mkdir()
    house.data.rename(house.folder / "elsewhere" / "data")
    monkeypatch.chdir(house.folder)
    monkeypatch.setenv("ERRATA_DATA", "elsewhere")
    assert call(house.run("--dry-run", "--json")) == 0
    told = json.loads(capsys.readouterr().out)["settings"]["data"]
    assert told["root"] == str(house.folder / "elsewhere")
    assert told["gate"]["path"] == str(house.folder / "elsewhere" / "data" / "gate.jsonl")
    assert call(house.run("--dry-run", "--json", f"data.root={house.folder}")) == 2  # what is typed comes first
    assert str(house.folder / "data" / "pool.jsonl") in capsys.readouterr().err


@pytest.fixture
def begun(house: House) -> RunFolder:
    """A run that ended, made by the loop with a student that answers from a table."""
    folder = RunFolder(house.runs / "done-1")
    run_loop(load_settings(house.config), folder=folder, parts=Parts(student=TableStudent()))
    return folder


def test_resume_with_changed_data(begun: RunFolder, house: House, capsys: pytest.CaptureFixture[str]) -> None:
    house.change_row("gate", 2, question="Another question?")
    arguments = ["resume", "done-1", "--runs-dir", str(house.runs)]
    complain(house, arguments, names=("gate data changed", str(begun.path), "new run"), capsys=capsys)


def test_resume_without_its_data(begun: RunFolder, house: House, capsys: pytest.CaptureFixture[str]) -> None:
    (house.data / "gate.jsonl").unlink()
    arguments = ["resume", begun.id, "--runs-dir", str(house.runs)]
    complain(house, arguments, names=("data.gate.path", "gate.jsonl"), capsys=capsys)


def test_resume_of_an_ended_run_changes_no_record(
    begun: RunFolder, house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    """No fault: it prints the result again."""
    before = {name: body for name, body in house.files().items() if name.endswith((".jsonl", "result.json"))}
    assert call(["resume", begun.id, "--runs-dir", str(house.runs), "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["run"] == "done-1"
    after = house.files()
    logs = ("runs/done-1/events.jsonl", "runs/done-1/ledger.jsonl")
    assert {n: b for n, b in before.items() if n not in logs} == {n: after[n] for n in before if n not in logs}


HOLD = """
import fcntl, os, sys
file = open(sys.argv[1], "w")
fcntl.flock(file, fcntl.LOCK_EX)
print(os.getpid(), file=file, flush=True)
print("held", flush=True)
sys.stdin.read()
"""


def test_two_processes_on_one_run(begun: RunFolder, house: House, capsys: pytest.CaptureFixture[str]) -> None:
    command = [sys.executable, "-c", HOLD, str(begun.path / "lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        arguments = ["resume", begun.id, "--runs-dir", str(house.runs)]
        names = ("another process works on this run", f"pid {other.pid}", str(begun.path / "stop"))
        complain(house, arguments, names=names, capsys=capsys)
        other.communicate()


@pytest.fixture
def small_disk(house: House) -> Iterator[Path]:
    """A file system of 16 kB at the place of the runs; skipped where nothing may be mounted."""
    house.runs.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(house.runs)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("no right to mount a file system")
    yield house.runs
    subprocess.run(["umount", str(house.runs)], check=True)


def test_a_full_disk(small_disk: Path, house: House, capsys: pytest.CaptureFixture[str]) -> None:
    (small_disk / "ballast").write_bytes(bytes(16 * 1024))
    complain(house, house.run(), names=(str(small_disk), "disk is full", "make room"), capsys=capsys)


def test_a_disk_that_fills_while_the_data_are_read(
    small_disk: Path, house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    """Room for the first files of a run, not for all."""
    (small_disk / "ballast").write_bytes(bytes(8 * 1024))
    complain(house, house.run(), names=(str(small_disk), "disk is full", "make room"), capsys=capsys)


def test_a_read_only_disk(small_disk: Path, house: House, capsys: pytest.CaptureFixture[str]) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    complain(house, house.run(), names=(str(small_disk), "read-only"), capsys=capsys)


def test_a_read_only_run(begun: RunFolder, house: House, capsys: pytest.CaptureFixture[str]) -> None:
    """By permission bits, which do not bind root: then by the attribute that does, else skipped."""
    arguments = ["resume", begun.id, "--runs-dir", str(house.runs)]
    (begun.path / "lock").unlink()
    root = os.geteuid() == 0
    if root and (
        shutil.which("chattr") is None
        or subprocess.run(["chattr", "+i", str(begun.path)], capture_output=True, check=False).returncode
    ):
        pytest.skip("root may write everywhere here")
    begun.path.chmod(0o555) if not root else None
    try:
        complain(house, arguments, names=(str(begun.path), "may not be written to"), capsys=capsys)
    finally:
        begun.path.chmod(0o755) if not root else subprocess.run(["chattr", "-i", str(begun.path)], check=True)


def test_files_that_may_not_grow(house: House) -> None:
    """Stands for a quota, needs no rights: in a process of its own that may write files of 100 bytes at most."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))

    before = house.files()
    done = subprocess.run(
        [sys.executable, "-B", "-m", "errata.agent", *house.run()],
        cwd=HOUSE,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        preexec_fn=limit,
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("errata: "), done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert str(house.runs) in done.stderr
    assert house.files() == before
