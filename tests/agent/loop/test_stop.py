"""Signals that ask a run to stop: each stops in order, and a terminal that is gone ends nothing."""

from __future__ import annotations

import os
import pty
import signal
import sys
import time
from pathlib import Path

import pytest

from errata.agent.loop.driver import resume_loop, run_loop
from errata.agent.loop.parts import Parts
from errata.agent.loop.stop import STOPPING, stop_on_signal
from errata.agent.run.folder import RunFolder
from errata.agent.run.reporter import SilentReporter, Stage
from errata.agent.settings.file import dump_settings
from errata.agent.settings.tree import Settings
from errata.tools.errors import StopRequested
from tests.agent.loop_fakes import ScriptedTeacher, TableStudent, make_settings, write_data


def one_iteration(folder: Path) -> Settings:
    """Settings over data that are written into the folder."""
    write_data(folder / "data")
    return make_settings(folder / "data", base=folder / "base", budget={"iterations": 1})


class SignallingReporter(SilentReporter):
    """Sends this process a signal in the middle of the first training, as often as asked."""

    def __init__(self, number: int, *, times: int = 1) -> None:
        self._number, self._times = number, times

    def stage_advanced(self, stage: Stage, *, iteration: int, done: int, total: int, correct: int | None) -> None:
        del iteration, total, correct
        if stage == "train" and done == 1:
            for _ in range(self._times):
                os.kill(os.getpid(), self._number)


@pytest.mark.parametrize("number", STOPPING, ids=lambda number: number.name)
def test_every_signal_stops_in_order_and_the_run_goes_on(number: int, tmp_path: Path) -> None:
    folder, settings = RunFolder(tmp_path / "t-1"), one_iteration(tmp_path)
    parts, before = Parts(student=TableStudent(), teacher=ScriptedTeacher()), signal.getsignal(number)
    with pytest.raises(StopRequested):
        run_loop(settings, folder=folder, reporter=SignallingReporter(number), parts=parts)
    assert signal.getsignal(number) == before
    assert folder.events()[-1]["event"] == "stopped"
    assert resume_loop(folder, parts=parts) == "iteration_limit"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1], ids=lambda number: number.name)
def test_a_signal_that_comes_twice_asks_for_the_same_stop(number: int, tmp_path: Path) -> None:
    """A shell and the kernel may both send SIGHUP; batch systems repeat theirs."""
    folder, settings = RunFolder(tmp_path / "t-1"), one_iteration(tmp_path)
    parts = Parts(student=TableStudent(), teacher=ScriptedTeacher())
    with pytest.raises(StopRequested):
        run_loop(settings, folder=folder, reporter=SignallingReporter(number, times=3), parts=parts)
    assert folder.events()[-1]["event"] == "stopped"


def test_what_was_ignored_stays_ignored(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop_on_signal(RunFolder(tmp_path)):
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
            os.kill(os.getpid(), signal.SIGHUP)
        assert not (tmp_path / "stop").exists()
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_closed_terminal_saves_the_run(tmp_path: Path) -> None:
    settings = one_iteration(tmp_path)
    file, path = tmp_path / "settings.yaml", tmp_path / "runs" / "t-1"
    file.write_text(dump_settings(settings))
    child, master = pty.fork()
    if child == 0:
        os.execv(sys.executable, [sys.executable, "-m", "tests.agent.slow_run", str(path), str(file)])
    deadline = time.monotonic() + 100
    while not (path / "answers").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    os.close(master)  # the kernel sends SIGHUP to what runs in this terminal
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 130
    assert RunFolder(path).events()[-1]["event"] == "stopped"
    assert resume_loop(RunFolder(path), parts=Parts(student=TableStudent(), teacher=ScriptedTeacher()))
