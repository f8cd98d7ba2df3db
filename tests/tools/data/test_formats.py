"""Formats of others: what a good row becomes, and what each kind of fault is called."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from errata.tools.data.read import SourceOptions, read_problems
from errata.tools.data.read.detect import detect_format
from errata.tools.data.report import check_dataset
from errata.tools.errors import OperatorError
from errata.tools.records import Problem
from tests.data_rows import ASKED, BENCH, chat, encoded, png, tsv, turns


def read(file: Path, data: object, *, format: str, **options: Any) -> list[Problem]:
    """The problems of a file written from `data`; a bad row is an error."""
    file.write_text(data if isinstance(data, str) else json.dumps(data), encoding="utf-8")
    chosen = SourceOptions(**options)
    assert options or detect_format(file).format == format
    return read_problems(file, split="pool", format=format, max_bad_share=0, verify="decode", options=chosen).problems


def test_llava_rows_with_several_questions_and_pictures(folder: Path) -> None:
    talk = turns(ASKED, "It is warm. The answer is A.", "Compare <image> with the first.", "both")
    rows = [{"id": 7, "image": ["images/red.png", "images/blue.png"], "conversations": talk}]
    first, second = read(folder / "a.json", rows, format="llava")
    assert (first.id, first.question, first.choices) == ("7#1", "Which colour?", ("red", "blue"))
    assert (first.target, first.rationale, len(first.images)) == ("A", "It is warm.", 1)
    assert (second.id, second.question, second.target) == ("7#2", "Compare image 2 with the first.", "both")
    assert (len(second.images), second.scoring) == (2, "exact")
    assert second.metadata == {"conversation": "7", "turn": 2}


def test_options_in_one_line_and_answers_by_text_or_letter(folder: Path) -> None:
    inline = "Which colour?\nOptions: (A) red (B) blue"
    rows = [{"id": str(i), "conversations": turns(inline, said)} for i, said in enumerate(["B.", "blue", "(B)"])]
    found = read(folder / "a.json", rows, format="llava")
    assert [(p.question, p.target) for p in found] == [("Which colour?", "B")] * 3


def test_sharegpt_with_system_data_urls_and_no_id(folder: Path) -> None:
    url = f"data:image/png;base64,{encoded()}"
    rows = [{"conversations": turns(ASKED, "A"), "images": [url], "system": "Be brief."}]
    (problem,) = read(folder / "a.json", rows, format="sharegpt")
    assert problem.id.startswith("row1-")
    assert problem.metadata == {"system": "Be brief."}
    assert Path(problem.images[0].path).read_bytes() == png()
    assert Path(problem.images[0].path).stem == problem.images[0].sha256


def test_messages_with_typed_parts_texts_and_a_column(folder: Path) -> None:
    url = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{encoded('blue')}"}}
    parts = [{"type": "image"}, url, {"type": "text", "text": "Which is red?"}]
    typed = {"id": "a", "messages": [{"role": "user", "content": parts}], "images": ["images/red.png"]}
    typed["messages"].append({"role": "assistant", "content": [{"type": "text", "text": "the first"}]})
    said = [{"role": "user", "content": "What?"}, {"role": "assistant", "content": "red"}]
    plain = {"id": "b", "messages": said, "images": [{"bytes": encoded(), "path": None}]}
    file = folder / "a.jsonl"
    first, second = read(file, "\n".join(map(json.dumps, [typed, plain])), format="messages")
    assert (first.question, first.target, len(first.images)) == ("Which is red?", "the first", 2)
    assert first.images[0].path.endswith("images/red.png")
    assert (second.question, len(second.images)) == ("What?", 1)
    assert second.images[0].sha256 == first.images[0].sha256


def test_scienceqa_as_it_is_published(folder: Path) -> None:
    (folder / "images/val/12").mkdir(parents=True)
    (folder / "images/val/12/image.png").write_bytes(png())
    row = {"question": "Which?", "choices": ["a", "b"], "answer": 1, "hint": "See.", "image": "image.png"}
    more = {"skill": "Read", "topic": "maps", "subject": "geo", "solution": "So.", "split": "val"}
    tree = {"12": {**row, **more}, "13": {**row, **more, "split": "train"}}
    tree["14"] = {**row, "image": None, "split": "val"}
    (folder / "problems.json").write_text(json.dumps(tree))
    assert detect_format(folder / "problems.json").format == "scienceqa_json"
    found = read_problems(folder, split="gate", format="scienceqa_json", max_bad_share=0)
    assert [(p.id, p.question, p.target, len(p.images)) for p in found.problems] == [
        ("12", "See.\nWhich?", "B", 1),
        ("14", "See.\nWhich?", "B", 0),
    ]
    assert (found.problems[0].skills, found.problems[0].rationale) == (("Read",), "So.")
    assert [(s.reason, s.bad) for s in found.skipped] == [("row of the part train", False)]


def test_mmbench_with_pictures_of_earlier_rows(folder: Path) -> None:
    rows = [
        ["0", 'Is it "red",\nor not?', "nan", "yes", "no", "", "A", "hue_name", encoded()],
        ["1000000", "Again?", "Look.", "no", "yes", "maybe", "B", "hue_name", "0"],
    ]
    first, second = read(folder / "a.tsv", tsv(BENCH, *rows), format="mmbench")
    assert (first.question, first.choices, first.skills) == ('Is it "red",\nor not?', ("yes", "no"), ("hue name",))
    assert (second.question, second.target, second.images) == ("Look.\nAgain?", "B", first.images)


FIELDS = {"id": "n", "question": "qa.ask", "choices": ("one", "two"), "target": "gold", "metadata": ("n",)}


def test_tables_by_a_field_map(folder: Path) -> None:
    row = {"n": 3, "qa": {"ask": "Which?"}, "one": "red", "two": "blue", "gold": "2", "pic": "images/red.png"}
    file = folder / "a.jsonl"
    fields = {**FIELDS, "images": "pic"}
    (problem,) = read(file, json.dumps(row), format="table", fields=fields, first_index=1)
    assert (problem.id, problem.question, problem.target, len(problem.images)) == ("3", "Which?", "B", 1)
    assert problem.metadata == {"n": 3}


def test_tables_by_usual_names_csv_and_parquet(folder: Path) -> None:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    file = folder / "a.csv"
    header = ["question", "options", "answer", "image"]
    text = tsv(header, ["Which?", '["red", "blue"]', "0", "images/red.png"], delimiter=",")
    (problem,) = read(file, text, format="table")
    assert (problem.choices, problem.target, len(problem.images)) == (("red", "blue"), "A", 1)
    picture = {"bytes": png(), "path": None}
    columns = {"question": ["Which?"], "choices": [["red", "blue"]], "answer": [1], "image": [picture]}
    pq.write_table(pa.table(columns), folder / "a.parquet")
    found = read_problems(folder / "a.parquet", split="gate", format="table", max_bad_share=0).problems
    assert [(p.target, len(p.images)) for p in found] == [("B", 1)]
    with pytest.raises(OperatorError, match=r"'question': no column ask \(got 'question, choices"):
        read_problems(
            folder / "a.parquet",
            split="gate",
            format="table",
            max_bad_share=0,
            options=SourceOptions(fields={"question": "ask"}),
        )


def test_pictures_given_as_bytes_are_kept_once_and_only_when_read(folder: Path) -> None:
    url = f"data:image/png;base64,{encoded()}"
    rows = [{**chat("<image> a", "b", image=url), "id": str(i)} for i in range(3)]
    (folder / "a.json").write_text(json.dumps(rows))
    before = sorted(folder.rglob("*"))
    assert check_dataset(folder / "a.json", format="llava", options=SourceOptions()).ok
    assert sorted(folder.rglob("*")) == before
    kept = folder / "kept"
    found = read_problems(folder / "a.json", split="pool", format="llava", pictures=kept).problems
    assert [p.images[0].path for p in found] == [str(kept / f"{found[0].images[0].sha256}.png")] * 3
    assert len(list(kept.iterdir())) == 1


def test_pictures_in_another_folder(folder: Path) -> None:
    file = folder / "json" / "a.json"
    file.parent.mkdir()
    rows = [chat("<image> a", "b", image="red.png")]
    (problem,) = read(file, rows, format="llava", image_root=str(folder / "images"))
    assert problem.images[0].path == str((folder / "images/red.png").resolve())


def test_the_lessons_of_a_run_can_be_read(folder: Path) -> None:
    problem = {"id": "m1", "question": "Which?", "choices": ["a", "b"], "target": "A"}
    image = {"path": "run:/images/red.png", "sha256": ""}
    elsewhere = {"path": str(folder / "images/blue.png"), "sha256": ""}
    row = {"id": "l1", "problem": {**problem, "images": [image, elsewhere]}, "candidate": "c", "route": "scene"}
    (folder / "run").mkdir()
    (folder / "images").rename(folder / "run/images")
    (folder / "images").symlink_to(folder / "run/images")
    (found,) = read(folder / "run/lessons.jsonl", json.dumps({**row, "iteration": 2}), format="lessons")
    assert found.images[0].path.endswith("run/images/red.png")
    assert found.images[1].path == elsewhere["path"]
    assert found.metadata == {"lesson": "l1", "route": "scene", "iteration": 2}


def test_a_format_that_cannot_be_told_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"colour": 1}\n')
    with pytest.raises(OperatorError, match=r"not clear from the first row \(got 'colour'\); .*give --format"):
        detect_format(tmp_path / "a.jsonl")
