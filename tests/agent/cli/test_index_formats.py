"""`errata index build` takes what the readers take: rows as they are, and questions of every format."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from errata.agent.cli.main import main
from errata.tools.data.write import write_problems
from errata.tools.records import Problem
from tests.data_rows import BENCH, encoded, tsv, turns

SKILLS = {"a": ("count the circles", "read a colour"), "b": ("count squares",), "c": ()}
PROBLEMS = [
    Problem(
        id=name, question=f"What is {name}?", target="x", scoring="exact", skills=skills, metadata={"topic": f"t{name}"}
    )
    for name, skills in SKILLS.items()
]
ROWS = [{"id": name, "skills": list(skills), "topic": f"t{name}"} for name, skills in SKILLS.items()]


def write_raw(folder: Path, name: str) -> Path:
    """The rows in a file whose ending says how."""
    path = folder / name
    if name.endswith(".parquet"):
        pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        pq.write_table(pa.Table.from_pylist(ROWS), path)
    elif ".json" in name:
        text = json.dumps(ROWS) if name.endswith(".json") else "".join(json.dumps(row) + "\n" for row in ROWS)
        path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    else:
        with path.open("w", newline="") as file:
            writer = csv.writer(file, delimiter="\t" if name.endswith(".tsv") else ",")
            writer.writerow(["id", "skills", "topic"])
            writer.writerows([row["id"], json.dumps(row["skills"]), row["topic"]] for row in ROWS)
    return path


def call(capsys: pytest.CaptureFixture[str], *words: object) -> dict[str, Any]:
    capsys.readouterr()
    assert main(["index", *map(str, words), "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    return found


def hits(capsys: pytest.CaptureFixture[str], folder: Path, query: str, *more: str) -> list[str]:
    return [hit["id"] for hit in call(capsys, "search", folder, query, *more)["hits"]]


@pytest.mark.parametrize(
    "name", ["rows.jsonl", "rows.jsonl.gz", "rows.json", "rows.csv", "rows.csv.gz", "rows.tsv", "rows.parquet"]
)
def test_rows_are_taken_as_they_are(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    if name == "rows.csv.gz":
        (tmp_path / name).write_bytes(gzip.compress(write_raw(tmp_path, "rows.csv").read_bytes()))
    else:
        write_raw(tmp_path, name)
    told = call(capsys, "build", tmp_path / "index", tmp_path / name, "--keep", "topic")
    assert (told["samples"], told["without_skill"], told["skipped_rows"]) == (3, 1, 0)
    assert hits(capsys, tmp_path / "index", "count") == ["b", "a"]
    assert hits(capsys, tmp_path / "index", "count", "--where", "topic=ta") == ["a"]


@pytest.mark.parametrize("format", ["llava", "sharegpt", "messages"])
@pytest.mark.parametrize("said", [True, False])
def test_conversations_are_read_as_questions(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], format: Any, said: bool
) -> None:
    file = tmp_path / ("pool.jsonl" if format == "messages" else "pool.json")
    write_problems(PROBLEMS, file=file, format=format)
    more = ["--format", format] if said else []
    told = call(capsys, "build", tmp_path / "index", file, "--keep", "topic", *more)
    assert (told["samples"], told["without_skill"]) == (3, 1)
    assert hits(capsys, tmp_path / "index", "count", "--where", "topic=tb") == ["b"]


def test_foreign_conversations_name_the_column_of_their_skills(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"id": name, "conversations": turns("Who?", "I"), "tags": list(s)} for name, s in SKILLS.items()]
    (tmp_path / "pool.json").write_text(json.dumps(rows))
    call(capsys, "build", tmp_path / "index", tmp_path / "pool.json", "--skills", "tags")
    assert hits(capsys, tmp_path / "index", "circles") == ["a"]
    assert main(["index", "build", str(tmp_path / "other"), str(tmp_path / "pool.json")]) == 2
    err = capsys.readouterr().err
    assert "no sample has a skill (got 3)" in err
    assert "--skills" in err
    assert not (tmp_path / "other/lexical/manifest.json").exists()


def test_a_map_of_fields_reads_questions_without_their_pictures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "pool.csv"
    file.write_text("Nr,Ask,Gold,Skill,Picture,Part\n1,Who?,I,name people,gone.png,x\n2,,I,name people,gone.png,y\n")
    fields = ["id=Nr", "question=Ask", "target=Gold", "skills=Skill", "images=Picture"]
    more = [word for field in fields for word in ("--field", field)]
    told = call(capsys, "build", tmp_path / "i", file, *more, "--keep", "Part", "--max-bad-share", "0.5")
    assert (told["samples"], told["skipped_rows"]) == (1, 1)
    assert hits(capsys, tmp_path / "i", "people", "--where", "Part=x") == ["1"]
    skipped = json.loads((tmp_path / "i/skipped.jsonl").read_text())
    assert (skipped["row"], skipped["reason"]) == (3, "question: is missing or empty")


def test_mmbench_has_skills_of_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    row = ["7", "Which?", "", "red", "blue", "", "A", "colour_naming", encoded()]
    (tmp_path / "val.tsv").write_text(tsv(BENCH, row))
    call(capsys, "build", tmp_path / "index", tmp_path / "val.tsv", "--keep", "category")
    assert hits(capsys, tmp_path / "index", "colour", "--where", "category=colour_naming") == ["7"]
    assert not list(tmp_path.glob("**/*.png"))


def test_a_folder_of_a_dataset_is_indexed_and_watched(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    datasets = pytest.importorskip("datasets")
    rows = [{"id": p.id, "question": p.question, "answer": "x", "skills": list(p.skills)} for p in PROBLEMS]
    datasets.Dataset.from_list(rows).save_to_disk(str(tmp_path / "saved"))
    call(capsys, "build", tmp_path / "index", tmp_path / "saved")
    assert hits(capsys, tmp_path / "index", "squares") == ["b"]
    (tmp_path / "saved" / "more.txt").write_text("x")
    assert main(["index", "search", str(tmp_path / "index"), "squares"]) == 2
    assert "the source changed since the index was built" in capsys.readouterr().err


def test_additions_may_come_in_another_format(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call(capsys, "build", tmp_path / "index", write_raw(tmp_path, "rows.jsonl"), "--keep", "topic")
    new = PROBLEMS[0].model_copy(update={"id": "d", "skills": ("find a pole",)})
    write_problems([new], file=tmp_path / "more.json", format="llava")
    told = call(capsys, "add", tmp_path / "index", tmp_path / "more.json")
    assert told["total"] == 4
    assert hits(capsys, tmp_path / "index", "pole", "--where", "topic=ta") == ["d"]


def test_what_the_format_leaves_out_is_counted_and_is_not_bad(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    row = {"id": "a", "question": "Who?", "answer": "I", "answer_text": "I", "skills": ["name people"]}
    rows = [row, {**row, "id": "b", "benchmark_only": True}]
    (tmp_path / "pool.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = ("--format", "table", "--leave-out", "benchmark_only")
    told = call(capsys, "build", tmp_path / "i", tmp_path / "pool.jsonl", *options)
    assert (told["samples"], told["skipped_rows"], told["left_out"]) == (1, 1, 1)


@pytest.mark.parametrize(
    ("name", "text", "more", "told"),
    [
        ("rows.jsonl", "", (), "the file holds no rows"),
        ("rows.json", '[{"id": "a", "skills": ["x"]}, {"id"', (), "rows.json:2: field 'row': not JSON, or cut off"),
        ("rows.csv", "id,tags\na,x\n", (), "no column 'skills' (got 'id, tags'); name the column with --skills"),
        ("rows.csv", "id,skills\na,\n", (), "no sample has a skill (got 1)"),
        ("rows.jsonl", '{"id": "a", "skills": ["x"]}\n', ("--keep", "topik"), "--keep: no row has this field"),
        ("rows.jsonl", '{"id": "a", "skills": ["x"]}\n', ("--format", "jsonl"), "--format: unknown data format"),
        ("rows.jsonl", '{"id": "a", "skills": ["x"]}\n', ("--field", "skills"), "--field: no field and column"),
    ],
)
def test_what_cannot_be_indexed_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, text: str, more: tuple[str, ...], told: str
) -> None:
    (tmp_path / name).write_text(text)
    assert main(["index", "build", str(tmp_path / "index"), str(tmp_path / name), *more]) == 2
    err = capsys.readouterr().err
    assert told in err
    assert err.count("\n") == 1
    assert not (tmp_path / "index/lexical/manifest.json").exists()
