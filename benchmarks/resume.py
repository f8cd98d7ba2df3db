"""A crash costs nothing: `kill -9` at random moments of a demo run, `errata resume`, and the records compared.

An undisturbed run and a killed one have the same settings. The killed one dies at a random moment after each start,
whatever it is doing, until it has been killed often enough; then it may end (and if it ends before, another begins).
Compared are all records, byte for byte, with the run's own name taken out. A repeated call is one that was paid
although its reply was on disk, or a training that ended twice.
"""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from benchmarks.tables import ROOT, errata, last_object, parse_arguments, write_table
from errata.agent.run.folder import RunFolder

CONFIG = ROOT / "runs" / "configs" / "demo.yaml"
COMPARED = ("attempts/*.jsonl", "mistakes/*.jsonl", "skills/*.jsonl", "candidates/*.jsonl", "*.jsonl", "result.json")
LOGS = {"events.jsonl", "ledger.jsonl"}
RECEIPT_SECONDS = 2.0
"""A training that took less was read from its receipt."""


def start_run(name: str, *, runs: Path, resume: bool) -> subprocess.Popen[bytes]:
    """Start or resume a run in a session of its own, so that its whole process group can be killed."""
    words = ["resume", f"{name}-1"] if resume else ["run", str(CONFIG), "--name", name]
    command = [sys.executable, "-m", "errata.agent", *words, "--runs-dir", str(runs), "--json"]
    with (runs / f"{name}.log").open("ab") as log:
        return subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, start_new_session=True)


class Kill(NamedTuple):
    """One kill: which run, how many seconds after its (re)start, and the stage that it was in."""

    run: str
    seconds: float
    stage: str


def kill_often(*, runs: Path, kills: int, seed: int, longest: float) -> list[Kill]:
    """Kill a run at random moments after each start; one that ended all the same is followed by another."""
    rng, killed, number = random.Random(seed), list[Kill](), 1
    while len(killed) < kills:
        name = f"killed-{number}"
        process = start_run(name, runs=runs, resume=(runs / f"{name}-1" / "settings.yaml").exists())
        delay = rng.uniform(0.3, longest)
        try:
            process.wait(delay)
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)  # the process alone: its helpers must notice by themselves
            process.wait()
            killed.append(Kill(f"{name}-1", delay, read_stage(runs / f"{name}-1")))
            time.sleep(0.2)
            continue
        if process.returncode:
            raise RuntimeError((runs / f"{name}.log").read_text()[-2000:])
        number += 1
    return killed


def read_stage(folder: Path) -> str:
    """The last stage that the event log names."""
    events = RunFolder(folder).events() if folder.exists() else []
    return str(next((e["stage"] for e in reversed(events) if "stage" in e), "start"))


def read_records(folder: Path) -> dict[str, list[str]]:
    """Lines of every record file, with the run's name taken out."""
    files = {path for pattern in COMPARED for path in folder.glob(pattern) if path.name not in LOGS}
    return {
        str(path.relative_to(folder)): path.read_text(encoding="utf-8").replace(folder.name, "RUN").split("\n")
        for path in sorted(files)
    }


def count_differences(one: dict[str, list[str]], other: dict[str, list[str]]) -> int:
    """Records that are in one run and not, or not as often, in the other."""
    total = 0
    for name in sorted({*one, *other}):
        before, after = Counter(one.get(name, [])), Counter(other.get(name, []))
        total += sum((before - after).values()) + sum((after - before).values())
    return total


def count_repeated(folder: Path) -> int:
    """Teacher calls paid beyond the distinct requests, and trainings that ended twice."""
    with sqlite3.connect(folder / "teacher.sqlite") as connection:
        distinct = connection.execute("SELECT COUNT(*) FROM replies").fetchone()[0]
    ledger = RunFolder(folder).ledger()
    paid = sum(int(entry.get("paid") or 0) for entry in ledger)
    ended = [e["iteration"] for e in ledger if e["stage"] == "train" and float(e.get("seconds") or 0) > RECEIPT_SECONDS]
    return max(0, paid - int(distinct)) + len(ended) - len(set(ended))


def main() -> None:
    """Run everything and write the table."""
    arguments = parse_arguments(__doc__ or "")
    runs = arguments.runs_dir
    runs.mkdir(parents=True, exist_ok=True)
    kills = 5 if arguments.quick else 20
    calm = errata("run", CONFIG, "--name", "calm", "--runs-dir", runs, "--json")
    if calm.returncode:
        raise RuntimeError(calm.stderr[-2000:])
    killed = kill_often(runs=runs, kills=kills, seed=1, longest=30.0)
    one = read_records(runs / str(last_object(calm.stdout)["run"]))
    names = list(dict.fromkeys(kill.run for kill in killed))
    for name in names:
        ended = errata("resume", name, "--runs-dir", runs, "--json")
        if ended.returncode:
            raise RuntimeError(ended.stderr[-2000:])
    result = {
        "kills": len(killed),
        "runs": len(names),
        "lost_or_doubled": sum(count_differences(one, read_records(runs / name)) for name in names),
        "repeated_calls": sum(count_repeated(runs / name) for name in names),
        "records": sum(len(lines) - 1 for lines in one.values()),
    }
    write_table(
        "resume",
        title="`kill -9` at random moments, then `errata resume`",
        columns=["kill", "run", "seconds after its start", "stage"],
        rows=[[i + 1, kill.run, f"{kill.seconds:.1f}", kill.stage] for i, kill in enumerate(killed)],
        result=result,
        quick=arguments.quick,
        notes=[
            f"{result['records']} records compared line by line: {result['lost_or_doubled']} lost, doubled or "
            f"different. Teacher calls paid twice or trainings done twice: {result['repeated_calls']}."
        ],
    )


if __name__ == "__main__":
    main()
