"""docs/scale.md: its commands are read, its settings are known, its lines of Python run."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from errata.agent.cli.main import parse_arguments
from errata.agent.settings.file import load_settings, valid_keys
from errata.agent.settings.run_settings import RunSettings
from errata.tools.data.read import read_problems
from errata.tools.records import to_jsonl
from errata.tools.skills.store import SkillStore
from tests.agent.loop_fakes import write_data
from tests.bad_inputs import House

FOLDER = Path(__file__).resolve().parent.parent / "docs"
PAGE = (FOLDER / "scale.md").read_text(encoding="utf-8")
COMMANDS = [
    line.strip().partition("errata ")[2] for line in PAGE.splitlines() if re.match(r"    (\S+=\S+ )?errata ", line)
]


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_is_read_and_its_settings_are_known(line: str, house: House) -> None:
    words = shlex.split(line)
    assert parse_arguments(words).command == words[0]
    overrides = [word for word in words if re.match(r"[a-z_]+(\.[a-z_]+)+=", word)]
    assert load_settings(house.config, overrides).run.name == "bad"


def test_there_are_commands_and_settings() -> None:
    assert len(COMMANDS) == 10
    named = set(re.findall(r"`([a-z_]+(?:\.[a-z_]+)+)[:`]", PAGE)) - {"graph.json", "graph.sqlite", "pruned.jsonl"}
    assert len(named) > 8
    assert named <= set(valid_keys())
    assert "checkpointer_password_env" in RunSettings.model_fields


def test_the_lines_of_python_tag_a_pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Ray, which tests/tools/skills/test_blocks.py runs where it is installed."""
    write_data(tmp_path)
    pool = read_problems(tmp_path / "pool.jsonl", split="pool").problems
    monkeypatch.chdir(tmp_path)
    Path("pool.jsonl").write_text(to_jsonl(pool))
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.S)
    here = code.replace("import ray\n", "").replace('ray.init("auto")', "pass").replace('where="ray"', 'where="here"')
    exec(compile(here, "scale.md", "exec"), {"__name__": "__main__"})
    with SkillStore(Path("skills")) as store:
        assert len(store.everything()[0]) == len(pool)


def test_links_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", PAGE)
    assert links
    assert [link for link in links if not (FOLDER / link).exists()] == []
