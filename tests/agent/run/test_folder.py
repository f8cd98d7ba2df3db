"""The run folder: whole records, logs that survive a kill, one process per run."""

from __future__ import annotations

import errno
import multiprocessing
import os
import resource
from pathlib import Path

import pytest

from errata.agent.run.disk import disk_faults, read_lines
from errata.agent.run.find import find_run, list_runs, make_run
from errata.agent.run.folder import RunFolder
from errata.tools.errors import OperatorError
from errata.tools.records import ImageRef, Problem, SkillScore


def problem(name: str, path: str = "") -> Problem:
    images = (ImageRef(path=path, sha256="0" * 64),) if path else ()
    return Problem(id=name, images=images, question="q", target="a", scoring="exact")


def test_records_come_back_and_merge_by_id_in_place(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "t-1")
    folder.write_records("x/1.jsonl", [problem("a"), problem("b")])
    changed = problem("a").model_copy(update={"question": "new"})
    folder.merge_records("x/1.jsonl", [changed, problem("c")], kind=Problem)
    folder.merge_records("x/1.jsonl", [changed, problem("c")], kind=Problem)
    assert folder.read_records("x/1.jsonl", Problem) == [changed, problem("b"), problem("c")]
    assert folder.read_records("none.jsonl", Problem) == []


def test_merge_by_other_fields(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "t-1")
    scores = [SkillScore(skill="s", correct=n, total=9) for n in (1, 2)]
    for score in scores:
        folder.merge_records("s.jsonl", [score], kind=SkillScore, key="skill,total")
    assert folder.read_records("s.jsonl", SkillScore) == scores[1:]


def test_a_run_folder_can_be_moved(tmp_path: Path) -> None:
    old = RunFolder(tmp_path / "old")
    old.write_records(
        "p.jsonl", [problem("a", str(old.path / "made" / "a.png")), problem("b", "/data/b.png")]
    )
    old.path.rename(tmp_path / "new")
    first, second = RunFolder(tmp_path / "new").read_records("p.jsonl", Problem)
    assert first.images[0].path == str(tmp_path / "new" / "made" / "a.png")
    assert second.images[0].path == "/data/b.png"


def test_a_torn_last_line_is_left_out_and_closed_by_the_next(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.event("one")
    with (tmp_path / "events.jsonl").open("a") as file:
        file.write('{"event": "tor')
    assert [e["event"] for e in folder.events()] == ["one"]
    folder.event("two")
    assert [e["event"] for e in folder.events()] == ["one", "two"]
    assert read_lines(tmp_path / "none.jsonl") == []


def test_altered_records_are_the_operators_matter(tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text("{}\n")
    with pytest.raises(OperatorError, match=r"p\.jsonl: not a file of Problem records"):
        RunFolder(tmp_path).read_records("p.jsonl", Problem)
    (tmp_path / "r.json").write_text("{")
    with pytest.raises(OperatorError, match=r"r\.json: not valid JSON"):
        RunFolder(tmp_path).read_json("r.json")


def _hold(path: Path, ready: multiprocessing.Event, done: multiprocessing.Event) -> None:  # type: ignore[valid-type]
    with RunFolder(path).locked():
        ready.set()  # type: ignore[attr-defined]
        done.wait(30)  # type: ignore[attr-defined]


def test_two_processes_on_one_run(tmp_path: Path) -> None:
    fork = multiprocessing.get_context("fork")
    ready, done = fork.Event(), fork.Event()
    other = fork.Process(target=_hold, args=(tmp_path / "t-1", ready, done))
    other.start()
    assert ready.wait(30)
    folder = RunFolder(tmp_path / "t-1")
    assert folder.holder() == other.pid
    with (
        pytest.raises(OperatorError, match=rf"another process works on this run \(pid {other.pid}\)"),
        folder.locked(),
    ):
        raise AssertionError("the lock was given twice")
    other.kill()
    other.join()
    assert folder.holder() is None
    with folder.locked():
        assert folder.holder() == os.getpid()


def _write_much(path: Path, result: multiprocessing.SimpleQueue) -> None:  # type: ignore[type-arg]
    resource.setrlimit(resource.RLIMIT_FSIZE, (4_000, 4_000))
    try:
        RunFolder(path).write_records("p.jsonl", [problem(str(n)) for n in range(200)])
    except OperatorError as error:
        result.put(str(error))


def test_a_failed_write_leaves_the_old_records_and_nothing_else(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.write_records("p.jsonl", [problem("a")])
    fork = multiprocessing.get_context("fork")
    result = fork.SimpleQueue()
    child = fork.Process(target=_write_much, args=(tmp_path, result))
    child.start()
    child.join()
    assert "may not grow" in result.get()
    assert folder.read_records("p.jsonl", Problem) == [problem("a")]
    assert [p.name for p in tmp_path.iterdir()] == ["p.jsonl"]


@pytest.mark.parametrize(
    ("code", "said"), [(errno.ENOSPC, "disk is full"), (errno.EROFS, "read-only"), (errno.EDQUOT, "quota")]
)
def test_faults_of_the_disk_are_one_line(code: int, said: str, tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match=said), disk_faults(tmp_path):
        raise OSError(code, os.strerror(code), str(tmp_path / "x"))
    with pytest.raises(OSError, match="Input/output"), disk_faults(tmp_path):
        raise OSError(errno.EIO, os.strerror(errno.EIO))


def test_a_file_where_a_folder_is_needed(tmp_path: Path) -> None:
    (tmp_path / "t-1").touch()
    with pytest.raises(OperatorError, match="a file stands where a folder is needed"):
        RunFolder(tmp_path / "t-1").write_json("a.json", 1)


def test_runs_are_counted_found_and_listed(tmp_path: Path) -> None:
    made = [make_run(tmp_path, "demo") for _ in range(11)]
    assert [f.id for f in made][:2] == ["demo-1", "demo-2"]
    for folder in made:
        folder.write_text("settings.yaml", "{}")
    made[1].event("started", iteration=0)
    made[2].event("started", iteration=2)
    made[2].write_json("result.json", {"stop_reason": "no_errors"})
    found = list_runs(tmp_path)
    assert [run.id for run in found][-2:] == ["demo-10", "demo-11"]
    assert [(run.state, run.stop_reason, run.iteration) for run in found[:3]] == [
        ("new", "", 0),
        ("stopped", "", 0),
        ("finished", "no_errors", 2),
    ]
    assert find_run(tmp_path, "demo-3").path == made[2].path
    assert find_run(tmp_path, str(made[2].path)).path == made[2].path
    with pytest.raises(OperatorError, match=r"no such run \(got 'demo-99'\).*demo-11"):
        find_run(tmp_path, "demo-99")


def test_stop_file(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.request_stop()
    assert folder.stop_requested()
    folder.clear_stop()
    folder.clear_stop()
    assert not folder.stop_requested()
