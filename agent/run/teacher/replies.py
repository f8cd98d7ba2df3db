"""Replies of a teacher on disk, by the content of their request."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from errata.tools.errors import OperatorError

IN_CLAUSE = 500
"""Keys per SQL query; SQLite's own limit is far above it."""


class ReplyStore:
    """Replies by the content of their request, in one SQLite file; safe for threads."""

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, threading.Lock()
        with self._faults():
            self._connection = sqlite3.connect(path, check_same_thread=False)
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute(
                "CREATE TABLE IF NOT EXISTS replies (key TEXT PRIMARY KEY, operation TEXT, stage TEXT,"
                " iteration INTEGER, problem TEXT, request TEXT, reply TEXT)"
            )
            self._connection.commit()

    @contextlib.contextmanager
    def _faults(self) -> Iterator[None]:
        with self._lock:
            try:
                yield
            except sqlite3.OperationalError as error:
                remedy = "make room, or make the folder writable, then resume"
                raise OperatorError(
                    f"replies cannot be kept ({error})", where=str(self._path), remedy=remedy
                ) from None

    def find(self, keys: Sequence[str]) -> dict[str, str]:
        """The replies that are known, as JSON, by key."""
        found: dict[str, str] = {}
        with self._faults():
            for start in range(0, len(keys), IN_CLAUSE):
                part = keys[start : start + IN_CLAUSE]
                marks = ",".join("?" * len(part))
                query = f"SELECT key, reply FROM replies WHERE key IN ({marks})"
                found.update(self._connection.execute(query, part).fetchall())
        return found

    def add(self, rows: Sequence[tuple[str, str, str, int, str, str, str]]) -> None:
        """Keep (key, operation, stage, iteration, problem, request, reply); a known key keeps its reply."""
        with self._faults():
            self._connection.executemany("INSERT OR IGNORE INTO replies VALUES (?,?,?,?,?,?,?)", rows)
            self._connection.commit()

    def rows(self) -> list[tuple[str, str, str, int, str, str, str]]:
        """Everything that was ever asked, in the order of asking."""
        with self._faults():
            return list(self._connection.execute("SELECT * FROM replies ORDER BY rowid").fetchall())

    def close(self) -> None:
        """Close the file; the store cannot be used after."""
        with self._lock:
            self._connection.close()
