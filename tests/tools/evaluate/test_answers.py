import gzip
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from errata.tools.evaluate.answers import parse_answer, parse_free_answer
from errata.tools.evaluate.score import make_attempt
from errata.tools.records import Problem
from errata.tools.thought import holds_thought_mark, opened_thought, part_thought

FIVE = tuple("ABCDE")
PROBLEM = Problem(id="p", question="Do they attract or repel?", choices=("attract", "repel"), target="B")
FOLLOWERS = ("because", "since", "as", "and", "so", "which", "given", "due", "for")
CASES = [
    ("The final answer is option A", "A"),
    ("The answer is (A", "A"),
    ("**Answer:** B", "B"),
    ("answer is:\nB", "B"),
    ("\\boxed{C}", "C"),
    ("The answer is $\\boxed{\\text{D}}$.", "D"),
    ("The answer is A. Wait, the answer is B.", "B"),
    ("The answer is not (A)", None),
    ("The answer is A/B/C/D/E", None),
    ("The answer is B.", "B"),
    ("The answer is (C) red.", "C"),
    ("answer is the option A", "A"),
    ("choose the answer, A", "A"),
    ("A is the correct answer", "A"),
    ("Option B is correct.", "B"),
    ("The correct option is D.", "D"),
    ("Final answer **B**", "B"),
    ("### Answer\nB", "B"),
    ("I would choose C.", "C"),
    ("answer: b", "B"),
    ("B", "B"),
    ("(B)", "B"),
    ("B. red", "B"),
    ("It is red.\nB.", "B"),
    ("Answer: the magnets", None),
    ("The answer is T", None),
    ("The answer is a magnet.", None),
    ("The answer is A magnet.", None),
    ("The answer is a Magnet.", None),
    *((f"The answer is A {word} it is red.", "A") for word in FOLLOWERS),
    ("The answer is A-frame", None),
    ("The answer is A's", None),
    ("The answer is B or C.", None),
    ("The answer is A and B.", None),
    ("The answer is A, B, and C.", None),
    ("A or B is the correct answer.", None),
    ("Neither A is the correct answer.", None),
    ("The answer isn't A.", None),
    ("I do not think the answer is A.", None),
    ("It is not solid, so the answer is B.", "B"),
    ("The answer is B, not A.", "B"),
    ("The answer is B. No, the answer is not A.", "B"),
    ("Don't choose C.", None),
    ("Vitamin C is the best.", None),
    ("The final answer should be the option's letter from the given choices.", None),
    ("The magnets attract.", None),
    ("", None),
]


@pytest.mark.parametrize(("response", "answer"), CASES)
def test_letters(response: str, answer: str | None) -> None:
    assert parse_answer(response, letters=FIVE).answer == answer


def test_only_letters_of_this_sample_are_answers() -> None:
    assert parse_answer("The answer is C.", letters=("A", "B")).answer is None
    assert parse_answer("The answer is A. The answer is C.", letters=("A", "B")).answer == "A"


@pytest.mark.parametrize(
    ("response", "start"),
    [
        ("The cell is red. So the answer is B. Bye.", 17),
        ("The cell is red.\n**Answer:** B", 17),
        ("The answer is B. Let me check. The answer is B.", 0),
        ("The answer is A. Wait, the answer is B.", 17),
        ("The cell is red.", None),
    ],
)
def test_the_answer_starts_at_the_first_sentence_that_states_it(response: str, start: int | None) -> None:
    assert parse_answer(response, letters=FIVE).start == start


def test_the_papers_table_reads_what_it_reads() -> None:
    twenty = tuple("ABCDEFGHIJKLMNOPQRST")
    assert parse_answer("Answer: the magnets", letters=twenty, mode="table10").answer == "T"
    assert parse_answer("The final answer is option A", letters=FIVE, mode="table10").answer is None
    assert parse_answer("The answer is A. Wait, the answer is B.", letters=FIVE, mode="table10").answer == "A"
    assert parse_answer("So the answer is (C", letters=FIVE, mode="table10").answer == "C"


@pytest.mark.parametrize(
    ("response", "answer", "start"),
    [
        ("Two cells. The answer is red.", "red", 11),
        ("The answer is 3.5.", "3.5", 0),
        ("The answer is 3. So we stop.", "3", 0),
        ("The answer is:\nred\nThat is all.", "red", 0),
        ("Answer: a magnet", "a magnet", 0),
        ("The answer is **two cats**. They sleep.", "two cats", 0),
        ("so \\boxed{12}", "12", 0),
        ("The answer is red. Wait, the answer is blue.", "blue", 19),
        ("The answer is not red.", None, None),
        ("I do not think the answer is red.", None, None),
        ("The answer is .", None, None),
        ("blue", "blue", 0),
        ("the cell at the top is", None, None),
        ("", None, None),
    ],
)
def test_free_form(response: str, answer: str | None, start: int | None) -> None:
    assert parse_free_answer(response)[:2] == (answer, start)


RESPONSES = [
    json.loads(line) for line in (Path(__file__).parent / "responses.jsonl").read_text(encoding="utf-8").splitlines()
]
"""Responses in the manner of current models, by family; their forms are those of model cards and issue threads."""


def test_the_set_is_as_large_as_it_claims() -> None:
    assert len(RESPONSES) >= 200
    assert len({row["family"] for row in RESPONSES}) >= 12


@pytest.mark.parametrize("row", RESPONSES, ids=lambda row: f"{row['family']}-{row['response'][:30]!r}")
def test_responses_as_models_write_them(row: dict) -> None:
    letters = tuple("ABCDEFGH"[: len(row["choices"])])
    parsed = parse_answer(row["response"], letters=letters, choices=row["choices"])
    assert parsed.answer == row["answer"]
    assert parsed.start is None or 0 <= parsed.start < len(row["response"])


def test_the_thought_is_the_rationale_and_what_is_said_the_answer() -> None:
    response = "<think>Both are north. So A? No.</think>\n\nThe poles are alike. The answer is B."
    parsed = parse_answer(response, letters=("A", "B"))
    assert parsed.rationale(response) == "Both are north. So A? No."
    assert response[parsed.start :] == "The answer is B."
    attempt = make_attempt(PROBLEM, response, checkpoint="c")
    assert attempt.steps == ("Both are north. ", "So A? No.")
    assert attempt.answer == "B"


def test_a_response_cut_inside_its_thought_is_unfinished() -> None:
    parsed = parse_answer("<think>The answer is A. But", letters=("A", "B"), choices=("attract", "repel"))
    assert (parsed.answer, parsed.finished, parsed.thought) == (None, False, "The answer is A. But")
    assert parse_free_answer("<think>The answer is red. But") == (None, None, "The answer is red. But", False)
    assert make_attempt(PROBLEM, "<think>The answer is B.", checkpoint="c").format_error


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        ("<think>The answer is 3.</think>The answer is 4.", "4"),
        ("<think>3</think><answer>two cats</answer>", "two cats"),
        ("<answer>The answer is 12.</answer>", "12"),
        ("Count them. <|begin_of_box|>7<|end_of_box|>", "7"),
        ("analysisThree? No.assistantfinal4", "4"),
    ],
)
def test_free_form_behind_a_thought(response: str, answer: str) -> None:
    assert parse_free_answer(response).answer == answer


@given(st.text(alphabet="<>/thinkABanswer[]| \n.", max_size=60))
def test_thoughts_never_reach_behind_the_text(response: str) -> None:
    parted = part_thought(response)
    assert 0 <= parted.said_from <= len(response)
    assert parted.finished or parted.said_from == len(response)


def test_a_mark_that_opens_behind_the_answer_takes_nothing_away() -> None:
    assert parse_answer("The answer is B.<think>", letters=("A", "B")).answer == "B"
    assert not part_thought("The answer is B.<think> or").finished


def test_what_a_prompt_opens_is_known() -> None:
    assert opened_thought("<|im_start|>assistant\n<think>\n") == "<think>"
    assert opened_thought("<|im_start|>assistant\n<think>\n\n</think>\n\n") == ""
    assert opened_thought("ASSISTANT:") == ""
    assert holds_thought_mark(["<s>", "[THINK]"])
    assert holds_thought_mark(["<|channel|>"])
    assert not holds_thought_mark(["<s>", "<image>"])


@given(st.text(alphabet="ABab answeris:().\n*not/the-'", max_size=80))
def test_any_text_gives_one_of_the_letters_or_nothing(response: str) -> None:
    parsed = parse_answer(response, letters=("A", "B"))
    assert parsed.answer in ("A", "B", None)
    assert (parsed.start is None) == (parsed.answer is None)
    assert parsed.start is None or 0 <= parsed.start < len(response)


@pytest.mark.skipif("ERRATA_DATA" not in os.environ, reason="ERRATA_DATA names no folder with datasets")
def test_real_responses_are_read_as_their_authors_read_them() -> None:
    folder = Path(os.environ["ERRATA_DATA"]) / "scienceqa"
    choices = {}
    for line in (folder / "test.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        choices[row["id"]] = len(row["choices"])
    same = total = 0
    with gzip.open(folder / "model_cot_traces_test.jsonl.gz", "rt", encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            letters = tuple("ABCDEFGH"[: choices[row["qid"]]])
            if row["output"] and 0 <= row["pred"] < len(letters):
                total += 1
                same += parse_answer(row["output"], letters=letters).answer == letters[row["pred"]]
    assert total > 12_000
    assert same >= 0.999 * total
