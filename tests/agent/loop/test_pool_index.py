"""Required skills of the pool in a run: from whom, of which samples, kept where, and never above the cap."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from errata.agent.loop.driver import resume_loop, run_loop
from errata.agent.loop.parts import Parts
from errata.agent.run.folder import RunFolder
from errata.agent.settings.tree import Settings
from errata.tools.errors import OperatorError, StopRequested
from errata.tools.records import Lesson
from errata.tools.skills.store import SkillStore
from tests.agent.loop_fakes import (
    ScriptedTeacher,
    StoppingReporter,
    TableStudent,
    make_settings,
    read_everything,
    write_data,
)

LAZY = {"tag": "candidates", "candidates": 4}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_data(tmp_path / "data")
    return tmp_path / "data"


def settings_for(data: Path, **changes: object) -> Settings:
    return make_settings(data, base=data.parent / "student", **changes)


def run(settings: Settings, folder: Path, *, teacher: ScriptedTeacher | None = None) -> RunFolder:
    made = RunFolder(folder)
    run_loop(settings, folder=made, parts=Parts(student=TableStudent(), teacher=teacher or ScriptedTeacher()))
    return made


def tagged(teacher: ScriptedTeacher) -> list[str]:
    return [key for key in teacher.asked if key.endswith("/required")]


def test_candidates_alone_are_tagged_once_and_found(data: Path, tmp_path: Path) -> None:
    teacher = ScriptedTeacher()
    folder = run(settings_for(data, skills=LAZY), tmp_path / "t-1", teacher=teacher)
    asked = tagged(teacher)
    assert 0 < len(asked) < 160
    assert max(teacher.asked[key] for key in asked) == 1
    lessons = folder.read_records("lessons.jsonl", Lesson)
    assert lessons
    assert {f"{lesson.problem.id}/required" for lesson in lessons} <= set(asked)
    assert all(lesson.skill.startswith(lesson.problem.skills[0]) for lesson in lessons)
    assert sum(e["asked"] for e in folder.ledger() if e["stage"] == "index" and e.get("asked")) == len(asked)


def test_a_stopped_lazy_run_goes_on_to_the_same_records(data: Path, tmp_path: Path) -> None:
    settings = settings_for(data, skills=LAZY)
    whole = run(settings, tmp_path / "whole-1")
    folder, teacher = RunFolder(tmp_path / "cut-1"), ScriptedTeacher()
    parts = Parts(student=TableStudent(), teacher=teacher)
    with pytest.raises(StopRequested):
        run_loop(settings, folder=folder, parts=parts, reporter=StoppingReporter(folder, stage="investigate", number=1))
    resume_loop(folder, parts=parts)
    assert read_everything(folder) == read_everything(whole)
    assert max(teacher.asked[key] for key in tagged(teacher)) == 1


def test_the_paper_s_control_finds_lazily_too(data: Path, tmp_path: Path) -> None:
    folder = run(settings_for(data, skills=LAZY, control="uniform"), tmp_path / "t-1")
    assert folder.read_records("lessons.jsonl", Lesson)


def test_lazy_tagging_stays_below_its_cap(data: Path, tmp_path: Path) -> None:
    teacher = ScriptedTeacher()
    folder = run(settings_for(data, skills=LAZY, budget={"index_calls": 9}), tmp_path / "t-1", teacher=teacher)
    assert len(tagged(teacher)) <= 9
    told = (folder.path / "decisions.jsonl").read_text()
    assert "refused: budget.index_calls: " in told


def test_a_cap_below_the_pool_is_said_before_anything_is_asked(data: Path, tmp_path: Path) -> None:
    teacher = ScriptedTeacher()
    with pytest.raises(OperatorError, match=r"budget\.index_calls: 160 samples .* 100 .*skills\.tag=candidates"):
        run(settings_for(data, budget={"index_calls": 100}), tmp_path / "t-1", teacher=teacher)
    assert tagged(teacher) == []


def test_annotations_ask_nobody(data: Path, tmp_path: Path) -> None:
    teacher = ScriptedTeacher()
    folder = run(settings_for(data, skills={"source": "annotations"}), tmp_path / "t-1", teacher=teacher)
    assert tagged(teacher) == []
    assert folder.read_records("lessons.jsonl", Lesson)


def test_annotations_that_are_not_there_are_one_line(data: Path, tmp_path: Path) -> None:
    rows = [json.loads(line) for line in (data / "pool.jsonl").read_text().splitlines()]
    (data / "pool.jsonl").write_text("".join(json.dumps({**row, "skills": []}) + "\n" for row in rows))
    with pytest.raises(OperatorError, match=r"^skills\.source: no sample of the pool has a skill .*'annotations'"):
        run(settings_for(data, skills={"source": "annotations"}), tmp_path / "t-1")


def test_runs_share_a_store(data: Path, tmp_path: Path) -> None:
    settings = settings_for(data, skills={"store": str(tmp_path / "skills"), "source": "both"})
    first, second = ScriptedTeacher(), ScriptedTeacher()
    one = run(settings, tmp_path / "t-1", teacher=first)
    other = run(settings, tmp_path / "t-2", teacher=second)
    assert (len(tagged(first)), len(tagged(second))) == (160, 0)
    assert read_everything(one) == read_everything(other)
    with SkillStore(tmp_path / "skills") as store:
        assert len(store) == 160


def test_lazy_goes_with_bm25_and_a_teacher() -> None:
    tree = {"data": {"world": {}}, "student": {"base": "x"}}
    with pytest.raises(ValueError, match=r"set skills\.tag=all"):
        Settings.model_validate({**tree, "skills": {**LAZY, "source": "annotations"}})
    with pytest.raises(ValueError, match=r"set retrieve\.mode=bm25"):
        Settings.model_validate(
            {**tree, "skills": LAZY, "retrieve": {"mode": "dense", "embedding": "hashing"}}
        )
