"""The state of the graph in a real Postgres: the same results as in a file, also after a kill; faults are one line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from errata.agent.loop.checkpointer import open_checkpointer
from errata.agent.loop.driver import resume_loop, run_loop
from errata.agent.loop.parts import Parts
from errata.agent.run.folder import RunFolder
from errata.agent.run.reporter import SilentReporter, Stage
from errata.agent.settings.file import dump_settings
from errata.agent.settings.run_settings import RunSettings
from errata.agent.settings.tree import Settings
from errata.tools.errors import OperatorError
from tests.agent.loop_fakes import ScriptedTeacher, TableStudent, make_settings, read_everything, write_data
from tests.bad_inputs import House, call, complain
from tests.postgres_server import PASSWORD, Server, find_missing, run_postgres

pytest.importorskip("psycopg")
pytest.importorskip("langgraph.checkpoint.postgres")
VARIABLE = "ERRATA_TEST_DATABASE"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    missing = find_missing()
    if missing:
        pytest.skip(missing)
    with run_postgres() as running:
        yield running


@pytest.fixture
def database(server: Server, request: pytest.FixtureRequest) -> str:
    """Name of a database without tables."""
    name = f"d{abs(hash(request.node.name))}"
    server.execute(f"CREATE DATABASE {name}")
    return name


def in_database(tmp_path: Path, address: str, **run: object) -> Settings:
    if not (tmp_path / "data").exists():
        write_data(tmp_path / "data")
    kept = {"checkpointer": address, "checkpointer_password_env": VARIABLE, **run}
    return make_settings(tmp_path / "data", base=tmp_path / "base", budget={"iterations": 2}, run=kept)


def parts(**lives: int) -> Parts:
    student = TableStudent(lives=lives.get("student", 10_000))
    return Parts(student=student, teacher=ScriptedTeacher(), keys={VARIABLE: PASSWORD})


def in_a_file(settings: Settings, path: Path) -> dict[str, str]:
    """Records of the same run with SQLite."""
    changed = settings.run.model_copy(update={"checkpointer": "sqlite", "checkpointer_password_env": None})
    folder = RunFolder(path)
    run_loop(settings.model_copy(update={"run": changed}), folder=folder, parts=parts())
    return read_everything(folder)


def test_a_killed_run_goes_on_to_the_same_records(server: Server, database: str, tmp_path: Path) -> None:
    settings = in_database(tmp_path, server.address(database))
    expected = in_a_file(settings, tmp_path / "whole" / "t-1")
    file = tmp_path / "settings.yaml"
    file.write_text(dump_settings(in_database(tmp_path, server.address(database), checkpointer_password_env=None)))
    folder = RunFolder(tmp_path / "killed" / "t-1")
    command = [sys.executable, "-m", "tests.agent.killed_run", str(folder.path), str(file), "130", "100000"]
    killed = subprocess.run(command, env={**os.environ, "PGPASSWORD": PASSWORD}, check=False)
    assert killed.returncode == -signal.SIGKILL
    thread = folder.read_json("graph.json")["thread"]
    steps = "SELECT count(*) FROM checkpoints WHERE thread_id = '{}'"
    before = server.execute(steps.format(thread), database=database)[0][0]
    assert before > 3
    folder.write_text("settings.yaml", dump_settings(settings))
    given = parts()
    resume_loop(folder, parts=given)
    assert read_everything(folder) == expected
    assert isinstance(given.student, TableStudent)
    assert ("base", "gate-000") not in given.student.answered, "what was answered is not asked again"
    assert server.execute(steps.format(thread), database=database)[0][0] > before, "it went on in its own thread"
    assert server.execute("SELECT count(DISTINCT thread_id) FROM checkpoints", database=database) == [(1,)]
    assert not folder.has("graph.sqlite")
    assert [p for p in folder.path.rglob("*") if p.is_file() and PASSWORD.encode() in p.read_bytes()] == []
    nothing = Parts(student=TableStudent(lives=0), teacher=ScriptedTeacher(lives=0), keys={VARIABLE: PASSWORD})
    assert resume_loop(folder, parts=nothing) == "iteration_limit"


def test_runs_of_one_name_share_a_database_that_has_no_tables_yet(
    server: Server, database: str, tmp_path: Path
) -> None:
    settings = in_database(tmp_path, server.address(database))
    expected = in_a_file(settings, tmp_path / "whole" / "t-1")
    folders = [RunFolder(tmp_path / place / "t-1") for place in ("a", "b", "c")]
    with ThreadPoolExecutor(len(folders)) as pool:
        reasons = list(pool.map(lambda f: run_loop(settings, folder=f, parts=parts()), folders))
    assert reasons == ["iteration_limit"] * 3
    assert [read_everything(folder) == expected for folder in folders] == [True] * 3
    assert server.execute("SELECT count(DISTINCT thread_id) FROM checkpoints", database=database) == [(3,)]


def test_a_user_without_the_right_to_make_tables(server: Server, database: str, tmp_path: Path) -> None:
    settings, folder = in_database(tmp_path, server.address(database)).run, RunFolder(tmp_path / "t-1")
    server.execute(f"CREATE ROLE {database} LOGIN PASSWORD '{PASSWORD}'")
    guest = settings.model_copy(update={"checkpointer": server.address(database, user=database)})
    with (
        pytest.raises(OperatorError, match=r"run\.checkpointer: .*permission denied for schema public"),
        open_checkpointer(guest, folder=folder, password=PASSWORD),
    ):
        pass
    assert not folder.has("graph.json")
    with open_checkpointer(settings, folder=folder, password=PASSWORD):
        server.execute(f"GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA public TO {database}", database=database)
    whole = in_database(tmp_path, guest.checkpointer)
    assert run_loop(whole, folder=RunFolder(tmp_path / "guest" / "t-1"), parts=parts()) == "iteration_limit"


def test_tables_that_a_kill_left_half_made(server: Server, database: str, tmp_path: Path) -> None:
    server.execute("CREATE TABLE checkpoint_migrations (v INTEGER PRIMARY KEY)", database=database)
    settings = in_database(tmp_path, server.address(database)).run
    with open_checkpointer(settings, folder=RunFolder(tmp_path / "t-1"), password=PASSWORD) as kept:
        assert kept.saver.get_tuple({"configurable": {"thread_id": kept.thread}}) is None
    assert server.execute("SELECT max(v) > 0 FROM checkpoint_migrations", database=database) == [(True,)]


class CuttingReporter(SilentReporter):
    """Cuts all connections to the database when the first training begins."""

    def __init__(self, server: Server, database: str) -> None:
        self.server, self.database = server, database

    def stage_started(self, stage: Stage, *, iteration: int, total: int) -> None:
        del total
        if (stage, iteration) == ("train", 1):
            where = f"datname = '{self.database}' AND pid <> pg_backend_pid()"
            self.server.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {where}")


def test_a_connection_that_is_lost(server: Server, database: str, tmp_path: Path) -> None:
    settings = in_database(tmp_path, server.address(database))
    expected = in_a_file(settings, tmp_path / "whole" / "t-1")
    folder, given = RunFolder(tmp_path / "cut" / "t-1"), parts()
    with pytest.raises(
        OperatorError, match=r"run\.checkpointer: the state of the graph cannot be kept in the database"
    ):
        run_loop(settings, folder=folder, reporter=CuttingReporter(server, database), parts=given)
    resume_loop(folder, parts=given)
    assert read_everything(folder) == expected
    assert isinstance(given.student, TableStudent)
    assert max(given.student.answered.values()) == 1, "what was answered is not asked again"
    assert max(given.student.trained.values()) == 1, "what was trained is not trained again"


def test_a_database_that_lost_the_run(server: Server, database: str, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "cut" / "t-1")
    settings = in_database(tmp_path, server.address(database))
    with pytest.raises(OperatorError):
        run_loop(settings, folder=folder, reporter=CuttingReporter(server, database), parts=parts())
    server.execute("TRUNCATE checkpoints, checkpoint_blobs, checkpoint_writes", database=database)
    with pytest.raises(OperatorError, match=rf"/{database}: the state of the graph is gone, the run cannot go on"):
        resume_loop(folder, parts=parts(student=0))


@pytest.fixture
def guarded(house: House, monkeypatch: pytest.MonkeyPatch) -> House:
    """A sound house, with the password in its variable."""
    monkeypatch.setenv(VARIABLE, PASSWORD)
    return house


def dry(house: House, address: str, *more: str) -> list[str]:
    return house.run("--dry-run", f"run.checkpointer={address}", f"run.checkpointer_password_env={VARIABLE}", *more)


def test_a_database_that_can_be_reached_passes_the_dry_run(
    server: Server, database: str, guarded: House, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(dry(guarded, server.address(database))) == 0
    out, err = capsys.readouterr()
    assert PASSWORD not in out + err
    assert server.execute("SELECT to_regclass('checkpoints')", database=database) == [(None,)], "nothing was written"


def test_what_the_server_refuses_is_one_line(
    server: Server, guarded: House, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said = complain(
        guarded, dry(guarded, server.address("no_such")), names=("run.checkpointer", "no_such"), capsys=capsys
    )
    assert PASSWORD not in said
    monkeypatch.setenv(VARIABLE, "a-wrong-one")
    said = complain(
        guarded, dry(guarded, server.address()), names=("authentication failed", "password_env"), capsys=capsys
    )
    assert "a-wrong-one" not in said


def test_nobody_listens(guarded: House, capsys: pytest.CaptureFixture[str]) -> None:
    address = "postgresql://me@127.0.0.1:9/d"
    names = ("run.checkpointer", address, "start the server")
    assert complain(guarded, dry(guarded, address), names=names, capsys=capsys)


def test_an_option_that_libpq_does_not_know(guarded: House, capsys: pytest.CaptureFixture[str]) -> None:
    address = "postgresql://me@127.0.0.1:9/d?colour=red"
    assert complain(guarded, dry(guarded, address), names=("run.checkpointer", "colour"), capsys=capsys)


def test_a_variable_that_is_not_set(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    names = ("run.checkpointer_password_env", "not set", VARIABLE)
    assert complain(house, dry(house, "postgresql://me@127.0.0.1:9/d"), names=names, capsys=capsys)


def test_without_the_extra(house: House) -> None:
    code = "import sys; sys.modules['psycopg'] = None\nfrom errata.agent.cli.main import main\n"
    code += "sys.exit(main(sys.argv[1:]))"
    words = house.run("--dry-run", "run.checkpointer=postgresql://me@127.0.0.1:9/d")
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "pip install 'errata-vlm[scale]'" in done.stderr


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://me:hush-hush@host/d",
        "postgresql://me:hush@hush-hush@host/d",
        "postgresql://host/d?user=me&password=hush-hush",
        "postgresql://host/d?sslmode=require&SSLpassword=hush-hush",
    ],
)
def test_a_password_in_the_address_is_refused_and_not_repeated(
    address: str, house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    said = complain(house, house.run(f"run.checkpointer={address}"), names=("run.checkpointer", "***"), capsys=capsys)
    assert "hush" not in said
    house.config.write_text(house.config.read_text().replace("run: {name: bad}", f"run: {{checkpointer: '{address}'}}"))
    said = complain(house, house.run(), names=(f"{house.config}:1", "~/.pgpass"), capsys=capsys)
    assert "hush" not in said


@pytest.mark.parametrize("value", ["mysql://me@host/d", "memory", "'postgresql://[::1/d'", "''"])
def test_what_is_no_checkpointer(value: str, house: House, capsys: pytest.CaptureFixture[str]) -> None:
    names = ("run.checkpointer", "write sqlite, or postgresql://USER@HOST:PORT/DATABASE")
    assert complain(house, house.run(f"run.checkpointer={value}"), names=names, capsys=capsys)


def test_a_file_is_the_default(tmp_path: Path) -> None:
    settings: Any = RunSettings()
    folder = RunFolder(tmp_path / "t-1")
    folder.path.mkdir()
    with open_checkpointer(settings, folder=folder, password=None) as kept:
        assert kept.thread == "loop"
    assert folder.has("graph.sqlite")
    assert not folder.has("graph.json")
