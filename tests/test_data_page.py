"""docs/data.md: each example is read, by the format whose heading it stands under."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import get_args

import pytest
import yaml
from PIL import Image

from errata.agent.cli.main import main
from errata.agent.settings.data import SourceSettings
from errata.agent.settings.tree import RetrieveSettings
from errata.tools.data.read import FormatName, SourceOptions, scan_rows
from errata.tools.data.read.detect import detect_format
from errata.tools.skills.options import SkillOptions
from errata.tools.skills.store import SkillStore

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "data.md").read_text(encoding="utf-8")
EXAMPLE = re.compile(r"^## (\w+)\n(?:(?!^## )[\s\S])*?^```\w+ title=(\S+)\n([\s\S]*?)^```", re.MULTILINE)
EXAMPLES = {format: (name, text) for format, name, text in EXAMPLE.findall(PAGE) if format != "Settings"}


def test_every_format_has_a_section() -> None:
    headings = set(re.findall(r"^## (\w+)", PAGE, re.MULTILINE))
    assert set(get_args(FormatName)) <= headings
    assert len(EXAMPLES) == 7


@pytest.mark.parametrize("format", EXAMPLES)
def test_an_example_is_read(tmp_path: Path, format: str) -> None:
    name, text = EXAMPLES[format]
    for place in ("images/red.png", "images/train/12/image.png"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), "red").save(tmp_path / place)
    (tmp_path / name).write_text(text, encoding="utf-8")
    fields: dict[str, str | tuple[str, ...]] = {}
    if format == "table":
        fields = {"question": "Question", "choices": ("A", "B"), "target": "Answer", "images": "Picture"}
    else:
        assert detect_format(tmp_path / name).format == format
    (verdict,) = scan_rows(tmp_path / name, format=format, options=SourceOptions(fields=fields))
    assert verdict.error is None
    (problem,) = verdict.problems
    assert len(problem.images) == 1


def test_the_settings_are_valid() -> None:
    (text,) = re.findall(r"^```yaml title=settings.yaml\n([\s\S]*?)^```", PAGE, re.MULTILINE)
    data = yaml.safe_load(text)["data"]
    for split in ("pool", "diagnosis", "gate", "test"):
        SourceSettings.model_validate(data[split])


def test_the_settings_of_skills_are_valid_and_all_named() -> None:
    (text,) = re.findall(r"^```yaml\n(skills:[\s\S]*?)^```", PAGE, re.MULTILINE)
    tree = yaml.safe_load(text)
    SkillOptions.model_validate(tree["skills"])
    RetrieveSettings.model_validate(tree["retrieve"])
    assert {f"skills.{name}" for name in SkillOptions.model_fields} <= set(re.findall(r"`(skills\.\w+)`", PAGE))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that the commands of the page name."""
    (tmp_path / "images").mkdir()
    Image.new("RGB", (8, 8), "red").save(tmp_path / "images" / "red.png")
    (tmp_path / "train.json").write_text(EXAMPLES["llava"][1])
    (tmp_path / "pool.jsonl").write_text(EXAMPLES["errata"][1])
    (tmp_path / "more.csv").write_text("Number,Skill\n7,read a map\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_command_runs_as_it_is_typed(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    commands = re.findall(r"^    (errata .*?)(?: {3,}.*)?$", PAGE, re.MULTILINE)
    assert len(commands) == 7
    for command in commands:
        assert main(shlex.split(command)[1:]) == 0, command
    assert (place / "out/dataset_info.json").is_file()
    assert "read a map" in capsys.readouterr().out


def test_the_code_for_a_pool_of_millions_runs(place: Path) -> None:
    (code,) = re.findall(r"^```python\n([\s\S]*?)^```", PAGE, re.MULTILINE)
    assert main(["data", "convert", "pool.jsonl", "whole/pool.jsonl", "--to", "errata"]) == 0
    (place / "pool.jsonl").write_bytes((place / "whole/pool.jsonl").read_bytes())
    exec(code, {})
    with SkillStore(place / "skills") as store:
        assert store.texts == ["name a colour"]
