"""A crash costs nothing: `kill -9` at random moments of a demo run, `errata resume`, and the records compared.

An undisturbed run and a killed one have the same settings. The killed one dies at a random moment after each start,
whatever it is doing, until it has been killed often enough; then it may end. Compared are all records, byte for byte,
with the run's own name taken out. A repeated teacher call is one that was paid although its reply was on disk.
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

from agent.run_folder import RunFolder
from benchmarks.tables import ROOT, errata, last_object, parse_arguments, write_table

CONFIG = ROOT / "runs" / "configs" / "demo.yaml"
COMPARED = ("attempts/*.jsonl", "mistakes/*.jsonl", "skills/*.jsonl", "candidates/*.jsonl", "*.jsonl", "result.json")
LOGS = {"events.jsonl", "ledger.jsonl"}


def start_run(name: str, *, runs: Path, resume: bool) -> subprocess.Popen[bytes]:
    """Start or resume a run in a session of its own, so that its whole process group can be killed."""
    words = ["resume", name] if resume else ["run", str(CONFIG), "--name", name]
    command = [sys.executable, "-m", "agent", *words, "--runs-dir", str(runs), "--json"]
    with (runs / f"{name}.log").open("ab") as log:
        return subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, start_new_session=True)


def kill_often(name: str, *, runs: Path, kills: int, seed: int, longest: float) -> list[tuple[float, str]]:
    """Kill a run at random moments; returns (seconds after its start, stage it was in) per kill."""
    rng, killed = random.Random(seed), []
    while len(killed) < kills:
        process = start_run(name, runs=runs, resume=(runs / f"{name}-1" / "settings.yaml").exists())
        delay = rng.uniform(0.3, longest)
        try:
            process.wait(delay)
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)  # the process alone: its helpers must notice by themselves
            process.wait()
            killed.append((delay, read_stage(runs / f"{name}-1")))
            time.sleep(0.2)
            continue
        if process.returncode:
            raise RuntimeError((runs / f"{name}.log").read_text()[-2000:])
        break  # it ended before it could be killed again
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
    """Teacher calls paid beyond the distinct requests, and trainings begun anew after their receipt."""
    with sqlite3.connect(folder / "teacher.sqlite") as connection:
        distinct = connection.execute("SELECT COUNT(*) FROM replies").fetchone()[0]
    paid = sum(int(entry.get("paid") or 0) for entry in RunFolder(folder).ledger())
    return max(0, paid - int(distinct))


def main() -> None:
    """Run everything and write the table."""
    arguments = parse_arguments(__doc__ or "")
    runs = arguments.runs_dir
    runs.mkdir(parents=True, exist_ok=True)
    kills = 5 if arguments.quick else 20
    began = time.monotonic()
    calm = errata("run", CONFIG, "--name", "calm", "--runs-dir", runs, "--json")
    if calm.returncode:
        raise RuntimeError(calm.stderr[-2000:])
    calm_seconds = time.monotonic() - began
    killed = kill_often("killed", runs=runs, kills=kills, seed=1, longest=min(40.0, calm_seconds / 3))
    ended = errata("resume", "killed-1", "--runs-dir", runs, "--json")
    if ended.returncode:
        raise RuntimeError(ended.stderr[-2000:])
    first, second = runs / str(last_object(calm.stdout)["run"]), runs / "killed-1"
    one, other = read_records(first), read_records(second)
    result = {
        "kills": len(killed),
        "lost_or_doubled": count_differences(one, other),
        "repeated_calls": count_repeated(second),
        "records": sum(len(lines) - 1 for lines in one.values()),
    }
    write_table(
        "resume",
        title="`kill -9` at random moments, then `errata resume`",
        columns=["kill", "after s", "stage"],
        rows=[[i + 1, round(delay, 1), stage] for i, (delay, stage) in enumerate(killed)],
        result=result,
        quick=arguments.quick,
        notes=[
            f"{result['records']} records compared line by line: {result['lost_or_doubled']} lost, doubled or "
            f"different. Teacher calls paid twice: {result['repeated_calls']}."
        ],
    )


if __name__ == "__main__":
    main()
