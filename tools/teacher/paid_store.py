"""What was paid for: replies by the content of their request, a ledger that only grows, and what is reserved.

One SQLite file in WAL mode. A reply and its line in the ledger are one transaction, so that a kill leaves both or
neither. A reservation is made before a request is sent and goes when its line is written; one that outlives its
process (a kill) counts against the caps at its full amount, since nobody knows whether it was billed. Several threads
and several processes may use the file at once, and runs may share it: lines and caps belong to a run, replies to all.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from errata.tools.errors import BudgetSpent, OperatorError
from errata.tools.records import Record
from errata.tools.teacher.chat_options import PaidCaps
from errata.tools.teacher.endpoint import ChatReply, ChatRequest

TABLES = """
CREATE TABLE IF NOT EXISTS replies (key TEXT PRIMARY KEY, role TEXT, model TEXT, request TEXT, reply TEXT);
CREATE TABLE IF NOT EXISTS ledger (id INTEGER PRIMARY KEY AUTOINCREMENT, run TEXT, stage TEXT, iteration INTEGER,
  role TEXT, model TEXT, key TEXT, outcome TEXT, tokens_in INTEGER, tokens_out INTEGER, tokens_cached INTEGER,
  tokens_reasoning INTEGER, seconds REAL, money REAL, held_tokens INTEGER, held_money REAL);
CREATE TABLE IF NOT EXISTS reserved (id INTEGER PRIMARY KEY AUTOINCREMENT, run TEXT, stage TEXT, iteration INTEGER,
  role TEXT, model TEXT, key TEXT, pid INTEGER, tokens INTEGER, money REAL);
CREATE TABLE IF NOT EXISTS held (run TEXT PRIMARY KEY, calls INTEGER, tokens INTEGER, money REAL);
"""
BUSY_SECONDS = 60.0
"""How long a process waits for another one's transaction."""


class CapSpent(BudgetSpent):
    """The next request might pass a cap; `cap` is its name in the settings."""

    def __init__(self, text: str, *, cap: str) -> None:
        super().__init__(text)
        self.cap = cap


class Purpose(NamedTuple):
    """What a request is for, as the ledger groups it."""

    run: str
    stage: str = ""
    iteration: int = 0


class Bound(NamedTuple):
    """The most that one request can use; money is 0 where no price is known."""

    tokens: int
    money: float


class Line(Record):
    """One line of the ledger: a sending, or a reply read from disk."""

    stage: str
    iteration: int
    role: str
    model: str
    key: str
    outcome: str
    """`paid`, `hit`, or the kind of the fault."""
    tokens_in: int | None = None
    tokens_out: int | None = None
    tokens_cached: int | None = None
    tokens_reasoning: int | None = None
    seconds: float = 0.0
    money: float | None = None
    """None is unknown: no price, or no count of tokens."""
    held_tokens: int = 0
    """What counts against the caps: the known amount, else the reserved one."""
    held_money: float = 0.0


class Held(NamedTuple):
    """What counts against the caps of one run, requests under way included."""

    calls: int
    tokens: int
    money: float


class PaidStore:
    """See the module's docstring. Raises OperatorError where the file cannot be written."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._turn = threading.Condition()
        self._open: dict[int, str] = {}
        """Reservations of this process: run by id."""
        with self._faults():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(
                path, check_same_thread=False, timeout=BUSY_SECONDS, isolation_level=None
            )
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=NORMAL")
            self._connection.executescript(TABLES)
            columns = {row[1] for row in self._connection.execute("PRAGMA table_info(ledger)")}
            if "tokens_reasoning" not in columns:  # a file of an earlier version
                with contextlib.suppress(sqlite3.OperationalError):  # another process was first
                    self._connection.execute("ALTER TABLE ledger ADD COLUMN tokens_reasoning INTEGER")

    @contextlib.contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.OperationalError, sqlite3.DatabaseError, FileExistsError, NotADirectoryError) as error:
            remedy = "make room, or make the folder writable, then resume"
            raise OperatorError(f"replies cannot be kept ({error})", where=str(self._path), remedy=remedy) from None

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Everything or nothing, alone among threads and processes; wakes who waits."""
        with self._turn, self._faults():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")
            self._turn.notify_all()

    def find(self, key: str) -> ChatReply | None:
        """The reply that was paid for, None where there is none."""
        with self._turn, self._faults():
            row = self._connection.execute("SELECT reply FROM replies WHERE key = ?", (key,)).fetchone()
        return None if row is None else ChatReply.model_validate_json(row[0])

    def reserve(
        self, request: ChatRequest, *, purpose: Purpose, bound: Bound, caps: PaidCaps
    ) -> int | ChatReply | None:
        """The number of a reservation; raises CapSpent where the request might pass a cap.

        Waits while requests under way in this process may turn out cheaper than reserved. Gives the reply instead
        when another process has just paid for it, and None while another process asks for it.
        """
        key = request.key
        while True:
            with self._transaction() as connection:
                row = connection.execute("SELECT reply FROM replies WHERE key = ?", (key,)).fetchone()
                if row is not None:
                    return ChatReply.model_validate_json(row[0])
                others = connection.execute("SELECT pid FROM reserved WHERE key = ?", (key,)).fetchall()
                if any(pid != os.getpid() and is_alive(pid) for (pid,) in others):
                    return None
                spent = exceeded(_held(connection, purpose.run), bound=bound, caps=caps)
                if spent is None:
                    return self._book(connection, request, key, purpose, bound)
                if purpose.run not in self._open.values():
                    raise spent
            with self._turn:
                self._turn.wait(0.05)

    def _book(
        self, connection: sqlite3.Connection, request: ChatRequest, key: str, purpose: Purpose, bound: Bound
    ) -> int:
        values = (*purpose, request.role, request.model, key, os.getpid(), *bound)
        marks = ",".join("?" * len(values))
        done = connection.execute(f"INSERT INTO reserved VALUES (NULL,{marks})", values)
        _hold(connection, purpose.run, calls=1, tokens=bound.tokens, money=bound.money)
        number = int(done.lastrowid or 0)
        self._open[number] = purpose.run
        return number

    def settle(
        self, number: int, line: Line, *, request: ChatRequest | None = None, reply: ChatReply | None = None
    ) -> None:
        """Write the line in place of the reservation, and keep the reply where there is one."""
        with self._transaction() as connection:
            found = connection.execute("SELECT run, tokens, money FROM reserved WHERE id = ?", (number,)).fetchone()
            run, tokens, money = found
            connection.execute("DELETE FROM reserved WHERE id = ?", (number,))
            _hold(connection, run, calls=0, tokens=line.held_tokens - tokens, money=line.held_money - money)
            _write(connection, run, line)
            if request is not None and reply is not None:
                row = (line.key, request.role, request.model, show_request(request), reply.model_dump_json())
                connection.execute("INSERT OR IGNORE INTO replies VALUES (?,?,?,?,?)", row)
            self._open.pop(number, None)

    def add_hit(self, line: Line, *, run: str) -> None:
        """A reply was read from disk."""
        with self._transaction() as connection:
            _write(connection, run, line)

    def held(self, run: str) -> Held:
        """What counts against the caps."""
        with self._turn, self._faults():
            return _held(self._connection, run)

    def lines(self, run: str | None = None) -> list[Line]:
        """The ledger in the order of writing, of one run or of all."""
        columns = ", ".join(Line.model_fields)
        where, values = ("", ()) if run is None else (" WHERE run = ?", (run,))
        with self._turn, self._faults():
            rows = self._connection.execute(f"SELECT {columns} FROM ledger{where} ORDER BY id", values).fetchall()
        return [Line(**dict(zip(Line.model_fields, row, strict=True))) for row in rows]

    def lost(self, run: str) -> Held:
        """Reservations whose process is gone: requests in flight when it was killed."""
        query = "SELECT pid, tokens, money FROM reserved WHERE run = ?"
        with self._turn, self._faults():
            rows = self._connection.execute(query, (run,)).fetchall()
        gone = [row for row in rows if row[0] != os.getpid() and not is_alive(row[0])]
        return Held(len(gone), sum(row[1] for row in gone), sum(row[2] for row in gone))

    def requests(self) -> list[str]:
        """All requests that have a reply, as JSON, in the order of their keys."""
        with self._turn, self._faults():
            return [row[0] for row in self._connection.execute("SELECT request FROM replies ORDER BY key")]

    def close(self) -> None:
        """Close the file; the store cannot be used after."""
        with self._turn:
            self._connection.close()


def exceeded(held: Held, *, bound: Bound, caps: PaidCaps) -> CapSpent | None:
    """The first cap that one more request of this size might pass."""
    for name, limit, used, more in (
        ("calls", caps.calls, held.calls, 1),
        ("tokens", caps.tokens, held.tokens, bound.tokens),
        ("money", caps.money, held.money, bound.money),
    ):
        if limit is not None and used + more > limit + 1e-12:
            unit = {"calls": "calls", "tokens": "tokens", "money": "in money"}[name]
            return CapSpent(f"the cap of {limit:g} {unit} might be passed", cap=f"teacher.chat.caps.{name}")
    return None


def is_alive(pid: int) -> bool:
    """Whether a process of this number runs on this machine."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def show_request(request: ChatRequest) -> str:
    """The request as JSON, pictures shortened: they are in the dataset."""

    def short(value: Any) -> Any:
        if isinstance(value, str) and value.startswith("data:image/"):
            return f"{value[:30]}... {len(value)} characters"
        if isinstance(value, dict):
            return {key: short(inner) for key, inner in value.items()}
        return [short(inner) for inner in value] if isinstance(value, list) else value

    return json.dumps(short(request.model_dump(mode="json")), ensure_ascii=False)


def _write(connection: sqlite3.Connection, run: str, line: Line) -> None:
    columns, values = ", ".join(("run", *Line.model_fields)), (run, *line.model_dump().values())
    connection.execute(f"INSERT INTO ledger ({columns}) VALUES ({','.join('?' * len(values))})", values)


def _held(connection: sqlite3.Connection, run: str) -> Held:
    row = connection.execute("SELECT calls, tokens, money FROM held WHERE run = ?", (run,)).fetchone()
    return Held(*row) if row else Held(0, 0, 0.0)


def _hold(connection: sqlite3.Connection, run: str, *, calls: int, tokens: int, money: float) -> None:
    connection.execute(
        "INSERT INTO held VALUES (?,?,?,?) ON CONFLICT(run) DO UPDATE SET calls = calls + excluded.calls,"
        " tokens = tokens + excluded.tokens, money = money + excluded.money",
        (run, calls, tokens, money),
    )
