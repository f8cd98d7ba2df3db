"""The host's end: import everything once, then fork one process per job (`python -m errata.tools.train.fork_server`).

Reads one JSON object per line: {"job": 1, "kind": "train" | "evaluate" | "stop", "folder": "..."}; writes
{"job": 1, "pid": ...}, what the job says, {"job": 1, "error": "one line"} and {"job": 1, "exit": code}. Lines
are shorter than PIPE_BUF, so that those of several jobs never mix.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from errata.tools.errors import OperatorError
from errata.tools.train.host import LOG
from errata.tools.train.parent_death import die_with_parent

Emit = Callable[[dict[str, Any]], None]
LINE_LIMIT = 4000
POLL = 0.02
"""Seconds between two looks for jobs that ended."""


def _say(job: int, body: dict[str, Any]) -> None:
    if "error" in body:
        body = {"error": str(body["error"])[: LINE_LIMIT // 2]}
    os.write(1, (json.dumps({"job": job} | body, ensure_ascii=True) + "\n").encode()[:LINE_LIMIT])


def _run_job(job: int, kind: str, folder: Path) -> int:
    """The body of a forked process; returns its exit code."""
    from errata.tools.evaluate.worker import run_evaluation
    from errata.tools.train.worker import run_training

    def emit(body: dict[str, Any]) -> None:
        _say(job, body)

    work: Callable[[Path, Emit], None] = run_training if kind == "train" else run_evaluation
    try:
        work(folder, emit)
    except OperatorError as error:
        emit({"error": str(error)})
        return 2
    return 0


def _fork(job: int, kind: str, folder: Path) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        die_with_parent()
        log = os.open(folder / LOG, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(log, 2)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        code = _run_job(job, kind, folder)
    finally:
        if sys.exc_info()[0] is not None:
            traceback.print_exc()
        sys.stderr.flush()
        os._exit(code)


def _reap(running: dict[int, int]) -> None:
    for pid in list(running):
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            _say(running.pop(pid), {"exit": os.waitstatus_to_exitcode(status)})


def serve() -> None:
    """Serve jobs until the input closes, then kill what still runs."""
    import errata.tools.evaluate.worker
    import errata.tools.train.worker  # noqa: F401

    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)  # some batch systems send these to every process; the run's own decides
    running: dict[int, int] = {}
    waiting = b""
    selector = selectors.DefaultSelector()
    selector.register(0, selectors.EVENT_READ)
    while True:
        ready = selector.select(timeout=POLL if running else None)
        _reap(running)
        if not ready:
            continue
        block = os.read(0, 65536)
        if not block:
            break
        *lines, waiting = (waiting + block).split(b"\n")
        for line in lines:
            request = json.loads(line)
            if request["kind"] == "stop":
                for pid in [pid for pid, job in running.items() if job == request["job"]]:
                    os.kill(pid, signal.SIGTERM)
                continue
            pid = _fork(request["job"], request["kind"], Path(request["folder"]))
            running[pid] = request["job"]
            _say(request["job"], {"pid": pid})
    for pid in running:
        os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    serve()
