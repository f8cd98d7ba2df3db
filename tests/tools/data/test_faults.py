"""Faults of rows and files of other formats: what each is called, and that the rows around it are read."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from errata.tools.data.read import SourceOptions, read_problems, scan_rows
from errata.tools.data.report import check_dataset
from errata.tools.errors import OperatorError
from tests.data_rows import ASKED, BENCH, chat, encoded, png, tsv, turns

FAULTS: dict[str, tuple[object, str]] = {
    "a mark too many": (chat("<image> Which?", "a"), "image: 1 <image> for 0 pictures"),
    "a picture too many": (chat("Which?", "a", image="images/red.png"), "image: 0 <image> for 1 pictures"),
    "mark in the answer": (chat("Which?", "<image>", image="images/red.png"), "turn N is empty"),
    "roles out of order": ({"id": "bad", "conversations": turns("a", "b")[::-1]}, "roles out of order: turn N"),
    "no answer": (chat("Which?"), "the last question has no answer"),
    "empty turn": (chat("Which?", " "), "turn N is empty"),
    "unknown role": ({"id": "bad", "conversations": [{"from": "x", "value": "a"}]}, "unknown role"),
    "no turns": ({"id": "bad", "conversations": []}, "is missing or not a list of turns"),
    "answer not among": (chat(ASKED, "F", image="images/red.png"), "answer is not among the choices"),
    "missing picture": (chat("<image> a", "b", image="images/no.png"), "images: no such picture"),
    "outside": (chat("<image> a", "b", image="../x.png"), "images: path leaves the data folder"),
    "web": (chat("<image> a", "b", image="https://x.org/a.png"), "images: an address on the web"),
    "wrong base64": (chat("<image> a", "b", image="data:image/png;base64,!!"), "images: wrong base64"),
    "no picture in it": (chat("<image> a", "b", image="data:image/png;base64,QUJD"), "the bytes are no picture"),
    "absurd shape": (
        chat("<image> a", "b", image=f"data:image/png;base64,{base64.b64encode(png(size=(900, 2))).decode()}"),
        "images: picture is more than 200 times as long as wide",
    ),
    "wrong encoding": (chat("Caf\ufffd?", "a"), "holds a character that is no text"),
    "absurd length": (chat("a" * 200_001, "b"), "longer than 200000 characters"),
    "duplicate id": ({**chat("a", "b"), "id": "good"}, "id: duplicate id"),
    "not an object": ([1], "row: not a JSON object"),
    "tool calls": ({"id": "bad", "conversations": [{"from": "function_call", "value": "f"}]}, "holds tool calls"),
}


@pytest.mark.parametrize("case", FAULTS)
def test_a_fault_is_named_and_the_rows_around_it_are_read(folder: Path, case: str) -> None:
    bad, message = FAULTS[case]
    rows = [{**chat("a", "b"), "id": "good"}, bad, {**chat("a", "b"), "id": "last"}]
    (folder / "a.json").write_text(json.dumps(rows))
    report = check_dataset(folder / "a.json", format="llava", options=SourceOptions())
    assert (report.rows, report.accepted, report.problems) == (3, 2, 2)
    told = {**report.errors, **report.skipped}
    assert len(told) == 1
    assert message in next(iter(told))
    for finding in report.findings:
        assert finding.row == 2
        assert finding.line.startswith(f"{folder / 'a.json'}:2: ")
        assert finding.remedy


@pytest.mark.parametrize(
    ("text", "message", "good"),
    [
        ('[{"id": "a", "id": "b"}, {"id": "c", "conversations": []}]', "the key 'id' stands twice", 2),
        ('[{"id": 1e999}, {"id": "c"}]', "the number 1e999 is too large", 2),
        ('[{"id": NaN}, {"id": "c"}]', "NaN is not JSON", 2),
        ('[{"id": "\\ud800"}, {"id": "c"}]', "half a character", 2),
        ('[{"id": "a"}, {"id": "b', "not JSON, or cut off, at line 1 column", 2),
        ('[{"id": "a"}] [', "text after the end of the list", 2),
    ],
)
def test_json_that_would_lose_something_is_an_error(tmp_path: Path, text: str, message: str, good: int) -> None:
    (tmp_path / "a.json").write_text(text)
    verdicts = list(scan_rows(tmp_path / "a.json", format="llava"))
    assert len(verdicts) == good
    assert any(v.error is not None and message in v.error.what for v in verdicts)


def test_a_list_that_breaks_off_stops_a_run_whatever_it_tolerates(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps([chat("a", "b")])[:-1] + ', {"id": "x')
    with pytest.raises(OperatorError, match=r"a\.json:2: not JSON, or cut off, at line 1 column .* cannot be read"):
        read_problems(tmp_path / "a.json", split="pool", format="llava", max_bad_share=1.0)


def test_a_quote_that_is_not_closed_swallows_no_rows(folder: Path) -> None:
    rows = [["0", "Is it?", "", "yes", "no", "", "A", "x", encoded()] for _ in range(4)]
    lines = tsv(BENCH, *[[str(i), *row[1:]] for i, row in enumerate(rows)]).split("\n")
    lines[2] = lines[2].replace("Is it?", '"Is it?')
    (folder / "a.tsv").write_text("\n".join(lines))
    report = check_dataset(folder / "a.tsv", format="mmbench", options=SourceOptions())
    assert (report.rows, report.accepted) == (4, 3)
    assert [finding.row for finding in report.findings] == [3]


def test_tables_that_cannot_be_read_at_all(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,a\n1,2\n")
    with pytest.raises(OperatorError, match=r"a.csv:1: two columns have one name \(got 'a'\)"):
        list(scan_rows(tmp_path / "a.csv", format="table"))
    (tmp_path / "b.csv").write_bytes("question".encode("utf-16"))
    with pytest.raises(OperatorError, match="not UTF-8"):
        list(scan_rows(tmp_path / "b.csv", format="table"))
    pytest.importorskip("pyarrow")
    (tmp_path / "c.parquet").write_bytes(b"PAR1 and nothing")
    with pytest.raises(OperatorError, match="not a whole Parquet file"):
        list(scan_rows(tmp_path / "c.parquet", format="table"))
    (tmp_path / "d.csv").write_text("question,answer\nWhich?,a\n")
    with pytest.raises(OperatorError, match=r"fields: no field of a problem \(got 'colour'\)"):
        list(scan_rows(tmp_path / "d.csv", format="table", options=SourceOptions(fields={"colour": "answer"})))


def test_a_row_in_another_encoding_is_one_bad_row(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("question,answer\nÜber?,a\n".encode() + "Über?,b\n".encode("latin-1"))
    report = check_dataset(tmp_path / "a.csv", format="table", options=SourceOptions())
    assert (report.accepted, report.errors) == (1, {"encoding: not UTF-8": 1})
