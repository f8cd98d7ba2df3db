"""Why a run ends, and that no budget is passed."""

from __future__ import annotations

from pathlib import Path

import pytest

from errata.agent.loop.parts import Parts
from errata.tools.records import Decision, Lesson, Scorecard
from tests.agent.loop.test_driver import data, run, settings_for
from tests.agent.loop_fakes import (
    ScriptedTeacher,
    TableStudent,
)

__all__ = ["data"]
"""The fixture of the driver's tests."""


@pytest.mark.parametrize(
    ("budget", "needs", "reason"),
    [
        ({"target": 0.5}, None, "target_reached"),
        ({"total": {"samples": 30}}, None, "budget_spent"),
        ({"iterations": 1}, None, "iteration_limit"),
        (
            {},
            dict.fromkeys(("count shapes", "compare sizes", "mirror letters", "name colours"), 0),
            "no_errors",
        ),
        (
            {},
            dict.fromkeys(("count shapes", "compare sizes", "mirror letters", "name colours"), 999),
            "no_gain_twice",
        ),
        ({"total": {"samples": 90, "teacher_calls": 40}}, None, "budget_spent"),
        ({"total": {"samples": 90, "seconds": 0.0001}}, None, "budget_spent"),
    ],
)
def test_stop_reasons(
    budget: dict[str, object], needs: dict[str, int] | None, reason: str, data: Path, tmp_path: Path
) -> None:
    parts = Parts(student=TableStudent(needs=needs), teacher=ScriptedTeacher())
    folder, found = run(settings_for(data, budget=budget), tmp_path / "t-1", parts=parts)
    assert found == reason
    assert folder.read_json("result.json")["stop_reason"] == reason
    assert {c.split for c in folder.read_records("scorecards.jsonl", Scorecard)} == {
        "diagnosis",
        "gate",
        "test",
    }


def test_budgets_are_never_passed(data: Path, tmp_path: Path) -> None:
    caps = {"total": {"samples": 41, "teacher_calls": 150}, "iteration": {"samples": 17, "teacher_calls": 90}}
    folder, _ = run(settings_for(data, budget=caps), tmp_path / "t-1")
    decisions = folder.read_records("decisions.jsonl", Decision)
    lessons = folder.read_records("lessons.jsonl", Lesson)
    for iteration in (1, 2, 3):
        assert sum(d.cost.teacher_calls for d in decisions if d.iteration == iteration) <= 90
        assert sum(lesson.iteration == iteration for lesson in lessons) <= 17
    assert sum(d.cost.teacher_calls for d in decisions) <= 150
    assert len(lessons) <= 41
