"""docs/data.md: each example is read, by the format whose heading it stands under."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest
import yaml
from PIL import Image

from agent.settings import SourceSettings
from tools.data.read import FormatName, SourceOptions, scan_rows
from tools.data.read.detect import detect_format

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "data.md").read_text(encoding="utf-8")
EXAMPLE = re.compile(r"^## (\w+)\n(?:(?!^## )[\s\S])*?^```\w+ title=(\S+)\n([\s\S]*?)^```", re.MULTILINE)
EXAMPLES = {format: (name, text) for format, name, text in EXAMPLE.findall(PAGE) if format != "Settings"}


def test_every_format_has_a_section() -> None:
    headings = set(re.findall(r"^## (\w+)", PAGE, re.MULTILINE))
    assert set(get_args(FormatName)) - headings == {"scienceqa", "support_corpus"}
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
        assert detect_format(tmp_path / name) == format
    (verdict,) = scan_rows(tmp_path / name, format=format, options=SourceOptions(fields=fields))
    assert verdict.error is None
    (problem,) = verdict.problems
    assert len(problem.images) == 1


def test_the_settings_are_valid() -> None:
    (text,) = re.findall(r"^```yaml title=settings.yaml\n([\s\S]*?)^```", PAGE, re.MULTILINE)
    data = yaml.safe_load(text)["data"]
    for split in ("pool", "diagnosis", "gate", "test"):
        SourceSettings.model_validate(data[split])
