"""A run under each signal that asks for a stop, at five moments: exit code, resume, records, processes left behind.

An undisturbed run and the disturbed ones have the same settings. The signal goes to the whole process group, as a
closed terminal sends it. After it the run must end with 130 (or 0 in its last stage), nothing of its session
may live on, and `errata resume` must come to the same records.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from benchmarks.resume import count_differences, read_records
from benchmarks.tables import ROOT, errata, parse_arguments, write_table

SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGUSR1)
MOMENTS = ("prepare", "evaluate", "investigate", "train", "report")
"""Stages; the signal is sent as soon as the stage has begun."""
SMALL = (
    "data.world.sizes={pool: 1500, diagnosis: 120, gate: 60, test: 60}",
    "train.epochs=2",
    "budget.iterations=1",
    "budget.iteration.samples=80",
)
CONFIG = ROOT / "runs" / "configs" / "demo.yaml"
STATE_SECONDS = 5.0


class Stopped(NamedTuple):
    """One run that got a signal."""

    signal: str
    moment: str
    code: int
    resumed: int
    """Exit code of the resume."""
    different: int
    """Records that are not those of the undisturbed run."""
    left: int
    """Processes of its session that were still there."""

    @property
    def good(self) -> bool:
        """Whether it stopped in order, or ended in its last stage, and lost nothing."""
        ended = self.code == 130 or (self.code == 0 and self.moment == MOMENTS[-1])
        return ended and self.resumed == 0 and self.different == 0 and self.left == 0


def send_at(number: signal.Signals, moment: str, *, runs: Path, name: str) -> tuple[int, int]:
    """Start a run, send the signal when the stage begins; exit code, and processes of its session that stay."""
    words = ["run", str(CONFIG), "--name", name, *SMALL, "--runs-dir", str(runs), "--json"]
    process = subprocess.Popen(
        [sys.executable, "-m", "errata.agent", *words],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=hear_all,
    )
    assert process.stderr is not None
    sent = False
    for line in process.stderr:
        event = json.loads(line) if line.startswith("{") else {}
        if not sent and event.get("event") == "stage_started" and event.get("stage") == moment:
            os.killpg(process.pid, number)
            sent = True
    code = process.wait()
    if not sent:
        raise RuntimeError(f"the run ended with {code} before {moment}")
    return code, count_left(process.pid)


def hear_all() -> None:
    """What a shell lets a background job ignore is heard again; Errata leaves ignored signals ignored."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)


def count_left(session: int) -> int:
    """Living processes of a session after a moment's grace."""
    deadline = time.monotonic() + STATE_SECONDS
    while True:
        left = 0
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = stat.read_text().rpartition(")")[2].split()
            except OSError:
                continue
            left += fields[3] == str(session) and fields[0] != "Z"
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.1)


def try_all(runs: Path, *, signals: tuple[signal.Signals, ...], moments: tuple[str, ...]) -> list[Stopped]:
    """Every signal at every moment, against one undisturbed run."""
    runs.mkdir(parents=True, exist_ok=True)
    calm = errata("run", CONFIG, "--name", "calm", *SMALL, "--runs-dir", runs, "--json")
    if calm.returncode:
        raise RuntimeError(calm.stderr[-2000:])
    expected = read_records(runs / "calm-1")
    found = []
    for number in signals:
        for moment in moments:
            name = f"{number.name.lower()}-{moment}"
            code, left = send_at(number, moment, runs=runs, name=name)
            resumed = errata("resume", f"{name}-1", "--runs-dir", runs, "--json").returncode
            different = count_differences(expected, read_records(runs / f"{name}-1"))
            found.append(Stopped(number.name, moment, code, resumed, different, left))
            print(found[-1], flush=True)
    return found


def main() -> None:
    """Run everything and write the table."""
    arguments = parse_arguments(__doc__ or "")
    signals, moments = (SIGNALS[:1], MOMENTS[:2]) if arguments.quick else (SIGNALS, MOMENTS)
    found = try_all(arguments.runs_dir / "signals", signals=signals, moments=moments)
    write_table(
        "signals",
        title="Signals that ask for a stop, at five moments of a run",
        columns=["signal", "moment", "exit code", "exit code of the resume", "records that differ", "processes left"],
        rows=[list(stopped) for stopped in found],
        result={"signals": len(found), "same": sum(stopped.good for stopped in found)},
        notes=["The signal goes to the process group of the run when the stage begins."],
        quick=arguments.quick,
    )


if __name__ == "__main__":
    main()
