"""Marks of pictures in texts: Qwen-VL's are read, all others without a picture are an error that names them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from errata.tools.data.marks import find_unread, read_tagged
from errata.tools.data.read import read_problems
from errata.tools.errors import OperatorError

MARKS = (
    "<img src='a.png'>",
    '<img src="a.png" alt="x"/>',
    "<image 1>",
    "<image_2>",
    "<image1>",
    "<|image|>",
    "<|image_1|>",
    "<|image_pad|>",
    "<|vision_start|><|image_pad|><|vision_end|>",
    "<image_placeholder>",
    "<ImageHere>",
    "<start_of_image>",
    "<IMG_CONTEXT>",
    "![a picture](images/a.png)",
    "![](a.png)",
    "[IMG]",
)


def llava(folder: Path, text: str, **more: Any) -> Path:
    """One LLaVA row."""
    turns = [{"from": "human", "value": text}, {"from": "gpt", "value": "red"}]
    (folder / "rows.json").write_text(json.dumps([{"id": "a", "conversations": turns, **more}]))
    return folder / "rows.json"


@pytest.mark.parametrize("mark", MARKS)
def test_a_mark_without_a_picture_is_an_error_that_names_it(mark: str, tmp_path: Path) -> None:
    with pytest.raises(OperatorError) as error:
        read_problems(llava(tmp_path, f"{mark} Which colour?"), split="pool", format="llava")
    named = find_unread(mark)
    assert named is not None
    assert f"holds {named}, a mark of a picture, and no picture was read" in str(error.value)
    (tmp_path / "rows.jsonl").write_text(json.dumps({"question": f"Which? {mark}", "answer": "red"}) + "\n")
    with pytest.raises(OperatorError, match="a mark of a picture"):
        read_problems(tmp_path / "rows.jsonl", split="pool", format="table")


@pytest.mark.parametrize("text", ["a < b and c > d", "What is [a](b)?", "image 1 of 2", "x![0]", "the <b>bold</b> one"])
def test_other_texts_are_no_marks(text: str, tmp_path: Path) -> None:
    assert find_unread(text) is None
    assert len(read_problems(llava(tmp_path, text), split="pool", format="llava").problems) == 1


def test_tags_around_a_path_are_read(tmp_path: Path) -> None:
    for name in ("a.png", "b c.png"):
        Image.new("RGB", (8, 8), "red").save(tmp_path / name)
    path = llava(tmp_path, "Picture 1: <img>a.png</img>\nPicture 2: <img> b c.png </img>\nWhich is redder?")
    (problem,) = read_problems(path, split="pool", format="llava").problems
    assert [Path(image.path).name for image in problem.images] == ["a.png", "b c.png"]
    assert problem.question == "Picture 1: image 1\nPicture 2: image 2\nWhich is redder?"
    (tmp_path / "rows.jsonl").write_text(json.dumps({"question": "<img>a.png</img> Which?", "answer": "red"}) + "\n")
    (problem,) = read_problems(tmp_path / "rows.jsonl", split="pool", format="table").problems
    assert [Path(image.path).name for image in problem.images] == ["a.png"]
    assert problem.question == "Which?"


def test_a_tagged_picture_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="no such picture"):
        read_problems(llava(tmp_path, "<img>gone.png</img> Which?"), split="gate", format="llava")


def test_marks_and_tags_keep_their_order() -> None:
    assert read_tagged("<image> and <img>a</img> and <image>") == ("<image> and <image> and <image>", (None, "a", None))
    assert read_tagged("no mark") == ("no mark", ())
