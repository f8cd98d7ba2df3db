"""One preloaded process that forks a fresh process for each training and each shard of an evaluation.

Importing torch, transformers and peft costs about 7 s of processor time. The host pays it once, in the
background, while the caller draws its world or reads its data; a job then starts in milliseconds, in a
process of its own whose memory goes back when it ends. The host never touches an accelerator, so that its
children may.

    with StudentHost() as host:
        train_student(..., host=host)
        evaluate_student(..., host=host)

When the caller dies, the host sees its input close, kills its jobs and ends: no training outlives its run.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, NamedTuple

from errata.tools.errors import OperatorError

JobKind = Literal["train", "evaluate"]
LOG = "worker.log"


class HostEvent(NamedTuple):
    """One line from one job."""

    job: int
    body: dict[str, Any]


def last_line(text: str) -> str:
    """The last line that says something."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no message"


class StudentHost:
    """The caller's end. Starting returns at once; the first job waits until the imports are done."""

    def __init__(self) -> None:
        self._log = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        environment = os.environ | {
            "OMP_NUM_THREADS": "1",
            "MKL_NUM_THREADS": "1",
            "OMP_WAIT_POLICY": "PASSIVE",
            "TOKENIZERS_PARALLELISM": "false",
            "PYTORCH_NVML_BASED_CUDA_CHECK": "1",
            "HF_HUB_OFFLINE": "1",
        }
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "errata.tools.train.fork_server"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env=environment,
            start_new_session=True,
        )
        self._pids: dict[int, int] = {}
        self._folders: dict[int, Path] = {}
        self._count = 0

    def __enter__(self) -> StudentHost:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the host and whatever it still runs. May be called twice."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None and not stream.closed:
                try:
                    stream.close()
                except BrokenPipeError:
                    continue
        if not self._count:
            self._process.kill()  # it still imports, and would not see its input close
        try:
            self._process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()

    def start(self, kind: JobKind, folder: Path) -> int:
        """Start the job that `folder`/job.json describes; returns its number. Raises `OperatorError`."""
        self._count += 1
        self._folders[self._count] = folder
        line = json.dumps({"job": self._count, "kind": kind, "folder": str(folder.resolve())})
        try:
            assert self._process.stdin is not None
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
        except OSError as error:
            raise self._died() from error
        return self._count

    def events(self, jobs: Collection[int]) -> Iterator[HostEvent]:
        """What the jobs say, in order of arrival, until each has ended.

        Raises `OperatorError` when a job reports one or dies. Leaving early (break or an exception) stops the
        jobs: a training then saves its state first.
        """
        running = set(jobs)
        try:
            while running:
                event = self._next_event()
                if event.job not in running:
                    continue
                if "pid" in event.body:
                    self._pids[event.job] = event.body["pid"]
                elif "error" in event.body:
                    raise OperatorError(str(event.body["error"]))
                elif "exit" in event.body:
                    running.discard(event.job)
                    self._pids.pop(event.job, None)
                    if event.body["exit"] != 0:
                        raise self._job_died(event.job, event.body["exit"])
                else:
                    yield event
        finally:
            self._stop(running)

    @property
    def running(self) -> dict[int, int]:
        """Process id by job, of the jobs that have started and not ended."""
        return dict(self._pids)

    def _next_event(self) -> HostEvent:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise self._died()
        body = json.loads(line)
        return HostEvent(body.pop("job"), body)

    def _stop(self, jobs: Collection[int]) -> None:
        """Ask jobs to end, and wait for it, so that two processes never write one folder."""
        waiting = set(jobs)
        for job in sorted(waiting):
            line = json.dumps({"job": job, "kind": "stop"})
            if self._process.poll() is None and self._process.stdin is not None:
                try:
                    self._process.stdin.write(line + "\n")
                    self._process.stdin.flush()
                except OSError:
                    return
        while waiting and self._process.poll() is None:
            line = self._process.stdout.readline() if self._process.stdout is not None else ""
            if not line:
                return
            body = json.loads(line)
            if "exit" in body:
                waiting.discard(body["job"])
                self._pids.pop(body["job"], None)

    def _job_died(self, job: int, code: int) -> OperatorError:
        log = self._folders[job] / LOG
        said = last_line(log.read_text(encoding="utf-8", errors="replace")) if log.is_file() else "no message"
        how = f"killed by signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        return OperatorError(
            f"the student's process died ({how}): {said}",
            where=str(self._folders[job]),
            remedy=f"read {log} and resume",
        )

    def _died(self) -> OperatorError:
        code = self._process.wait()
        self._log.seek(0)
        return OperatorError(
            f"the student host died (exit code {code}): {last_line(self._log.read())}",
            remedy="check the installation with `errata doctor` and resume",
        )
