"""Writing: what is read from a written file is what was written, whatever the texts hold."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from errata.tools.data.read import read_problems
from errata.tools.data.write import WriteFormat, write_problems
from errata.tools.errors import OperatorError
from errata.tools.records import ImageRef, Problem

NAMES = {"llava": "train.json", "sharegpt": "train.json", "messages": "train.jsonl", "errata": "train.jsonl"}
FORMATS = get_args(WriteFormat)


def picture(folder: Path, colour: str) -> ImageRef:
    file = folder.resolve() / "images" / f"{colour}.png"
    file.parent.mkdir(parents=True, exist_ok=True)
    if not file.is_file():
        Image.new("RGB", (8, 8), colour).save(file)
    return ImageRef(path=str(file), sha256=hashlib.sha256(file.read_bytes()).hexdigest())


letters = st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\ufffd") | st.sampled_from("\n\t ")
words = st.text(letters, min_size=1, max_size=40).map(str.strip).filter(lambda text: text and "<image>" not in text)
awkward = st.sampled_from(
    ["Which?\nA. one\nB. two", "The answer is B.", "A) x B) y", "[image]", "<picture 1>"]
)
texts = words | awkward
choice_texts = texts.map(lambda text: " ".join(text.split())).filter(bool)
plain = st.none() | st.booleans() | st.integers(-(2**40), 2**40) | texts


@st.composite
def problems(draw: st.DrawFn, *, most: int = 3) -> Problem:
    choices = tuple(draw(st.lists(choice_texts, max_size=5, unique=True)))
    choices = choices if len(choices) > 1 else ()
    target = "ABCDE"[draw(st.integers(0, len(choices) - 1))] if choices else draw(texts)
    colours = draw(st.lists(st.sampled_from(["red", "green", "blue"]), max_size=most))
    return Problem(
        id=draw(st.text("abc0#-é", min_size=1, max_size=20)),
        question=draw(texts),
        choices=choices,
        target=target,
        rationale=draw(texts | st.just("")),
        split=draw(st.sampled_from(["pool", "gate"])),
        skills=tuple(draw(st.lists(texts, max_size=2))),
        scoring="choice" if choices else draw(st.sampled_from(["exact", "anls", "relaxed_number"])),
        images=tuple(ImageRef(path=colour, sha256="") for colour in colours),
        metadata=draw(st.dictionaries(words, plain | st.lists(plain, max_size=2), max_size=2)),
    )


several = st.lists(problems(), min_size=1, max_size=4, unique_by=lambda p: p.id)


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(made=several)
def test_what_was_written_is_read_back(tmp_path: Path, name: WriteFormat, made: list[Problem]) -> None:
    """read(write(x)) == x, path and hash of pictures included; splits as they were when read as such."""
    whole = [
        p.model_copy(update={"images": tuple(picture(tmp_path, i.path) for i in p.images), "split": "pool"})
        for p in made
    ]
    file = tmp_path / NAMES[name]
    write_problems(whole, file=file, format=name)
    found, skipped = read_problems(file, split="pool", format=name, max_bad_share=0)
    assert found == whole
    assert not skipped


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(made=several)
def test_a_way_through_all_formats_ends_where_it_began(tmp_path: Path, made: list[Problem]) -> None:
    whole = [
        p.model_copy(update={"images": tuple(picture(tmp_path, i.path) for i in p.images), "split": "pool"})
        for p in made
    ]
    found = whole
    for name in FORMATS:
        file = tmp_path / f"{name}-{NAMES[name]}"
        write_problems(found, file=file, format=name)
        found, _ = read_problems(file, split="pool", format=name, max_bad_share=0)
    assert found == whole


@pytest.mark.parametrize("name", FORMATS)
def test_what_no_reader_would_take_is_not_written(tmp_path: Path, name: WriteFormat) -> None:
    broken = sample(tmp_path).model_copy(update={"id": "q7", "question": "What is in <image>?"})
    file = tmp_path / "out" / NAMES[name]
    with pytest.raises(OperatorError, match=r"problem 'q7' could not be read back: question: holds <image>"):
        write_problems([sample(tmp_path), broken], file=file, format=name)
    assert not file.parent.exists()


def sample(folder: Path) -> Problem:
    return Problem(
        id="q1",
        question="Which colour?",
        choices=("red", "blue"),
        target="A",
        rationale="It looks warm.",
        images=(picture(folder, "red"),),
        skills=("name the colour",),
    )


def test_rows_look_as_other_programs_expect_them(tmp_path: Path) -> None:
    question = (
        "<image>\nWhich colour?\nA. red\nB. blue\n"
        "Think step by step, then answer with the option's letter from the given choices."
    )
    write_problems([sample(tmp_path)], file=tmp_path / "l.json", format="llava")
    (row,) = json.loads((tmp_path / "l.json").read_text())
    assert row["image"] == "images/red.png"
    assert row["conversations"] == [
        {"from": "human", "value": question},
        {"from": "gpt", "value": "It looks warm. The answer is A."},
    ]
    result = write_problems([sample(tmp_path)], file=tmp_path / "s.json", format="sharegpt")
    assert result.info == tmp_path.resolve() / "dataset_info.json"
    info = json.loads((tmp_path / "dataset_info.json").read_text())
    assert info == {
        "s": {
            "file_name": "s.json",
            "formatting": "sharegpt",
            "columns": {"messages": "conversations", "images": "images"},
        }
    }
    (row,) = json.loads((tmp_path / "s.json").read_text())
    assert row["images"] == ["images/red.png"]
    write_problems([sample(tmp_path)], file=tmp_path / "m.jsonl", format="messages")
    (row,) = map(json.loads, (tmp_path / "m.jsonl").read_text().splitlines())
    assert row["messages"][0]["content"][0] == {"type": "image"}
    assert row["messages"][0]["content"][1]["text"] == question.removeprefix("<image>\n")


def test_the_register_keeps_other_entries_and_a_broken_one_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "dataset_info.json").write_text('{"mine": {"file_name": "x.json"}}')
    write_problems([sample(tmp_path)], file=tmp_path / "s.json", format="sharegpt")
    assert list(json.loads((tmp_path / "dataset_info.json").read_text())) == ["mine", "s"]
    (tmp_path / "dataset_info.json").write_text("{")
    with pytest.raises(OperatorError, match=r"dataset_info.json: not JSON; mend it"):
        write_problems([sample(tmp_path)], file=tmp_path / "s.json", format="sharegpt")


@pytest.mark.parametrize("name", FORMATS)
def test_pictures_from_elsewhere_are_copied_once_by_content(tmp_path: Path, name: WriteFormat) -> None:
    first, twin = sample(tmp_path / "a"), sample(tmp_path / "b").model_copy(update={"id": "q2"})
    file = tmp_path / "out" / NAMES[name]
    result = write_problems([first, twin], file=file, format=name)
    assert (result.rows, result.copied) == (2, 1)
    found, _ = read_problems(file, split="pool", format=name)
    assert [p.images[0].sha256 for p in found] == [first.images[0].sha256] * 2
    assert Path(found[0].images[0].path).parent == (tmp_path / "out" / "images").resolve()


@pytest.mark.parametrize("name", ["llava", "sharegpt", "messages"])
def test_a_changed_conversation_is_not_overruled_in_silence(tmp_path: Path, name: WriteFormat) -> None:
    file = tmp_path / NAMES[name]
    write_problems([sample(tmp_path)], file=file, format=name)
    file.write_text(file.read_text().replace("The answer is A.", "The answer is B."))
    with pytest.raises(OperatorError, match="'errata': does not say what the conversation says"):
        read_problems(file, split="pool", format=name, max_bad_share=0)


@pytest.mark.parametrize("name", ["llava", "sharegpt", "messages"])
def test_without_the_carried_field_question_choices_and_answer_are_still_found(
    tmp_path: Path, name: WriteFormat
) -> None:
    file = tmp_path / NAMES[name]
    write_problems([sample(tmp_path)], file=file, format=name)
    rows = [json.loads(line) for line in file.read_text().splitlines()] if name == "messages" else json.loads(
        file.read_text()
    )
    stripped: list[dict[str, Any]] = [{k: v for k, v in row.items() if k != "errata"} for row in rows]
    file.write_text("\n".join(map(json.dumps, stripped)) if name == "messages" else json.dumps(stripped))
    (found,), _ = read_problems(file, split="pool", format=name, max_bad_share=0)
    expected = sample(tmp_path).model_copy(update={"skills": ()})
    assert found == expected


def test_a_full_or_forbidden_folder_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OperatorError, match="cannot be written"):
        write_problems([sample(tmp_path)], file=tmp_path / "file" / "x.json", format="llava")
    with pytest.raises(OperatorError, match=r"no such format to write \(got 'csv'\)"):
        write_problems([sample(tmp_path)], file=tmp_path / "x.csv", format="csv")  # type: ignore[arg-type]
