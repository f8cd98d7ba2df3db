"""Rows of two shapes read by the field maps of runs/configs/scienceqa.yaml, and the real data behind them."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from errata.agent.settings.file import load_settings
from errata.agent.settings.places import CONFIGS
from errata.agent.settings.sources import read_source
from errata.tools.data.read import ReadResult, count_reasons, read_problems
from errata.tools.data.read.layout import SourceOptions
from errata.tools.records import Split
from tests.tools.data.test_read import SHARED, picture, write


def mapped(split: str) -> SourceOptions:
    """The field map of one split in runs/configs/scienceqa.yaml."""
    source = yaml.safe_load((CONFIGS / "scienceqa.yaml").read_text(encoding="utf-8"))["data"][split]
    return SourceOptions(fields=source["fields"], leave_out=source["leave_out"])


QUESTIONS: dict[str, Any] = {"format": "table", "options": mapped("gate")}
POOL = mapped("pool")


SQA = {
    "question": "Which?",
    "choices": ["a", "b"],
    "answer": 1,
    "answer_letter": "B",
    "n_choice_images_upstream": 0,
}


def test_mapped_rows_become_problems_or_reasons(tmp_path: Path) -> None:
    picture(tmp_path)
    image = {"image": "images/a.png", "has_image_upstream": True}
    write(
        tmp_path,
        {"id": "1", **SQA, **image, "skill": "Read a map", "context": "A map."},
        {"id": "2", **SQA, **image, "skill": None, "skill_inferred": "Guess", "topic_inferred": "maps"},
        {"id": "3", **SQA, **image, "n_choice_images_upstream": 2},
        {"id": "4", **SQA, "image": None, "has_image_upstream": True},
        {"id": "5", **SQA, "image": None, "has_image_upstream": False},
        {"id": "6", **SQA, **image, "answer_letter": "A"},
        name="val.jsonl",
    )
    file = tmp_path / "val.jsonl"
    problems, skipped = read_problems(file, split="gate", **QUESTIONS, images="required", max_bad_share=0.5)
    assert [(p.id, p.question, p.skills) for p in problems] == [
        ("1", "A map.\nWhich?", ("Read a map",)),
        ("2", "Which?", ("Guess",)),
    ]
    assert problems[1].metadata == {"skill_source": "skill_inferred"}
    assert count_reasons(skipped) == {
        "answer_letter: does not agree with answer": 1,
        "n_choice_images_upstream is 2": 1,
        "picture is not in the data folder": 1,
        "question without a picture": 1,
    }
    more, _ = read_problems(file, split="gate", **QUESTIONS, images="any", max_bad_share=0.5)
    assert [(p.id, p.metadata.get("picture_absent")) for p in more[2:]] == [("4", True), ("5", None)]


def test_pictures_may_begin_above_the_file_and_lie_elsewhere(tmp_path: Path) -> None:
    picture(tmp_path, "other/images/a.png")
    base = {"source": "S", "choices": ["a", "b"], "answer": 0, "answer_text": "a", "question": "Which?"}
    rows = [
        {"id": "1", **base, "image": "other/images/a.png", "skills": ["under"], "split": "train"},
        {"id": "2", **base, "image": None, "skills": [], "caption": "A picture."},
        {"id": "3", **base, "question": None, "benchmark_only": True},
        {"id": "4", **base, "choices": [], "answer": "red", "answer_text": "red", "skills": None},
        {"id": "5", **base, "answer_text": "b"},
    ]
    folder = tmp_path / "pool"
    folder.mkdir()
    text = "".join(json.dumps(r) + "\n" for r in rows)
    (folder / "rows.jsonl.gz").write_bytes(gzip.compress(text.encode()))
    file, options = folder / "rows.jsonl.gz", POOL.model_copy(update={"image_root": str(tmp_path)})
    problems, skipped = read_problems(file, split="pool", format="table", options=options, max_bad_share=0.2)
    assert [(p.id, len(p.images), p.skills, p.scoring) for p in problems] == [
        ("1", 1, ("under",), "choice"),
        ("2", 0, (), "choice"),
        ("4", 0, (), "exact"),
    ]
    assert [s.reason for s in skipped] == [
        "benchmark_only is True",
        "answer_text: does not agree with answer",
    ]
    assert problems[0].metadata["split"] == "train"
    assert problems[1].metadata["picture_absent"]


@pytest.mark.skipif(not SHARED, reason="ERRATA_DATA names no folder with real data")
def test_real_data_counts() -> None:
    settings = load_settings(CONFIGS / "scienceqa.yaml", data_root=SHARED)
    read: dict[Split, ReadResult] = {}
    splits: tuple[Split, ...] = ("diagnosis", "pool")
    for split in splits:
        source = getattr(settings.data, split).model_copy(update={"offset": 0, "limit": None})
        read[split] = read_source(settings.data, source, split=split, runs=Path("nowhere"))
    assert len(read["diagnosis"].problems) == 500
    assert count_reasons(read["diagnosis"].skipped) == {
        "picture is not in the data folder": 1597,
        "question without a picture": 180,
    }
    pool = read["pool"].problems
    assert (len(pool), len({s for p in pool for s in p.skills})) == (25_476, 309)
    assert count_reasons(read["pool"].skipped) == {"benchmark_only is True": 1940}
