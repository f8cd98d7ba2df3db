"""The shipped student through the whole real loop, in a small world: nothing is faked here."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from errata.agent.run.folder import RunFolder
from errata.agent.run.teacher.split_guard import find_test_leaks
from errata.tools.records import Lesson, Problem, from_jsonl

ROOT = Path(__file__).parent.parent
KEYS = {
    "run",
    "gate_before",
    "gate_after",
    "test_before",
    "test_after",
    "accepted",
    "samples",
    "seconds",
    "stop_reason",
}


def errata(*words):
    return subprocess.run(
        [sys.executable, "-m", "errata.agent", *map(str, words)], cwd=ROOT, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    runs = tmp_path_factory.mktemp("runs")
    done = errata(
        "demo", "--json", "--runs-dir", runs, "data.world.sizes={pool: 500, diagnosis: 60, gate: 30, test: 30}",
        "train.epochs=1",
        "train.processes=1", "budget.iterations=1", "budget.iteration.samples=60", "gate.min_gain=0.9",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return runs, json.loads(done.stdout.strip().splitlines()[-1])


def read_test_problems(runs):
    world = next((runs / ".worlds").glob("*/test.jsonl"))
    return {p.id: p for p in from_jsonl(world.read_text(encoding="utf-8"), Problem)}


def test_the_last_line_is_the_promised_object(demo):
    _, result = demo
    assert set(result) >= KEYS
    assert result["stop_reason"] == "iteration_limit"
    assert 0 < result["samples"] <= 60
    assert result["accepted"] == 0  # nobody gains 90 points
    assert result["test_before"] == result["test_after"]


def test_no_test_problem_was_shown_to_the_teacher_or_is_in_a_decision(demo):
    runs, result = demo
    problems = read_test_problems(runs)
    assert len(problems) == 30
    folder = RunFolder(runs / result["run"])
    assert find_test_leaks(folder, problems) == []
    assert not {lesson.problem.id for lesson in folder.read_records("lessons.jsonl", Lesson)} & set(problems)


def test_every_lesson_names_its_parents_and_can_be_shown(demo):
    runs, result = demo
    folder = RunFolder(runs / result["run"])
    lessons = folder.read_records("lessons.jsonl", Lesson)
    assert {lesson.route for lesson in lessons} == {"bm25", "scene"}
    assert all(lesson.parents for lesson in lessons)
    shown = errata("show", result["run"], lessons[0].id, "--runs-dir", runs, "--json")
    assert shown.returncode == 0
    assert lessons[0].parents[0] in shown.stdout


def test_the_report_needs_nothing_from_outside(demo):
    runs, result = demo
    page = (runs / result["run"] / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", page)
    assert "data:image/png;base64," in page


def test_plain_output_is_short_and_names_every_batch_and_tool(tmp_path):
    done = errata(
        "demo", "--runs-dir", tmp_path, "data.world.sizes={pool: 500, diagnosis: 60, gate: 30, test: 30}",
        "train.epochs=1", "train.processes=1", "budget.iterations=1", "budget.iteration.samples=60",
        "decide.batch_errors=20",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = (done.stderr + done.stdout).splitlines()
    assert len(lines) <= 40
    batches = {m.group(1) for line in lines if (m := re.match(r"\[1\] batch (1-\d),", line))}
    assert len(batches) >= 2
    for batch in batches:
        tools = [line.split(", ")[1].split(":")[0] for line in lines if line.startswith(f"[1] batch {batch},")]
        assert tools == ["locate_mistakes", "tag_skills", "retrieve_samples", "synthesize_samples"]
    assert lines[-1].startswith("more:     errata show demo-1 ")
    decisions = errata("show", "demo-1", "decisions", "--runs-dir", tmp_path, "--json")
    assert len(json.loads(decisions.stdout)) > len(lines)


def test_a_finished_run_resumes_to_the_same_result(demo):
    runs, result = demo
    before = {p: p.read_bytes() for p in (runs / result["run"]).glob("*.jsonl") if p.stem not in ("events", "ledger")}
    again = errata("resume", result["run"], "--runs-dir", runs, "--json")
    assert again.returncode in (0, 2)
    assert {p: p.read_bytes() for p in before} == before
    assert os.path.exists(runs / result["run"] / "result.json")
