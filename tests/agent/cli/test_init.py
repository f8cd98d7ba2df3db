"""`errata init`: what it finds, what it writes, and that a dry run takes it as it is."""

from __future__ import annotations

import argparse
import io
import itertools
import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from errata.agent.cli.init import ask_for_parts
from errata.agent.cli.main import main
from errata.agent.settings.data import SourceSettings
from errata.agent.settings.file import load_settings
from errata.agent.settings.places import CODE
from errata.agent.settings.sources import read_source
from tests.bad_inputs import call
from tests.chat_server import Answer, ChatServer

STUDENT = CODE / "tools" / "world" / "student"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, empty but for twenty LLaVA rows with pictures."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    write_llava(tmp_path / "mine.json", count=20)
    return tmp_path


def write_llava(path: Path, *, count: int) -> None:
    rows = []
    for number in range(count):
        Image.new("RGB", (9, 9), (number * 12 % 255, 9, 99)).save(path.parent / f"{path.stem}-{number}.png")
        asked = f"<image>\nWhich is number {number}?\nA. red\nB. blue"
        turns = [{"from": "human", "value": asked}, {"from": "gpt", "value": "AB"[number % 2]}]
        rows.append({"id": f"{path.stem}{number}", "image": f"{path.stem}-{number}.png", "conversations": turns})
    path.write_text(json.dumps(rows))


def dry_run(capsys: pytest.CaptureFixture[str]) -> str:
    """What `errata run --dry-run` prints in the current folder."""
    capsys.readouterr()
    assert main(["run", "--dry-run"]) == 0
    return capsys.readouterr().out


def test_without_anything_it_is_the_embedded_world(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["init", "--json"]) == 0
    assert (folder / "errata.yaml").read_text().startswith("# The loop end to end on the embedded world")
    assert "# data: embedded world" in dry_run(capsys)


def test_own_questions_are_cut_in_parts_that_hold_each_once(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "--data", "mine.json"]) == 0
    out = capsys.readouterr().out
    assert "format llava (found from the columns of its first row); 20 questions, 0 without a picture" in out
    assert "a part of the data is the pool" in out
    assert "YOUR DATA NAME NONE" in out
    assert "wrote errata.yaml; check it with: errata run --dry-run" in out
    assert "mine.json" in dry_run(capsys)
    data = load_settings(folder / "errata.yaml").data
    ids: list[list[str]] = []
    for split in ("diagnosis", "gate", "test", "pool"):
        source = getattr(data, split)
        assert isinstance(source, SourceSettings)
        ids.append([p.id for p in read_source(data, source, split=split, runs=folder).problems])
    assert sorted(itertools.chain(*ids)) == sorted(f"mine{number}" for number in range(20))
    assert all(len(part) >= 2 for part in ids)
    assert [int(name.removeprefix("mine")) for name in ids[0]] != list(range(len(ids[0]))), "no part is the file's head"


def test_model_pool_and_teacher(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(STUDENT, folder / "model")
    write_llava(folder / "pool.json", count=30)
    given = ["--data", "mine.json", "--model", "model", "--pool", "pool.json"]
    assert main(["init", *given, "--teacher", "http://127.0.0.1:9/v1", "--teacher-model", "q3"]) == 0
    out = capsys.readouterr().out
    assert "model is idefics3, 4 MiB of weights" in out
    assert "pool.json: format llava" in out
    settings = load_settings(folder / "errata.yaml")
    assert settings.teacher.chat is not None
    assert (settings.teacher.kind, settings.teacher.chat.model) == ("chat", "q3")
    assert settings.student.base == str(folder / "model")
    assert settings.data.pool is not None
    assert settings.data.pool.path == str(folder / "pool.json")
    assert "forecast" in dry_run(capsys)


@pytest.mark.enable_socket
def test_the_endpoint_is_asked_for_its_model(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with ChatServer(lambda _: Answer("")) as server:
        code = main(["init", "--data", "mine.json", "--teacher", server.url])
    out, err = capsys.readouterr()
    assert code == 0, err
    chat = load_settings(folder / "errata.yaml").teacher.chat
    assert chat is not None
    assert chat.model == "m"
    assert f"teacher: m at {server.url}" in out
    assert server.seen == [], "nothing was asked of the model"


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["--data", "none.json"], ["none.json", "no such file"]),
        (["--pool", "mine.json"], ["--data", "--pool needs questions"]),
        (["--data", "mine.json", "--model", "nowhere"], ["--model", "nowhere", "no such folder"]),
        (["--data", "mine.json", "--model", "."], ["config.json is missing"]),
        (["--data", "mine.json", "--teacher", "localhost:8000"], ["--teacher", "localhost:8000", "http://HOST:PORT/v1"]),
        (["--data", "few.json"], ["few.json", "3 questions are too few", "at least 8"]),
        (["--data", "odd.json"], ["odd.json", "the format is not clear"]),
        (["--data", "bad.json"], ["bad.json", "no usable question in 9 rows", "errata data check"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_wrong_input_gets_one_line_and_no_file(
    words: list[str], names: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_llava(folder / "few.json", count=3)
    (folder / "odd.json").write_text('[{"a": 1}]')
    write_llava(folder / "bad.json", count=9)
    for path in folder.glob("bad-*.png"):
        path.unlink()
    assert main(["init", *words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert all(name in err for name in names), err
    assert not (folder / "errata.yaml").exists()


def test_a_file_that_is_there_is_kept(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "errata.yaml").write_text("mine: true\n")
    assert main(["init", "--data", "mine.json"]) == 2
    assert "--force" in capsys.readouterr().err
    assert (folder / "errata.yaml").read_text() == "mine: true\n"
    assert main(["init", "--data", "mine.json", "--force", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["file"] == "errata.yaml"
    assert main(["init", "--data", "mine.json", "--out", "other.yaml"]) == 0
    assert "wrote other.yaml; check it with: errata run other.yaml --dry-run" in capsys.readouterr().out


@pytest.mark.usefixtures("folder")
def test_run_without_a_file_takes_that_of_the_folder(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--dry-run"]) == 2
    assert "errata init" in capsys.readouterr().err
    assert main(["init", "--data", "mine.json"]) == 0
    capsys.readouterr()
    assert main(["run", "budget.iterations=2", "--dry-run"]) == 0
    assert "# iterations at most: 2" in capsys.readouterr().out


def test_a_person_is_asked_for_each_part(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = argparse.Namespace(model=None, data=None, pool=None, teacher=None)
    monkeypatch.setattr("sys.stdin", io.StringIO("\n ~/mine.json \n\nhttp://127.0.0.1:9/v1\n"))
    monkeypatch.setenv("HOME", str(folder))
    ask_for_parts(asked)
    assert vars(asked) == {"model": None, "data": folder / "mine.json", "pool": None, "teacher": "http://127.0.0.1:9/v1"}
