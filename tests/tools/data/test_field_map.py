"""What a field map can say: columns that agree, alternatives, columns that may lack, rows to leave out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from errata.tools.data.read import count_reasons, read_problems
from errata.tools.data.read.layout import SourceOptions
from errata.tools.errors import OperatorError
from errata.tools.records import Problem

ROW: dict[str, Any] = {"question": "Which?", "choices": ["one", "two"], "answer": 1}


def read(folder: Path, *rows: dict[str, Any], share: float = 0.0, **options: Any) -> list[Problem]:
    """The problems of these rows, by a map that names question, choices and answer."""
    file = folder / "rows.jsonl"
    file.write_text("".join(json.dumps({**ROW, **row}) + "\n" for row in rows))
    fields = {"question": "question", "choices": "choices", "target": "answer", **options.pop("fields", {})}
    given = SourceOptions.model_validate({"fields": fields, **options})
    return read_problems(file, split="gate", format="table", max_bad_share=share, options=given).problems


@pytest.mark.parametrize(
    ("columns", "row", "target"),
    [
        (["answer", "letter"], {"letter": "B"}, "B"),
        (["answer", "text"], {"text": " two "}, "B"),
        (["letter", "text"], {"letter": "A", "text": "one"}, "A"),
        (["answer", "letter"], {"letter": None}, "B"),
        (["answer", "text"], {"choices": ["B", "C", "A"], "text": "C"}, "B"),
        (["answer", "text"], {"choices": [], "answer": "red", "text": "red"}, "red"),
    ],
)
def test_columns_that_say_the_same_are_one_answer(
    columns: list[str], row: dict[str, Any], target: str, tmp_path: Path
) -> None:
    assert [p.target for p in read(tmp_path, row, fields={"target": columns})] == [target]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"letter": "A"}, "field 'letter': does not agree with answer"),
        ({"letter": "Q"}, "answer is not among the choices"),
        ({"answer": None, "letter": ""}, "fill answer or letter"),
        ({"choices": [], "answer": "red", "letter": "blue"}, "does not agree with answer"),
    ],
)
def test_columns_that_do_not_agree_are_an_error(row: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match=message):
        read(tmp_path, row, fields={"target": ["answer", "letter"]})


def test_the_first_column_that_says_something(tmp_path: Path) -> None:
    rows = [{"skill": "a", "topic": "b"}, {"skill": "", "topic": "b"}, {"topic": None}]
    found = read(tmp_path, *rows, fields={"skills": "skill|topic"})
    assert [p.skills for p in found] == [("a",), ("b",), ()]
    assert [p.metadata["skill_source"] for p in found] == ["skill", "topic", "none"]


def test_a_column_that_may_lack(tmp_path: Path) -> None:
    fields = {"rationale": "why?", "metadata": ["source?", "year?"]}
    found = read(tmp_path, {"why": "So.", "source": "S", "year": 0}, {}, fields=fields)
    assert [(p.rationale, p.metadata) for p in found] == [("So.", {"source": "S"}), ("", {})]
    with pytest.raises(OperatorError, match="no column why"):
        read(tmp_path, {}, fields={"rationale": "why"})


@pytest.mark.parametrize(
    ("unwanted", "kept"),
    [(True, [0, 3]), ("x", [0, 1, 3]), (("x", 2), [0, 3]), (2, [0, 2, 3]), (False, [0, 1, 2])],
)
def test_rows_are_left_out_by_a_column(unwanted: object, kept: list[int], tmp_path: Path) -> None:
    marks: list[dict[str, Any]] = [{}, {"mark": 2}, {"mark": "x"}, {"mark": False}]
    rows = [{"id": str(number), **mark} for number, mark in enumerate(marks)]
    found = read(tmp_path, *rows, leave_out={"mark": unwanted})
    assert [int(p.id) for p in found] == kept


def test_what_is_left_out_is_counted_by_its_value(tmp_path: Path) -> None:
    read(tmp_path, {"id": "a", "mark": "x"}, {"id": "b"})
    options = SourceOptions(leave_out={"mark": "x"})
    result = read_problems(tmp_path / "rows.jsonl", split="gate", format="table", options=options)
    assert count_reasons(result.skipped) == {"mark is x": 1}
    assert not any(row.bad for row in result.skipped)


def test_a_picture_that_lies_elsewhere(tmp_path: Path) -> None:
    rows = [{"id": "a", "url": "there"}, {"id": "b", "url": ""}]
    found = read(tmp_path, *rows, fields={"elsewhere": "url"})
    assert [p.metadata for p in found] == [{"picture_absent": True}, {}]


def test_any_row_with_a_text_of_the_answer_is_a_table(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps({"id": "a", "question": "Who?", "answer": "I", "answer_text": "I"}) + "\n")
    from errata.tools.data.read.detect import detect_format

    assert detect_format(file).format == "table"
    assert [p.target for p in read_problems(file, split="gate", format="table").problems] == ["I"]
