"""Where LangGraph keeps the state of the graph: a file of the run folder, or a Postgres database (run.checkpointer).

A database may hold the graphs of many runs: each has a thread of its own, whose name stands in graph.json. A password
is given by the caller, or found by libpq itself (PGPASSWORD, ~/.pgpass); it is neither saved nor printed.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from errata.agent.run.folder import GRAPH, GRAPH_ELSEWHERE, RunFolder
from errata.agent.settings.run_settings import SQLITE, RunSettings
from errata.tools.errors import OperatorError

if TYPE_CHECKING:
    from langgraph.checkpoint.base import BaseCheckpointSaver

THREAD = "loop"
"""Of a run's own file, which holds one thread only."""
WHERE = "run.checkpointer"
CONNECT_SECONDS, SETUP_SECONDS = 10, 60.0
SETUP_LOCK = 7_310_417_053_120
"""Key of the advisory lock under which one process at a time makes the tables."""
LOCK_PAUSE = 0.1


class Kept(NamedTuple):
    """An open checkpointer, and the thread of this run in it."""

    saver: BaseCheckpointSaver[Any]
    thread: str
    where: str
    """File or address, for a person."""


@contextlib.contextmanager
def open_checkpointer(settings: RunSettings, *, folder: RunFolder, password: str | None) -> Iterator[Kept]:
    """The checkpointer of a run, closed at the end. Raises OperatorError, also for what fails while it is used."""
    if settings.checkpointer == SQLITE:
        with _open_file(folder) as kept:
            yield kept
    else:
        with _open_database(settings, folder=folder, password=password) as kept:
            yield kept


def check_checkpointer(settings: RunSettings, *, password: str | None) -> None:
    """Raise OperatorError if the database cannot be reached; nothing is written."""
    if settings.checkpointer != SQLITE:
        with _database_faults(settings):
            _connect(settings, password=password).close()


@contextlib.contextmanager
def _open_file(folder: RunFolder) -> Iterator[Kept]:
    from langgraph.checkpoint.sqlite import SqliteSaver

    path = folder.path / GRAPH
    try:
        with SqliteSaver.from_conn_string(str(path)) as saver:
            yield Kept(saver, THREAD, str(path))
    except sqlite3.OperationalError as error:
        remedy = "make room, or make the folder writable, then resume"
        what = f"the state of the graph cannot be kept ({error})"
        raise OperatorError(what, where=str(path), remedy=remedy) from None


@contextlib.contextmanager
def _open_database(settings: RunSettings, *, folder: RunFolder, password: str | None) -> Iterator[Kept]:
    with _database_faults(settings), contextlib.closing(_connect(settings, password=password)) as connection:
        from langgraph.checkpoint.postgres import PostgresSaver

        saver = PostgresSaver(connection)
        _make_tables(saver, connection)
        yield Kept(saver, _find_thread(folder), settings.checkpointer)


def _connect(settings: RunSettings, *, password: str | None) -> Any:
    """A connection as PostgresSaver needs it."""
    from psycopg.rows import dict_row

    given: dict[str, Any] = {} if password is None else {"password": password}
    if "connect_timeout" not in settings.checkpointer:
        given["connect_timeout"] = CONNECT_SECONDS
    given |= {"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row}
    return _import_psycopg().connect(settings.checkpointer, **given)


def _import_psycopg() -> Any:
    """The client library; raises OperatorError where the extra is not installed."""
    try:
        import langgraph.checkpoint.postgres  # noqa: F401
        import psycopg
    except ImportError as error:
        remedy = "pip install 'errata-vlm[scale]', or set it to sqlite"
        what = f"a Postgres checkpointer needs langgraph-checkpoint-postgres and psycopg ({error})"
        raise OperatorError(what, where=WHERE, remedy=remedy) from None
    return psycopg


@contextlib.contextmanager
def _database_faults(settings: RunSettings) -> Iterator[None]:
    """Turn what the database or the network says into an OperatorError of one line."""
    psycopg = _import_psycopg()
    try:
        yield
    except psycopg.Error as error:
        said = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        remedy = "start the server or mend the address, then start or resume; the password comes from the variable "
        remedy += "that run.checkpointer_password_env names, from PGPASSWORD or from ~/.pgpass"
        what = f"the state of the graph cannot be kept in the database: {said}"
        raise OperatorError(what, where=WHERE, value=settings.checkpointer, remedy=remedy) from None


def _make_tables(saver: Any, connection: Any) -> None:
    """Make or migrate the tables, one process at a time. Where they are as needed no right to make any is needed.

    The lock is tried, not waited for: a session that waits for a lock would block CREATE INDEX CONCURRENTLY.
    Raises OperatorError if another process holds it for `SETUP_SECONDS`.
    """
    newest = len(saver.MIGRATIONS) - 1
    give_up = time.monotonic() + SETUP_SECONDS
    while _version(connection) < newest:
        locked = connection.execute("SELECT pg_try_advisory_lock(%s) AS got", (SETUP_LOCK,)).fetchone()["got"]
        if locked:
            try:
                saver.setup()
            finally:
                connection.execute("SELECT pg_advisory_unlock(%s)", (SETUP_LOCK,))
            return
        if time.monotonic() > give_up:
            remedy = "wait for the other run to start, or look for a session that was left open"
            raise OperatorError("another process makes the tables of the checkpointer", where=WHERE, remedy=remedy)
        time.sleep(LOCK_PAUSE)


def _version(connection: Any) -> int:
    """Number of the last migration that was done; -1 where there are no tables."""
    there = connection.execute("SELECT to_regclass('checkpoint_migrations') IS NOT NULL AS there").fetchone()["there"]
    if not there:
        return -1
    found = connection.execute("SELECT max(v) AS v FROM checkpoint_migrations").fetchone()["v"]
    return -1 if found is None else int(found)


def _find_thread(folder: RunFolder) -> str:
    """Name of the run's thread in the database, drawn once: the folder may be moved, and others may have its name."""
    kept = folder.read_json(GRAPH_ELSEWHERE)
    if kept is None:
        kept = {"thread": f"{folder.id}-{uuid.uuid4().hex}"}
        folder.write_json(GRAPH_ELSEWHERE, kept)
    return str(kept["thread"])
