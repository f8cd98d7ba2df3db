"""A real Postgres on loopback for the tests: a cluster of its own in a folder of its own, with passwords."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

PASSWORD = "not-a:secret@all"
"""With characters that an address would have to escape."""
FREE_PORT = "import socket; s = socket.socket(); s.bind(('127.0.0.1', 0)); print(s.getsockname()[1])"
START_SECONDS = 60.0


class Server(NamedTuple):
    """Where it listens; `owner` may do everything."""

    port: int
    process: subprocess.Popen[bytes]
    owner: str = "owner"

    def address(self, database: str = "postgres", *, user: str | None = None) -> str:
        """What stands in run.checkpointer."""
        return f"postgresql://{user or self.owner}@127.0.0.1:{self.port}/{database}"

    def execute(self, sql: str, *, database: str = "postgres") -> list[Any]:
        """Rows of one statement, as the owner."""
        import psycopg

        with psycopg.connect(self.address(database), password=PASSWORD, autocommit=True) as connection:
            cursor = connection.execute(sql)  # type: ignore[call-overload]
            return cursor.fetchall() if cursor.description else []


def find_missing() -> str:
    """Why no server can be started here; empty where one can."""
    if not _find_program("initdb") or not _find_program("postgres"):
        return "Postgres is not installed (Debian: apt-get install postgresql)"
    if os.geteuid() == 0 and _find_user() is None:
        return "Postgres does not run as root, and there is no other user"
    return ""


@contextlib.contextmanager
def run_postgres() -> Iterator[Server]:
    """A server that accepts connections; it is stopped and its folder removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="errata-postgres-"))
    user = _find_user() if os.geteuid() == 0 else None
    try:
        (folder / "password").write_text(PASSWORD)
        if user is not None:
            for path in (folder, folder / "password"):
                shutil.chown(path, user)
        data = folder / "data"
        _run(["initdb", "-D", data, "-U", "owner", "-A", "scram-sha-256", "--pwfile", folder / "password"], user=user)
        done = subprocess.run([sys.executable, "-c", FREE_PORT], capture_output=True, text=True, check=True)
        port = int(done.stdout)
        options = ["-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={folder}", "-c", "fsync=off"]
        command = [_find_program("postgres"), "-D", str(data), "-p", str(port), *options]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(command, cwd=folder, user=user, stdout=log, stderr=log)
        server = Server(port, process)
        try:
            _wait(server, folder / "log")
            yield server
        finally:
            process.terminate()
            process.wait()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(command: Sequence[str | Path], *, user: str | None) -> None:
    words = [_find_program(str(command[0])), *map(str, command[1:])]
    done = subprocess.run(words, cwd=tempfile.gettempdir(), user=user, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def _wait(server: Server, log: Path) -> None:
    import psycopg

    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        with contextlib.suppress(psycopg.OperationalError):
            server.execute("SELECT 1")
            return
        assert server.process.poll() is None, log.read_text()
        time.sleep(0.1)
    raise AssertionError(f"it does not answer: {log.read_text()}")


def _find_program(name: str) -> str:
    """The program on the path, or of the newest version that Debian installed; empty where there is none."""
    found = shutil.which(name)
    versions = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda p: float(p.parts[4]))
    return found or (str(versions[-1]) if versions else "")


def _find_user() -> str | None:
    """A user that is not root."""
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    return None
