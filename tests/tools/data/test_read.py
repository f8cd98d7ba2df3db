"""Reading: what a good row becomes, and the one line that each bad row or file costs."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from errata.tools.data.read import read_problems
from errata.tools.errors import OperatorError

SHARED = os.environ.get("ERRATA_DATA", "")


def row(name: str = "q1", **changes: Any) -> dict[str, Any]:
    return {"id": name, "question": "Which?", "choices": ["one", "two"], "target": "B", **changes}


def write(folder: Path, *rows: dict[str, Any] | str, name: str = "diagnosis.jsonl") -> Path:
    lines = [r if isinstance(r, str) else json.dumps(r) for r in rows]
    file = folder / name
    file.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return file


def picture(folder: Path, name: str = "images/a.png") -> str:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), "red").save(file)
    return hashlib.sha256(file.read_bytes()).hexdigest()


def test_a_good_row_gets_split_absolute_path_and_hash(tmp_path: Path) -> None:
    sha = picture(tmp_path)
    file = write(tmp_path, row(images=["images/a.png"], skills=["count"], question=" Which\u2028one? "))
    (problem,), skipped = read_problems(file, split="gate")
    assert not skipped
    assert problem.split == "gate"
    assert problem.images[0].path == str((tmp_path / "images/a.png").resolve())
    assert problem.images[0].sha256 == sha
    assert (problem.target, problem.target_text, problem.skills) == ("B", "two", ("count",))


def test_a_record_reads_back_as_it_was(tmp_path: Path) -> None:
    write(tmp_path, row(rationale="So.", metadata={"scene": "x"}, split="diagnosis", scoring="choice"))
    (first,), _ = read_problems(tmp_path, split="diagnosis")
    (tmp_path / "pool.jsonl").write_text(first.model_dump_json() + "\n")
    (second,), _ = read_problems(tmp_path, split="pool")
    assert second == first.model_copy(update={"split": "pool"})


def test_free_form_rows_and_answers_by_text(tmp_path: Path) -> None:
    write(
        tmp_path,
        row(choices=[], target="42"),
        row("q2", target="two"),
        row("q3", choices=["B", "A"], target="A"),
    )
    problems, _ = read_problems(tmp_path, split="diagnosis")
    assert [(p.target, p.scoring) for p in problems] == [("42", "exact"), ("B", "choice"), ("A", "choice")]


def test_a_byte_order_mark_blank_lines_and_gzip_are_read(tmp_path: Path) -> None:
    text = "\ufeff" + json.dumps(row()) + "\r\n\r\n" + json.dumps(row("q2"))
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(text.encode()))
    problems, _ = read_problems(tmp_path / "a.jsonl.gz", split="pool")
    assert [p.id for p in problems] == ["q1", "q2"]


BAD_ROWS: dict[str, tuple[dict[str, Any] | str, str]] = {
    "truncated": ('{"id": "q1", "question": "Wh', "'row': not JSON, or cut off"),
    "not an object": ("[1, 2]", "'row': not a JSON object"),
    "huge number": ('{"id": ' + "9" * 5000 + "}", "'row': not JSON"),
    "deep nesting": ("[" * 100_000, "'row': not JSON"),
    "no id": (row(""), "'id': is missing or empty"),
    "empty question": (row(question="  "), "'question': is missing or empty (got"),
    "question is a number": (row(question=3), "'question': is missing or empty (got 3)"),
    "one choice": (row(choices=["one"]), "'choices': only one choice"),
    "same choices": (row(choices=["one", " one "]), "'choices': two choices are the same"),
    "empty choice": (row(choices=["one", ""]), "'choices': a choice is empty"),
    "27 choices": (row(choices=[str(i) for i in range(27)]), "'choices': more than 26 choices (got 27)"),
    "choices are a text": (row(choices="one"), "'choices': not a list"),
    "answer beyond": (row(target="C"), "'target': answer is not among the choices (got 'C'); use A to B"),
    "answer is an index beyond": (row(target=-1), "'target': answer is not among the choices (got -1)"),
    "answer is null": (row(target=None), "'target': answer is not among the choices"),
    "free-form without answer": (row(choices=[], target=""), "'target': is missing or empty"),
    "scoring without choices": (row(choices=[], scoring="choice"), "'scoring': does not fit the choices"),
    "unknown field": (row(colour="red"), "'colour': Extra inputs are not permitted"),
    "test row elsewhere": (row(split="test"), "'split': a test row read as diagnosis"),
    "missing picture": (row(images=["images/none.png"]), "'images': no such picture"),
    "picture is a folder": (row(images=["images"]), "'images': no such picture"),
    "corrupt picture": (row(images=["images/corrupt.png"]), "'images': picture is corrupt"),
    "cut off picture": (row(images=["images/cut.png"]), "'images': picture is corrupt"),
    "text for a picture": (row(images=["images/text.png"]), "'images': picture is corrupt"),
    "other hash": (row(images=[{"path": "images/a.png", "sha256": "0" * 64}]), "'images': sha256 differs"),
    "path leaves": (row(images=["../a.png"]), "'images': path leaves the data folder (got '../a.png')"),
    "path is elsewhere": (row(images=["/etc/hostname"]), "'images': path leaves the data folder"),
    "picture without path": (row(images=[{"sha256": "0"}]), "'images': a picture without a path"),
    "images are a text": (row(images="images/a.png"), "'images': not a list"),
}


@pytest.mark.parametrize("case", BAD_ROWS)
def test_a_bad_row_is_one_line_with_file_row_and_field(tmp_path: Path, case: str) -> None:
    picture(tmp_path)
    whole = (tmp_path / "images/a.png").read_bytes()
    (tmp_path / "images/corrupt.png").write_bytes(whole[:20] + bytes(20) + whole[40:])
    (tmp_path / "images/cut.png").write_bytes(whole[:45])
    (tmp_path / "images/text.png").write_text("hello")
    bad, message = BAD_ROWS[case]
    file = write(tmp_path, row("good"), bad)
    with pytest.raises(OperatorError) as caught:
        read_problems(file, split="diagnosis")
    line = str(caught.value)
    assert line.startswith(f"{file}:2: field {message}"), line
    assert "\n" not in line
    assert caught.value.remedy


@pytest.mark.parametrize("case", BAD_ROWS)
def test_a_tolerated_bad_row_is_skipped_with_its_reason(tmp_path: Path, case: str) -> None:
    picture(tmp_path)
    for name in ("corrupt", "cut", "text"):
        (tmp_path / f"images/{name}.png").write_text("hello")
    file = write(tmp_path, row("good"), BAD_ROWS[case][0])
    problems, skipped = read_problems(file, split="diagnosis", max_bad_share=0.5)
    assert [p.id for p in problems] == ["good"]
    assert [(s.source, s.row) for s in skipped] == [("diagnosis.jsonl", 2)]
    assert skipped[0].reason


def test_duplicate_ids_name_both_rows(tmp_path: Path) -> None:
    file = write(tmp_path, row(), row("q2"), row())
    with pytest.raises(OperatorError, match=r"jsonl:3: field 'id': duplicate of row 1 \(got 'q1'\)"):
        read_problems(file, split="diagnosis")


def test_more_bad_rows_than_the_share_is_an_error_that_names_the_first(tmp_path: Path) -> None:
    file = write(tmp_path, row(), row("q2", target="X"), row("q3", target="Y"))
    with pytest.raises(OperatorError, match=r"2 of 3 rows are bad, more than the share 0.5; the first: .*:2: "):
        read_problems(file, split="diagnosis", max_bad_share=0.5)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the file holds no questions"),
        (b"\n \n", "the file holds no questions"),
        (json.dumps(row()).encode() + b"\n\xff\xfe\n", r":2: not UTF-8 \(got b'\\xff\\xfe"),
        (b"PK\x03\x04\x80", ":1: not UTF-8"),
    ],
)
def test_an_unusable_file_is_one_line(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "a.jsonl").write_bytes(data)
    with pytest.raises(OperatorError, match=message):
        read_problems(tmp_path / "a.jsonl", split="pool", max_bad_share=1.0)


def test_missing_files_broken_gzip_unknown_formats_and_nothing_usable(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match=r"gate.jsonl: no such file"):
        read_problems(tmp_path, split="gate")
    (tmp_path / "a.gz").write_bytes(gzip.compress(b"x" * 999)[:-9])
    with pytest.raises(OperatorError, match="broken gzip file"):
        read_problems(tmp_path / "a.gz", split="gate")
    with pytest.raises(OperatorError, match=r"unknown data format \(got 'csv'\); use one of errata"):
        read_problems(tmp_path, split="gate", format="csv")
    file = write(tmp_path, row(target="X"))
    with pytest.raises(OperatorError, match="no usable row among 1: 1 x target: answer is not among"):
        read_problems(file, split="gate", max_bad_share=1.0)


def test_the_pool_trusts_hashes_unless_told_otherwise(tmp_path: Path) -> None:
    picture(tmp_path)
    write(tmp_path, row(images=[{"path": "images/a.png", "sha256": "0" * 64}]), name="pool.jsonl")
    (problem,), _ = read_problems(tmp_path, split="pool")
    assert problem.images[0].sha256 == "0" * 64
    with pytest.raises(OperatorError, match="sha256 differs"):
        read_problems(tmp_path, split="pool", verify="hash")


def test_twenty_thousand_rows_are_read_in_seconds(tmp_path: Path) -> None:
    sha = picture(tmp_path)
    image = {"path": "images/a.png", "sha256": sha}
    write(
        tmp_path,
        *(row(f"q{i}", images=[image], metadata={"scene": str(i)}) for i in range(20_000)),
        name="pool.jsonl",
    )
    start = time.process_time()
    problems, _ = read_problems(tmp_path, split="pool")
    assert len(problems) == 20_000
    assert time.process_time() - start < 6
