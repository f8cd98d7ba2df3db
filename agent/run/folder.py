"""A run on disk: records as JSONL written whole and atomically, append-only logs, a lock, a stop file.

    runs/<id>/ settings.yaml manifest.json skipped.jsonl attempts/<checkpoint>.<split>.jsonl
               mistakes/<iteration>.jsonl skills/<iteration>.jsonl candidates/<iteration>.jsonl
               lessons.jsonl checkpoints.jsonl checkpoints/<id>/ scorecards.jsonl
               comparisons.jsonl decisions.jsonl receipts/<hash>.json teacher.sqlite
               graph.sqlite ledger.jsonl events.jsonl result.json stop lock

Every write goes to a temporary file, is synced, and takes the place of the old file in one step: a reader
sees the old or the new records, never half. The logs grow by whole lines; a line torn by a kill is ignored on
reading. Paths inside the run folder are written as `run:/...`, so that a run folder can be moved.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from errata.agent.run.disk import append_line, disk_faults, read_lines, write_atomically
from errata.tools.errors import OperatorError
from errata.tools.records import R, Record, from_jsonl, to_jsonl

RUN_MARK = "run:/"
PAID = "paid.sqlite"
"""Replies, ledger and reservations of a teacher behind an endpoint."""
GRAPH, GRAPH_ELSEWHERE = "graph.sqlite", "graph.json"
"""State of the graph; or, where a database keeps it, the name under which it lies there."""
LOCK_TRIALS = 10


class RunFolder:
    """The folder of one run; see the module's docstring. It is created by the first write."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path).resolve()
        self._own = json.dumps(str(self.path), ensure_ascii=False)[1:-1] + "/"

    @property
    def id(self) -> str:
        return self.path.name

    def _mark(self, text: str) -> str:
        return text.replace(f'"{self._own}', f'"{RUN_MARK}')

    def _unmark(self, text: str) -> str:
        return text.replace(f'"{RUN_MARK}', f'"{self._own}')

    def write_records(self, name: str, records: Sequence[Record]) -> None:
        """Replace the records of `name` (e.g. `mistakes/1.jsonl`) by these."""
        write_atomically(self.path / name, self._mark(to_jsonl(records)))

    def read_records(self, name: str, kind: type[R]) -> list[R]:
        """The records of `name`, empty when there are none. Raises OperatorError for a file that was altered."""
        path = self.path / name
        try:
            return list(from_jsonl(self._unmark(path.read_text(encoding="utf-8")), kind))
        except FileNotFoundError:
            return []
        except (ValidationError, UnicodeDecodeError):
            remedy = "the file was altered by something else; put the old file back or start a new run"
            raise OperatorError(
                f"not a file of {kind.__name__} records", where=str(path), remedy=remedy
            ) from None

    def merge_records(self, name: str, records: Sequence[R], *, kind: type[R], key: str = "id") -> None:
        """Add records by their `key` fields (by comma): a known one is replaced in its place, a new one appended."""
        fields = key.split(",")
        merged = {
            tuple(getattr(record, field) for field in fields): record
            for record in [*self.read_records(name, kind), *records]
        }
        self.write_records(name, list(merged.values()))

    def has(self, name: str) -> bool:
        return (self.path / name).exists()

    def write_json(self, name: str, value: object) -> None:
        """Replace a plain JSON file; keys are sorted."""
        text = json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True) + "\n"
        write_atomically(self.path / name, self._mark(text))

    def read_json(self, name: str) -> Any:
        """The value, or None when there is no such file."""
        try:
            return json.loads(self._unmark((self.path / name).read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except (json.JSONDecodeError, UnicodeDecodeError):
            remedy = "the file was altered by something else; put the old file back or start a new run"
            raise OperatorError("not valid JSON", where=str(self.path / name), remedy=remedy) from None

    def write_text(self, name: str, text: str) -> None:
        write_atomically(self.path / name, text)

    def event(self, kind: str, **fields: Any) -> None:
        """Append to events.jsonl with the time in seconds since the epoch."""
        append_line(self.path / "events.jsonl", {"at": round(time.time(), 3), "event": kind, **fields})

    def events(self) -> list[dict[str, Any]]:
        return read_lines(self.path / "events.jsonl")

    def spend(self, stage: str, *, iteration: int, **amounts: float | int | str | None) -> None:
        """Append to ledger.jsonl what a stage used: seconds, asked, paid, samples; unknown is None."""
        entry = {"at": round(time.time(), 3), "stage": stage, "iteration": iteration, **amounts}
        append_line(self.path / "ledger.jsonl", entry)

    def ledger(self) -> list[dict[str, Any]]:
        return read_lines(self.path / "ledger.jsonl")

    def begun(self) -> bool:
        """Whether student, teacher or graph did anything in this run."""
        return self.has(GRAPH) or self.has(GRAPH_ELSEWHERE) or bool(self.ledger())

    def request_stop(self) -> None:
        """Ask the process that works on the run to stop after its current step."""
        write_atomically(self.path / "stop", "stop\n")

    def stop_requested(self) -> bool:
        return self.has("stop")

    def clear_stop(self) -> None:
        with disk_faults(self.path):
            (self.path / "stop").unlink(missing_ok=True)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the run for this process; raises OperatorError naming the process that holds it.

        The lock ends with the process, also after kill -9.
        """
        path = self.path / "lock"
        with disk_faults(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            self._seize(descriptor)
            with disk_faults(path):
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
            yield
        finally:
            os.close(descriptor)

    def _seize(self, descriptor: int) -> None:
        for _ in range(LOCK_TRIALS):
            try:
                return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(0.02)  # `holder` of another process holds the lock for an instant
        holder = os.pread(descriptor, 32, 0).decode().strip() or "unknown"
        remedy = f"wait for it, or stop it in order with: touch {self.path / 'stop'}"
        what = f"another process works on this run (pid {holder})"
        raise OperatorError(what, where=str(self.path), remedy=remedy)

    def holder(self) -> int | None:
        """Process id that works on the run now; None when nobody does."""
        try:
            descriptor = os.open(self.path / "lock", os.O_RDONLY)
        except OSError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return None
        except BlockingIOError:
            text = os.pread(descriptor, 32, 0).decode().strip()
            return int(text) if text.isdigit() else None
        finally:
            os.close(descriptor)
