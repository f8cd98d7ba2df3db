"""A training killed with SIGKILL at random moments and started again ends with the weights of an undisturbed one.

The embedded student, dropout on (so that the random state matters), a state on disk every 3 steps, one thread on a CPU;
once with one process and once with two (gloo). The first process alone is killed: the others must notice.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.students import draw_pictures, make_samples
from benchmarks.tables import ROOT, parse_arguments, write_table
from benchmarks.train import ENVIRONMENT, write_job
from errata.tools.train.job import FINISHED

BASE = str(ROOT / "tools" / "world" / "student")
WEIGHTS = "adapter_model.safetensors"


def start(folder: Path) -> subprocess.Popen[bytes]:
    """A training process."""
    command = [sys.executable, "-m", "errata.tools.train.worker", str(folder)]
    return subprocess.Popen(command, cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.DEVNULL)


def train(folder: Path) -> float:
    """Train to the end; returns the seconds."""
    started = time.monotonic()
    if start(folder).wait():
        raise RuntimeError(f"the training in {folder} failed")
    return time.monotonic() - started


def kill_often(folder: Path, *, kills: int, longest: float, rng: random.Random) -> list[float]:
    """Kill at random moments, from the start of the process to the length of a whole training."""
    moments: list[float] = []
    while len(moments) < kills and not (folder / FINISHED).is_file():
        process, delay = start(folder), rng.uniform(0.3 * longest, 0.9 * longest)
        try:
            process.wait(delay)
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            moments.append(delay)
    return moments


def main() -> None:
    """Measure and write the table."""
    arguments = parse_arguments(__doc__ or "")
    wanted = 2 if arguments.quick else 10
    rng, rows, total, equal = random.Random(3), [], 0, 0
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        samples = make_samples(96, pictures=draw_pictures(work / "pictures", 16, side=64))
        for processes in (1, 2):
            how = {"prompt": "student_brief", "lora_dropout": 0.1, "save_every": 3, "processes": processes, "epochs": 6}
            calm = write_job(work / f"calm-{processes}", samples, base=BASE, **how)
            longest = train(calm)
            killed = 0
            for attempt in range(wanted):
                if killed >= wanted:
                    break
                folder = write_job(work / f"hit-{processes}-{attempt}", samples, base=BASE, **how)
                moments = kill_often(folder, kills=min(5, wanted - killed), longest=longest, rng=rng)
                train(folder)
                same = (folder / WEIGHTS).read_bytes() == (calm / WEIGHTS).read_bytes()
                killed, total, equal = killed + len(moments), total + len(moments), equal + same * len(moments)
                rows.append([processes, len(moments), ", ".join(f"{m:.1f}" for m in moments), "yes" if same else "no"])
    write_table(
        "training_resume",
        title="Trainings killed and started again",
        columns=["processes", "kills", "seconds after each start", "same weights, bit by bit"],
        rows=rows,
        result={"kills": total, "bitwise_equal": total == equal},
        notes=["One row is one training; it is killed up to five times and then left alone."],
        quick=arguments.quick,
    )


if __name__ == "__main__":
    main()
