"""What a first settings file is made of: data and models as they are found, parts, and places of files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from errata.agent.settings.first_settings import (
    LOOKED_AT,
    DataFound,
    ModelFound,
    Part,
    TeacherFound,
    inspect_data,
    inspect_model,
    place_from,
    propose_parts,
    render_settings,
)
from errata.agent.settings.places import CODE
from errata.tools.errors import OperatorError

ROW = {"question": "Which?", "choices": ["a", "b"], "target": "A"}


def found(questions: int = 100, *, path: str = "q.jsonl") -> DataFound:
    return DataFound(Path(path), "errata", "said", questions, 0, questions, 0, 0, True)


def write(path: Path, *rows: dict[str, object]) -> Path:
    path.write_text("".join(json.dumps({"id": str(n), **ROW, **row}) + "\n" for n, row in enumerate(rows)))
    return path


def limits(parts: dict[str, Part]) -> dict[str, tuple[int, int | None]]:
    return {split: (part.offset, part.limit) for split, part in parts.items()}


def test_parts_of_one_file_follow_each_other() -> None:
    assert limits(propose_parts(found(100), None)) == {
        "diagnosis": (0, 30), "gate": (30, 15), "test": (45, 25), "pool": (70, None),
    }  # fmt: skip
    assert limits(propose_parts(found(100), found(9, path="p.jsonl"))) == {
        "diagnosis": (0, 40), "gate": (40, 30), "test": (70, None), "pool": (0, None),
    }  # fmt: skip


def test_the_least_number_of_questions() -> None:
    parts = propose_parts(found(8), None)
    assert limits(parts) == {"diagnosis": (0, 2), "gate": (2, 2), "test": (4, 2), "pool": (6, None)}
    with pytest.raises(OperatorError, match="7 questions are too few"):
        propose_parts(found(7), None)


def test_a_pool_is_not_shuffled_and_keeps_its_format() -> None:
    pool = found(9, path="p.jsonl")._replace(format="llava")
    parts = propose_parts(found(50), pool)
    assert (parts["pool"].path, parts["pool"].format, parts["pool"].shuffle) == ("p.jsonl", "llava", False)
    assert all(parts[split].shuffle for split in ("diagnosis", "gate", "test"))


def test_rows_are_counted_by_what_is_wrong_with_them(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [{"skills": ["s"]}, {}, {"target": "Q"}, {"question": ""}]
    data = inspect_data(write(tmp_path / "q.jsonl", *rows), whole=True)
    assert (data.questions, data.with_skills, data.bad, data.text_only, data.whole) == (2, 1, 2, 2, True)
    assert "2 questions, 2 without a picture, 1 with skills, 2 bad rows" in data.text
    with pytest.raises(OperatorError, match=r"no usable question in 1 rows; the first: "):
        inspect_data(write(tmp_path / "bad.jsonl", {"target": "Q"}), whole=True)


def test_of_a_large_pool_the_first_rows_are_looked_at(tmp_path: Path) -> None:
    pool = inspect_data(write(tmp_path / "p.jsonl", *({} for _ in range(LOOKED_AT + 5))), whole=False)
    assert (pool.questions, pool.whole) == (LOOKED_AT, False)
    assert "2,000 questions in the first rows" in pool.text
    small = inspect_data(write(tmp_path / "s.jsonl", *({} for _ in range(5))), whole=False)
    assert (small.questions, small.whole) == (5, True)


def test_a_model_is_known_by_its_files(tmp_path: Path) -> None:
    model = inspect_model(CODE / "tools" / "world" / "student")
    assert (model.family, model.weights > 10**6, model.micro_batch) == ("idefics3", True, 8)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llava", "vision_config": {}}))
    with pytest.raises(OperatorError, match="no safetensors file"):
        inspect_model(tmp_path)
    large = ModelFound(tmp_path, "llava", 14 * 2**30, "they fit")
    assert (large.micro_batch, large.text) == (1, "llava, 14.0 GiB of weights; they fit")


@pytest.mark.parametrize(
    ("path", "place"), [("a/b.json", "a/b.json"), ("../c.json", None), ("/elsewhere/d.json", "/elsewhere/d.json")]
)
def test_paths_are_relative_inside_the_folder_only(path: str, place: str | None, tmp_path: Path) -> None:
    folder = tmp_path / "here"
    assert place_from(folder / path, folder) == (place or str(tmp_path / "c.json"))


def test_the_file_says_what_was_given(tmp_path: Path) -> None:
    teacher = TeacherFound("http://127.0.0.1:8000/v1", "m", "MY_KEY")
    data = found(40)._replace(text_only=3)
    text = render_settings(data=data, pool=None, model=None, teacher=teacher, folder=tmp_path)
    assert "key_env: MY_KEY" in text
    assert "# 3 of the questions have no picture." in text
    assert "tag: candidates" in text
    assert "source: annotations" not in text
    alone = render_settings(data=found(40), pool=None, model=None, teacher=None, folder=tmp_path)
    assert "have no picture" not in alone
    assert "method: whole_rationale" in alone
    assert "base: embedded" in alone
