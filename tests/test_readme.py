"""The examples of the README: the first screen on a folder of one's own, every command, and the lines of Python."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from errata.agent.cli.main import COMMANDS, main, parse_arguments
from errata.agent.settings.places import CODE
from tests.chat_server import Answer, ChatServer, say_letter

README = (CODE / "README.md").read_text(encoding="utf-8")
ENDPOINT = "http://127.0.0.1:8000/v1"
SMALL = ("train.lora_rank=4", "train.lora_alpha=8", "student.generate.max_new_tokens=8")
READ_ONLY = ("runs", "status", "show", "cost", "data", "doctor", "compare")


def console(number: int) -> list[list[str]]:
    """The commands of a block, without `errata`, without comments."""
    block = re.findall(r"```console\n(.*?)```", README, flags=re.S)[number]
    lines = [line.removeprefix("$ ").partition("  #")[0] for line in block.splitlines()]
    words = [shlex.split(line) for line in lines]
    assert all(line[0] == "errata" for line in words)
    return [line[1:] for line in words]


def answer(body: dict[str, Any]) -> Answer:
    """A teacher that always names one skill, and finds the second step wrong."""
    text = json.dumps(body["messages"])
    if "Steps so far" in text:
        return say_letter([0.1, 0.9] if "2 | " in text else [0.9, 0.1])
    named = {"skills": ["name the colour"]} if "Worked solution" in text else {"skill": "name the colour"}
    return Answer(json.dumps(named))


def write_rows(path: Path, *, count: int, green: int) -> None:
    """LLaVA rows with a picture each."""
    rows = []
    for number in range(count):
        Image.new("RGB", (24, 24), (7 * number % 250, green, 180)).save(path.parent / f"{path.stem}{number}.png")
        asked = f"<image>\nWhich colour has tile {path.stem} {number}?\nA. red\nB. blue"
        turns = [{"from": "human", "value": asked}, {"from": "gpt", "value": "AB"[number % 2]}]
        rows.append({"id": f"{path.stem}{number}", "image": f"{path.stem}{number}.png", "conversations": turns})
    path.write_text(json.dumps(rows))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of one's own: twenty questions, a pool, a model."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ERRATA_RUNS", str(tmp_path / "runs"))
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    write_rows(tmp_path / "questions.json", count=20, green=80)
    write_rows(tmp_path / "pool.json", count=30, green=200)
    shutil.copytree(CODE / "tools" / "world" / "student", tmp_path / "my-model")
    return tmp_path


@pytest.mark.allow_hosts(["127.0.0.1"])
def test_the_first_screen_on_a_folder_of_ones_own(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    init, dry_run, run = console(0)
    with ChatServer(answer) as server:
        assert ENDPOINT in init
        assert main([server.url if word == ENDPOINT else word for word in init]) == 0
        assert "20 questions, 0 without a picture" in capsys.readouterr().out
        assert main(dry_run) == 0
        assert server.seen == [], "a dry run asks nothing"
        assert main([*run, *SMALL]) == 0, capsys.readouterr().err
    assert "report:" in capsys.readouterr().out
    assert (folder / "runs" / "own-1" / "report.html").exists()
    for words in console(1):
        if words[0] in READ_ONLY:
            said = ["own-1" if word in ("own-2", "last") else word for word in words]
            assert main(said) == 0, words
    code = re.findall(r"```python\n(.*?)```", README, flags=re.S)[0]
    opened = code.replace('improve("errata.yaml", "budget.iterations=1")', 'open_run("own-1").outcome')
    done = subprocess.run([sys.executable, "-c", opened], env={**os.environ}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[1].isdigit()


def test_every_command_is_there_and_reads_its_words() -> None:
    shown = console(0) + console(1)
    for words in shown:
        assert parse_arguments(words).command == words[0]
    assert {words[0] for words in shown} == set(COMMANDS)


def test_the_table_of_results_is_short_and_its_links_lead_somewhere() -> None:
    rows = [line for line in README.splitlines() if line.startswith("|")][2:]
    assert 0 < len(rows) <= 10
    links = re.findall(r"\]\(([^)#]+)\)", README)
    assert [link for link in links if not (CODE / link).exists()] == []
