"""Rows in = samples + rows that were reported."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from errata.tools.errors import OperatorError
from errata.tools.retrieve.sources import SampleFile

ROWS: list[tuple[object, str]] = [
    ({"id": "a", "skills": ["red", "blue"], "topic": "x"}, ""),
    ({"id": 7, "skills": "red", "topic": 3}, ""),
    ({"id": "c", "skills": []}, ""),
    ({"id": "d", "skills": None}, ""),
    ({"skills": ["red"]}, "id is no id"),
    ({"id": True, "skills": ["red"]}, "id is no id"),
    ({"id": "e"}, "it has no skills"),
    ({"id": "f", "skills": [1]}, "skills is no list of texts"),
    ({"id": "g", "skills": ["red"], "topic": {}}, "topic is no single value"),
    ({"id": "h", "skills": ["\ud800"]}, "a text holds half a surrogate pair"),
    ([1], "it is no JSON object in UTF-8"),
]


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.jsonl.gz"])
def test_every_row_is_a_sample_or_is_reported(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    data = b"".join(json.dumps(row).encode() + b"\n" for row, _ in ROWS) + b"\n\xff\n"
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    file = SampleFile(path, fields=["topic"], max_bad_share=1)
    assert list(file.read()) == [
        ("a", ["red", "blue"], ["x"]),
        ("7", ["red"], ["3"]),
        ("c", [], [""]),
        ("d", [], [""]),
    ]
    assert (file.samples, file.empty, file.skipped) == (4, 2, 8)
    wanted = [(row, reason) for row, (_, reason) in enumerate(ROWS, start=1) if reason]
    assert [(r.row, r.reason) for r in file.reasons] == [*wanted, (13, "it is no JSON object in UTF-8")]


def test_too_many_bad_rows_refuse_the_file(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"id": "a", "skills": []}\nno\n')
    with pytest.raises(
        OperatorError, match=r"rows.jsonl:2: 1 of 2 rows are no samples, the first because it is no JSON"
    ):
        list(SampleFile(path).read())


def test_a_file_that_is_none_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "cut.gz").write_bytes(gzip.compress(b"x" * 99)[:20])
    for name in ("absent.jsonl", "cut.gz"):
        with pytest.raises(OperatorError, match=f"{name}: the file cannot be read"):
            list(SampleFile(tmp_path / name).read())
