"""Receipts and recorded replies: nothing is paid for twice, and no test problem passes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from errata.agent.run.folder import RunFolder
from errata.agent.run.receipts import Receipts
from errata.agent.run.teacher.recorded import RecordingTeacher
from errata.agent.run.teacher.replies import ReplyStore
from errata.agent.run.teacher.split_guard import TestSplitGuard, TestSplitLeak, find_test_leaks
from errata.tools.errors import BudgetSpent, OperatorError
from errata.tools.records import Problem
from errata.tools.teacher.protocol import MissingSkillRequest, OptionRequest, RequiredSkillsRequest, Teacher
from tests.agent.loop_fakes import ScriptedTeacher, make_row


def problem(split: str, number: int) -> Problem:
    return Problem.model_validate(make_row(split, number))


def ask_skill(split: str, number: int) -> MissingSkillRequest:
    return MissingSkillRequest(problem=problem(split, number), steps=("a", "b"), step=1)


@pytest.fixture
def build(tmp_path: Path) -> Callable[[ScriptedTeacher], RecordingTeacher]:
    def make(teacher: ScriptedTeacher) -> RecordingTeacher:
        folder = RunFolder(tmp_path)
        guard = TestSplitGuard([problem("test", n) for n in range(4)])
        store = ReplyStore(tmp_path / "teacher.sqlite")
        return RecordingTeacher(teacher, store=store, folder=folder, guard=guard, identity="t")

    return make


Build = Callable[[ScriptedTeacher], RecordingTeacher]


def test_it_is_a_teacher_and_asks_each_content_once(build: Build, tmp_path: Path) -> None:
    inner = ScriptedTeacher(lives=3)
    teacher = build(inner)
    assert isinstance(teacher, Teacher)
    first = teacher.missing_skill([ask_skill("diagnosis", n) for n in (0, 1, 0)])
    again = build(inner).missing_skill([ask_skill("diagnosis", n) for n in (1, 0, 2)])
    assert first[0] == first[2] == again[1]
    assert inner.lives == 0
    assert max(inner.asked.values()) == 1
    assert teacher.asked == 3
    entries = RunFolder(tmp_path).ledger()
    assert [(e["asked"], e["paid"]) for e in entries] == [(3, 2), (3, 1)]


def test_the_allowance_is_checked_before_the_call(build: Build) -> None:
    inner = ScriptedTeacher(lives=2)
    teacher = build(inner).scoped("investigate", iteration=1, allowance=2)
    teacher.missing_skill([ask_skill("diagnosis", n) for n in (0, 1)])
    with pytest.raises(BudgetSpent, match="1 teacher calls are needed and 0 are left"):
        teacher.missing_skill([ask_skill("diagnosis", 2)])
    assert inner.lives == 0


def test_no_test_problem_passes_by_id_or_by_content(build: Build) -> None:
    inner = ScriptedTeacher(lives=0)
    teacher = build(inner)
    disguised = problem("test", 1).model_copy(update={"id": "diagnosis-9", "split": "diagnosis"})
    with pytest.raises(TestSplitLeak, match="test-000"):
        teacher.missing_skill([ask_skill("test", 0)])
    with pytest.raises(TestSplitLeak, match="diagnosis-9"):
        teacher.required_skills([RequiredSkillsRequest(problem=disguised)])
    with pytest.raises(TestSplitLeak, match="test-002"):
        teacher.option_probabilities(
            [OptionRequest(problem="test-002", question="q", options=("a", "b"), prior=(), steps=())]
        )


def test_leaks_are_found_in_what_was_asked_and_decided(build: Build, tmp_path: Path) -> None:
    teacher = build(ScriptedTeacher())
    teacher.missing_skill([ask_skill("diagnosis", 0)])
    folder = RunFolder(tmp_path)
    asked = {p.id: p for p in [problem("diagnosis", 0), problem("diagnosis", 1)]}
    assert find_test_leaks(folder, asked) == ["diagnosis-000"]
    (tmp_path / "decisions.jsonl").write_text('{"arguments": {"problems": ["test-003"]}}\n')
    assert find_test_leaks(folder, {"test-003": problem("test", 3)}) == ["test-003"]


def test_a_full_store_is_the_operators_matter(tmp_path: Path) -> None:
    (tmp_path / "teacher.sqlite").mkdir()
    with pytest.raises(OperatorError, match="replies cannot be kept"):
        ReplyStore(tmp_path / "teacher.sqlite")


def test_receipts(tmp_path: Path) -> None:
    receipts = Receipts(RunFolder(tmp_path))
    done: list[int] = []

    def act() -> list[int]:
        done.append(1)
        return done.copy()

    assert receipts.once("tool", ["a", 1], act) == [1]
    assert Receipts(RunFolder(tmp_path)).once("tool", ["a", 1], act) == [1]
    assert receipts.once("tool", ["a", 2], act) == [1, 1]
    assert receipts.once("train", ["a", 1], act) == [1, 1, 1]
    assert receipts.read("tool", ["a", 2]) == [1, 1]
    with pytest.raises(LookupError):
        receipts.read("tool", ["b"])


def test_what_failed_leaves_no_receipt(tmp_path: Path) -> None:
    receipts = Receipts(RunFolder(tmp_path))
    with pytest.raises(ZeroDivisionError):
        receipts.once("tool", "a", lambda: 1 / 0)
    assert receipts.once("tool", "a", lambda: 5) == 5


def test_a_question_put_again_to_be_answered_exactly_counts_once(build: Build) -> None:
    teacher = build(ScriptedTeacher()).scoped("investigate", iteration=1, allowance=1)
    request = OptionRequest(problem="p", question="Which?", options=("a", "b"), prior=(), steps=())
    teacher.option_probabilities([request])
    teacher.option_probabilities([request.model_copy(update={"exact": True})])
    assert (teacher.asked, teacher.left) == (1, 0)
    with pytest.raises(BudgetSpent):
        teacher.option_probabilities([request.model_copy(update={"question": "And which?"})])
