"""Required skills of 20,000 samples: in one process, over Ray, with a worker killed and with the driver killed.

The teacher repeats labels after a short wait, and writes down what it was asked, so that what a kill cost is counted
and not inferred. Needs the extra `scale`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.tables import ROOT, need, parse_arguments, write_table
from errata.tools.records import Problem, to_jsonl
from errata.tools.skills.blocks import tag_file
from errata.tools.skills.store import SkillStore
from errata.tools.teacher.annotations import AnnotationsTeacher
from errata.tools.teacher.protocol import RequiredSkillsRequest, SkillReply

BATCH, ROWS, WORKERS, WAIT = 100, 500, 2, 0.05


class LoggingTeacher(AnnotationsTeacher):
    """Waits, repeats labels, and logs one byte for each sample under the number of its process."""

    def __init__(self, log: Path) -> None:
        self._file = log / str(os.getpid())

    def required_skills(self, requests: Sequence[RequiredSkillsRequest]) -> list[SkillReply]:
        """One short wait a batch."""
        time.sleep(WAIT)
        with self._file.open("ab") as file:
            file.write(b"." * len(requests))
        return super().required_skills(requests)


def write_samples(file: Path, *, count: int) -> None:
    """Samples with two to four of 3,000 skills."""
    skills = [f"tell {a} from {b} in a {c}" for a in range(20) for b in range(15) for c in ("map", "table") * 5]
    rows = (
        Problem(
            id=f"s{i}",
            question=f"Question {i}?",
            target="x",
            scoring="exact",
            skills=tuple(dict.fromkeys(skills[(i * 7919 + k * 104729) % len(skills)] for k in range(2 + i % 3))),
        )
        for i in range(count)
    )
    file.write_text(to_jsonl(rows), encoding="utf-8")


def asked(log: Path) -> int:
    """Samples that teachers were asked about."""
    return sum(file.stat().st_size for file in log.iterdir())


def tag(samples: Path, *, store: Path, log: Path, where: str) -> float:
    """Seconds, without the start of Ray."""
    log.mkdir(exist_ok=True)
    if where == "ray":
        import ray

        if not ray.is_initialized():
            ray.init(num_cpus=WORKERS, include_dashboard=False, logging_level="ERROR")
        ray.data.DataContext.get_current().enable_progress_bars = False
    start = time.monotonic()
    make_teacher: Any = partial(LoggingTeacher, log)
    tag_file(samples, store=store, make_teacher=make_teacher, where=where, workers=WORKERS, rows=ROWS, batch=BATCH)  # type: ignore[arg-type]
    return time.monotonic() - start


def kill_a_worker(log: Path, *, after: int, killed: list[int]) -> None:
    """Wait until that many samples were asked for, then kill the process that logged last."""
    while not log.exists() or asked(log) < after:
        time.sleep(0.02)
    victim = max((file for file in log.iterdir()), key=lambda file: file.stat().st_mtime)
    os.kill(int(victim.name), signal.SIGKILL)
    killed.append(int(victim.name))


def kill_the_driver(samples: Path, *, store: Path, log: Path, after: int) -> None:
    """The same call in a process of its own, killed halfway."""
    log.mkdir()
    command = [sys.executable, "-m", "benchmarks.tagging", "--drive", str(samples), str(store), str(log)]
    driver = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while asked(log) < after and driver.poll() is None:
        time.sleep(0.02)
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    time.sleep(3)


def contents(store: Path) -> tuple[list[int], list[list[str]]]:
    """Keys and skills in order."""
    with SkillStore(store) as opened:
        return opened.everything()


def main() -> None:
    """Four ways, one table."""
    quick = parse_arguments(__doc__ or "").quick
    need("ray", extra="scale")
    count = 2_000 if quick else 20_000
    rows: list[list[object]] = []
    result: dict[str, Any] = {"rows": count}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        samples = folder / "samples.jsonl"
        write_samples(samples, count=count)
        killed: list[int] = []
        wanted = None
        for name, where in (
            ("one process", "here"),
            ("ray", "ray"),
            ("worker killed", "ray"),
            ("driver killed", "ray"),
        ):
            key = name.replace(" ", "_")
            store, log = folder / key, folder / f"{key}.log"
            if name == "worker killed":
                watch = {"after": count // 2, "killed": killed}
                threading.Thread(target=kill_a_worker, args=(log,), kwargs=watch, daemon=True).start()
            if name == "driver killed":
                kill_the_driver(samples, store=store, log=log, after=count // 2)
            before = asked(log) if log.exists() else 0
            seconds = tag(samples, store=store, log=log, where=where)
            wanted = wanted or contents(store)
            again, equal = asked(log) - count, contents(store) == wanted
            size = sum(file.stat().st_size for file in store.iterdir())
            rows.append(
                [name, round(seconds, 1), count, before, again, "yes" if equal else "no", round(size / count, 1)]
            )
            result[key] = {"seconds": round(seconds, 1), "asked_again": again, "equal": equal}
        result["killed_workers"] = len(killed)
        result["bytes_per_sample"] = round(size / count, 1)
    write_table(
        "tagging",
        title="Required skills over blocks of samples",
        columns=("way", "seconds", "samples", "asked before this call", "asked twice", "same store", "bytes a sample"),
        rows=rows,
        result=result,
        notes=[
            f"Batches of {BATCH}, blocks of {ROWS}, {WORKERS} Ray workers on one machine; the teacher waits {WAIT} s",
            "a batch. Seconds are those of the last call, with the start of the workers, without that of Ray. A kill",
            "is SIGKILL after half of the samples; asked twice is what the teacher was asked more than once for, over",
            "all calls. Bytes a sample hold the table of texts.",
        ],
        quick=quick,
    )


if __name__ == "__main__":
    if "--drive" in sys.argv:
        drive = [Path(word) for word in sys.argv[sys.argv.index("--drive") + 1 :]]
        tag(drive[0], store=drive[1], log=drive[2], where="ray")
    else:
        main()
