"""docs/formats.md: each set of its table is read as the page says, from a row of its shape (written by us)."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from errata.agent.cli.main import main
from errata.tools.data.read import SourceOptions, scan_rows
from errata.tools.data.read.detect import detect_format

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "formats.md").read_text(encoding="utf-8")
RED = "images/red.png"
SETS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "MMMU": (
        {
            "id": "validation_Art_1", "question": "<image 1> Which style is it, compared with <image 2>?",
            "options": "['Gothic', \"the painter's own\", 'Baroque']", "answer": "B",
            "question_type": "multiple-choice", "image_1": RED, "image_2": RED, "image_3": None, "image_4": None,
        },
        {"question": "image 1 Which style is it, compared with image 2?", "target": "B", "pictures": 2,
         "choices": ("Gothic", "the painter's own", "Baroque")},
    ),
    "MMMU (open)": (
        {"question": "<image 1> How many volts?", "options": "[]", "answer": "['5', '5.0']", "image_1": RED},
        {"question": "How many volts?", "target": "5", "choices": (), "answers": ["5", "5.0"]},
    ),
    "MMMU-Pro": (
        {"question": "See <image 1>. Which one?", "options": str([f"option {i}" for i in range(10)]), "answer": "J",
         "image_1": RED},
        {"question": "See image 1. Which one?", "target": "J"},
    ),
    "ScienceQA": (
        {"image": RED, "question": "Which colour?", "choices": ["blue", "red"], "answer": 1, "hint": "Look.",
         "solution": "It is red.", "lecture": "Colours.", "skill": "Name a colour"},
        {"question": "Look.\nWhich colour?", "target": "B", "rationale": "It is red.", "skills": ("Name a colour",)},
    ),
    "AI2D": (
        {"question": "Which part is shown?", "options": ["leaf", "root", "stem", "bud"], "answer": "2", "image": RED},
        {"target": "C"},
    ),
    "MMStar": (
        {"index": 0, "question": "Which is it?\nOptions: A: a red square, B: a dog, C: a cat, D: none", "answer": "A",
         "image": RED},
        {"question": "Which is it?", "target": "A", "choices": ("a red square", "a dog", "a cat", "none")},
    ),
    "MMBench": (
        {"index": 1, "question": "Which?", "hint": "nan", "A": "red", "B": "blue", "C": None, "D": None, "answer": "A",
         "image": RED},
        {"target": "A", "choices": ("red", "blue")},
    ),
    "SEED-Bench": (
        {"question": "Which?", "choice_a": "red", "choice_b": "blue", "choice_c": "pink", "choice_d": "grey",
         "answer": "A", "image": RED},
        {"target": "A", "choices": ("red", "blue", "pink", "grey")},
    ),
    "A-OKVQA": (
        {"question_id": "q", "question": "Which?", "choices": ["red", "blue"], "correct_choice_idx": 0, "image": RED,
         "direct_answers": ["red"], "rationales": ["It is red.", "Red it is."]},
        {"id": "q", "target": "A", "rationale": "It is red."},
    ),
    "MathVista": (
        {"pid": "1", "question": "What is x?", "choices": ["3", "5"], "answer": "5", "image": "images/1.jpg",
         "decoded_image": RED},
        {"target": "B"},
    ),
    "MathVision": (
        {"id": "4", "question": "Which piece fits?\n<image1>", "options": ["A", "B", "C"], "answer": "C",
         "image": "images/4.jpg", "decoded_image": RED},
        {"question": "Which piece fits?", "target": "C"},
    ),
    "MathVerse": (
        {"question": "Find the angle.\nChoices:\nA:20°\nB:40°\nC:60°\nD:80°", "answer": "B", "image": RED},
        {"question": "Find the angle.", "target": "B", "choices": ("20°", "40°", "60°", "80°")},
    ),
    "BLINK": (
        {"idx": "val_1", "question": "Which is closer?", "choices": ["the first", "the second"], "answer": "(B)",
         "image_1": RED, "image_2": RED, "image_3": None, "image_4": None},
        {"target": "B", "pictures": 2},
    ),
    "RealWorldQA": (
        {"question": "Which is it?\n\nA. red\nB. blue\nPlease answer directly with only the letter of the option.",
         "answer": "A", "image": RED},
        {"question": "Which is it?", "target": "A", "choices": ("red", "blue")},
    ),
    "M3CoT": (
        {"id": "m-1", "question": "Which?", "choices": ["red", "blue"], "answer": "A", "rationale": "It is red.",
         "image": RED},
        {"target": "A", "rationale": "It is red."},
    ),
    "ChartQA": ({"query": "How much?", "label": ["14"], "image": RED}, {"target": "14", "choices": ()}),
    "DocVQA": (
        {"question": "Which date?", "answers": ["1 May", "May 1"], "image": RED},
        {"target": "1 May", "answers": ["1 May", "May 1"], "scoring": "exact"},
    ),
    "TextVQA": (
        {"question": "Which brand?", "answers": ["acme"] * 7 + ["acne"] * 3, "image": RED},
        {"target": "acme", "scoring": "vqa_soft"},
    ),
    "VQAv2": (
        {"question": "Which colour?", "multiple_choice_answer": "red", "image": RED,
         "answers": [{"answer": "red", "answer_id": i, "answer_confidence": "yes"} for i in range(10)]},
        {"target": "red", "scoring": "vqa_soft"},
    ),
    "GQA": (
        {"question": "Is it red?", "answer": "yes", "fullAnswer": "Yes, it is red.", "image": RED},
        {"target": "yes"},
    ),
    "POPE": ({"question_id": 3, "question": "Is there a dog?", "answer": "no", "image": RED}, {"target": "no"}),
    "MM-Vet": ({"question": "What is x?", "answer": "-1<AND>-5", "image": RED}, {"target": "-1<AND>-5"}),
    "LLaVA-Instruct": (
        {"id": "1", "image": RED, "conversations": [
            {"from": "human", "value": "<image>\nWhich colour?"}, {"from": "gpt", "value": "red"}]},
        {"question": "Which colour?", "target": "red"},
    ),
    "Qwen-VL": (
        {"id": "1", "conversations": [
            {"from": "user", "value": f"Picture 1: <img>{RED}</img>\nWhich colour?"},
            {"from": "assistant", "value": "red"}]},
        {"question": "Picture 1: image 1\nWhich colour?", "target": "red"},
    ),
    "The Cauldron": (
        {"images": [RED], "texts": [
            {"user": "Which colour?\nA. red\nB. blue", "assistant": "Answer: A", "source": "made"}]},
        {"question": "Which colour?", "target": "A", "choices": ("red", "blue")},
    ),
    "Geometry3K": (
        {"images": [RED], "problem": "<image>Find x.", "answer": "3"},
        {"question": "Find x.", "target": "3"},
    ),
    "multimodal-open-r1": (
        {"image": RED, "problem": "Which?\nA. red\nB. blue",
         "solution": "<think>It is red, so A? Yes.</think>\n<answer>A</answer>"},
        {"question": "Which?", "target": "A", "rationale": "It is red, so A? Yes."},
    ),
    "R1 conversations": (
        {"messages": [{"role": "user", "content": "<image>Which colour?"},
                      {"role": "assistant", "content": "<think>It looks red.</think><answer>red</answer>"}],
         "images": [RED]},
        {"question": "Which colour?", "target": "red", "rationale": "It looks red."},
    ),
}  # fmt: skip


def make_picture(folder: Path) -> None:
    (folder / "images").mkdir()
    Image.new("RGB", (8, 8), "red").save(folder / RED)


def read_one(folder: Path, row: dict[str, Any], *, name: str = "rows.jsonl") -> Any:
    """The only problem of a file with this row, by the format that is guessed; its error where it has one."""
    (folder / name).write_text(json.dumps(row) + "\n", encoding="utf-8")
    (verdict,) = scan_rows(folder / name, format=detect_format(folder / name).format, options=SourceOptions())
    return verdict.problems[0] if verdict.problems else verdict.error


@pytest.mark.parametrize("name", SETS)
def test_a_set_is_read_as_the_page_says(tmp_path: Path, name: str) -> None:
    make_picture(tmp_path)
    row, expected = SETS[name]
    problem = read_one(tmp_path, row)
    told = {**problem.model_dump(), "pictures": len(problem.images), "answers": problem.metadata.get("answers")}
    assert {field: told[field] for field in expected} == expected
    assert problem.images


def test_the_page_has_a_row_for_each_set() -> None:
    assert re.findall(r"^\| ([^|]+?) \| ", PAGE, re.MULTILINE)[2:] == list(SETS)


@pytest.mark.parametrize(
    ("answer", "target"),
    [("(A)", "A"), ("A.", "A"), ("A)", "A"), ("A) red", "A"), ("(b) blue", "B"), ("B: blue", "B"), ("Red", "A")],
)
def test_letters_with_marks(tmp_path: Path, answer: str, target: str) -> None:
    assert read_one(tmp_path, {"question": "Which?", "choices": ["red", "blue"], "answer": answer}).target == target


def test_a_letter_that_disagrees_with_its_text_is_an_error(tmp_path: Path) -> None:
    found = read_one(tmp_path, {"question": "Which?", "choices": ["red", "blue"], "answer": "A) blue"})
    assert "the letter and the text behind it disagree with choice 1" in str(found)


@pytest.mark.parametrize(
    "question",
    [
        "Which? (A) red (B) blue (C) pink",
        "Which? A) red B) blue C) pink",
        "Which? A. red, B. blue, C. pink",
        "Which?\n(A) red\n(B) blue\n(C) pink\nAnswer with the letter.",
        "Which? Choices: A: red; B: blue; C: pink",
    ],
)
def test_options_inside_the_question(tmp_path: Path, question: str) -> None:
    problem = read_one(tmp_path, {"question": question, "answer": "C"})
    assert (problem.question, problem.choices, problem.target) == ("Which?", ("red", "blue", "pink"), "C")


def test_options_that_cannot_be_told_apart_are_no_free_text(tmp_path: Path) -> None:
    found = read_one(tmp_path, {"question": "Which? (A) red (B) red", "answer": "A"})
    assert "holds options that cannot be told apart" in str(found)


def test_a_question_with_letters_in_it_stays_free(tmp_path: Path) -> None:
    problem = read_one(tmp_path, {"question": "Do vitamins A. and B. help? Why?", "answer": "they do"})
    assert (problem.choices, problem.target) == ((), "they do")


def test_a_bare_base64_is_a_picture(tmp_path: Path) -> None:
    make_picture(tmp_path)
    text = base64.b64encode((tmp_path / RED).read_bytes()).decode()
    assert len(read_one(tmp_path, {"question": "Which?", "answer": "red", "image": text}).images) == 1


def test_backslashes_of_a_relative_path(tmp_path: Path) -> None:
    make_picture(tmp_path)
    problem = read_one(tmp_path, {"question": "Which?", "answer": "red", "image": "images\\red.png"})
    assert problem.images[0].path == str(tmp_path / RED)
    outside = read_one(tmp_path, {"question": "Which?", "answer": "red", "image": "..\\red.png"})
    assert "path leaves the data folder" in str(outside)


def test_a_thought_without_an_answer_is_an_error(tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "Which?"}, {"role": "assistant", "content": "<think>It looks red."}]
    assert "a thought without an answer behind it" in str(read_one(tmp_path, {"messages": turns}))


def test_numpy_arrays_as_text(tmp_path: Path) -> None:
    problem = read_one(tmp_path, {"question": "Which?", "options": "['red' 'dark blue']", "answer": "B"})
    assert problem.choices == ("red", "dark blue")


def test_a_picture_that_the_text_names_and_the_row_lacks(tmp_path: Path) -> None:
    make_picture(tmp_path)
    row = {"question": "<image 1> or <image 3>?", "options": "['a', 'b']", "answer": "A", "image_1": RED}
    assert "<image 3> for 1 pictures" in str(read_one(tmp_path, row))


def test_check_says_what_a_format_was_guessed_by(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps({"question": "Which?", "reply": str(i)}) + "\n" for i in range(9)))
    assert main(["data", "check", str(file)]) == 2
    said = capsys.readouterr().out
    assert "the format table was guessed by the column question" in said
    assert "nearly all rows fail under it: name another with --format, or the columns with --field" in said
    assert main(["data", "check", str(file), "--json"]) == 2
    told = json.loads(capsys.readouterr().out)
    assert (told["guessed_by"], told["doubtful"]) == ("the column question", True)
    file.write_text(json.dumps({"question": "Which?", "answer": "red"}) + "\n")
    assert main(["data", "check", str(file)]) == 0
    assert "nearly all" not in capsys.readouterr().out
