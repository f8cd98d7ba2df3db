"""Parser and splitter figures on a handful of traces in the layout of the real files."""

import gzip
import json

import pytest

from benchmarks.traces import COLUMNS, measure, read_mistakes, split_agreement, tell

TRACES = [
    ("m1", "A wooden spoon is no magnet. The nail is iron. The answer is B.", True),
    ("m1", "The answer is A. That is all I know of it.", False),
    ("m2", "", True),
    ("m2", "I cannot tell from what is here.", False),
]
MISTAKES = [
    {"id": "w1", "answer_correct": False, "first_error_index": 1, "gold_answer": "6", "model_answer": "7"},
    {"id": "w2", "answer_correct": False, "first_error_index": None, "gold_answer": "6", "model_answer": "7"},
    {"id": "r1", "answer_correct": True, "first_error_index": 0, "gold_answer": "6", "model_answer": "6"},
]


@pytest.fixture
def data(tmp_path):
    science, mistakes = tmp_path / "scienceqa", tmp_path / "mistakes"
    science.mkdir()
    mistakes.mkdir()
    (science / "test.jsonl").write_text(json.dumps({"id": "q", "choices": ["spoon", "nail"]}) + "\n")
    rows = [{"model": m, "qid": "q", "output": text, "gold": 1, "correct": right} for m, text, right in TRACES]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (science / "model_cot_traces_test.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    steps = {"question": "How many?", "steps": ["Two and three are five.", "Five and one are seven."]}
    (mistakes / "bigbench_mistake.jsonl").write_text("".join(json.dumps(row | steps) + "\n" for row in MISTAKES))
    return tmp_path


def test_shares_are_counted_per_model_and_over_all_outputs(data):
    judged = measure(data, quick=True)["traces"]
    assert judged["all"]["outputs"] == 4
    assert (judged["m1"]["parsed"], judged["m1"]["agreement"]) == (1.0, 1.0)
    assert (judged["m2"]["empty"], judged["m2"]["agreement"], judged["m2"]["agreement_not_empty"]) == (1, 0.5, 1.0)
    assert all(len(summary) + 1 == len(COLUMNS) for summary in judged.values())


def test_only_wrong_traces_with_a_marked_step_are_located(data):
    attempts, problems, gold, left_out = read_mistakes(data)
    assert (list(problems), gold, left_out) == (["w1"], {"w1": 1}, 2)
    assert split_agreement(attempts) == {"alike": 1.0, "more": 0.0, "fewer": 0.0}
    result = measure(data, quick=True)
    methods = result["mistakes"]["methods"]
    assert {sum(found["statuses"].values()) for found in methods.values()} <= {1}
    lines = " ".join(tell(result))
    assert "1 wrong traces with a marked step (2 without one" in lines
    assert "nothing about how well" in lines
