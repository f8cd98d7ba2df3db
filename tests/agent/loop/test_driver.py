"""The whole loop, offline, in seconds."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from errata.agent.loop.driver import resume_loop, run_loop
from errata.agent.loop.parts import Parts
from errata.agent.run.folder import RunFolder
from errata.agent.run.outcome import read_outcome
from errata.agent.run.reporter import Reporter, SilentReporter, Stage, StopReason
from errata.agent.run.teacher.replies import ReplyStore
from errata.agent.run.teacher.split_guard import find_test_leaks
from errata.agent.settings.file import dump_settings
from errata.agent.settings.tree import Settings
from errata.tools.data.firewall import Overlap
from errata.tools.data.read import read_problems
from errata.tools.errors import OperatorError, StopRequested
from errata.tools.records import Checkpoint, Comparison, Decision, Lesson, MissingSkill, Mistake, Scorecard
from tests.agent.loop_fakes import (
    ScriptedTeacher,
    StoppingReporter,
    TableStudent,
    make_settings,
    read_everything,
    write_data,
)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_data(tmp_path / "data")
    return tmp_path / "data"


def settings_for(data: Path, **changes: object) -> Settings:
    return make_settings(data, base=data.parent / "base", **changes)


def run(
    settings: Settings, path: Path, *, parts: Parts | None = None, reporter: Reporter | None = None
) -> tuple[RunFolder, StopReason]:
    folder = RunFolder(path)
    given = parts or Parts(student=TableStudent(), teacher=ScriptedTeacher())
    return folder, run_loop(settings, folder=folder, parts=given, reporter=reporter)


def test_student_gets_better_and_every_record_has_its_parent(data: Path, tmp_path: Path) -> None:
    folder, reason = run(settings_for(data), tmp_path / "runs" / "t-1")
    cards = {(c.checkpoint, c.split): c for c in folder.read_records("scorecards.jsonl", Scorecard)}
    result = folder.read_json("result.json")
    assert cards["base", "gate"].accuracy.value == pytest.approx(0.25)
    assert cards[result["best"], "gate"].accuracy.value == pytest.approx(0.75)
    assert cards[result["best"], "test"].accuracy.value == pytest.approx(0.75)
    assert result["accepted"] >= 1
    assert reason == result["stop_reason"] in ("iteration_limit", "no_gain_twice", "budget_spent")

    mistakes = {m.id for n in (1, 2) for m in folder.read_records(f"mistakes/{n}.jsonl", Mistake)}
    skills = [s for n in (1, 2) for s in folder.read_records(f"skills/{n}.jsonl", MissingSkill)]
    lessons = folder.read_records("lessons.jsonl", Lesson)
    assert {s.mistake for s in skills} <= mistakes
    assert len({(s.problem, s.iteration) for s in skills}) == len(skills)
    assert {parent for lesson in lessons if lesson.iteration <= 2 for parent in lesson.parents} <= {
        s.id for s in skills
    }
    assert len({lesson.problem.id for lesson in lessons}) == len(lessons) <= 90
    decisions = folder.read_records("decisions.jsonl", Decision)
    assert len({d.id for d in decisions}) == len(decisions)
    assert all(d.reason for d in decisions)
    bought = [d for d in decisions if d.cost.samples]
    assert sum(d.cost.samples for d in bought) == len(lessons)
    assert all(d.gain is not None for d in bought)


def test_located_step_is_where_the_teacher_switches(data: Path, tmp_path: Path) -> None:
    folder, _ = run(settings_for(data), tmp_path / "t-1")
    found = [m for m in folder.read_records("mistakes/1.jsonl", Mistake) if m.status == "found"]
    assert found
    assert {m.step for m in found} == {1}


def test_same_records_for_one_and_four_branches(data: Path, tmp_path: Path) -> None:
    one, _ = run(settings_for(data, run={"branches": 1}), tmp_path / "a" / "t-1")
    four, _ = run(settings_for(data, run={"branches": 4}), tmp_path / "b" / "t-1")
    assert read_everything(one) == read_everything(four)


def test_another_seed_is_another_control_run(data: Path, tmp_path: Path) -> None:
    runs = [run(settings_for(data, control="random", run={"seed": seed}), tmp_path / f"t-{seed}")[0] for seed in (1, 2)]
    first, second = ([lesson.problem.id for lesson in f.read_records("lessons.jsonl", Lesson)] for f in runs)
    assert first != second


def undisturbed(settings: Settings, path: Path) -> dict[str, str]:
    return read_everything(run(settings, path)[0])


STOPS: tuple[tuple[Stage, int], ...] = (
    ("evaluate", 1),
    ("triage", 1),
    ("allocate", 1),
    ("investigate", 1),
    ("assemble", 1),
    ("train", 1),
    ("evaluate", 2),
    ("gate", 1),
    ("triage", 2),
    ("evaluate", 3),
)


def test_resume_after_a_stop_at_each_stage_equals_undisturbed(data: Path, tmp_path: Path) -> None:
    settings = settings_for(data, budget={"iterations": 1})
    expected = undisturbed(settings, tmp_path / "whole" / "t-1")
    for stage, number in STOPS:
        folder = RunFolder(tmp_path / f"{stage}-{number}" / "t-1")
        student, teacher = TableStudent(), ScriptedTeacher()
        reporter = StoppingReporter(folder, stage=stage, number=number)
        parts = Parts(student=student, teacher=teacher)
        with pytest.raises(StopRequested):
            run_loop(settings, folder=folder, reporter=reporter, parts=parts)
        assert not folder.has("result.json")
        resume_loop(folder, parts=parts)
        assert read_everything(folder) == expected
        assert max(student.answered.values()) == 1
        assert max(student.trained.values()) == 1
        assert max(teacher.asked.values()) == 1


@pytest.mark.parametrize(
    ("answers", "calls"),
    [
        pytest.param(50, 100_000, id="while the base answers"),
        pytest.param(10_000, 230, id="while a batch is investigated"),
        pytest.param(130, 100_000, id="after the first training"),
    ],
)
def test_kill_and_resume_equals_undisturbed(answers: int, calls: int, data: Path, tmp_path: Path) -> None:
    folder, settings = RunFolder(tmp_path / "killed" / "t-1"), settings_for(data, budget={"iterations": 2})
    file = tmp_path / "settings.yaml"
    file.write_text(dump_settings(settings))
    command = [sys.executable, "-m", "tests.agent.killed_run", folder.path, file, answers, calls]
    killed = subprocess.run([str(word) for word in command], check=False)
    assert killed.returncode == -signal.SIGKILL
    before = paid_requests(folder)
    student, teacher = TableStudent(), ScriptedTeacher()
    resume_loop(folder, parts=Parts(student=student, teacher=teacher))
    assert read_everything(folder) == undisturbed(settings, tmp_path / "whole" / "t-1")
    assert sum(teacher.asked.values()) == len(paid_requests(folder)) - len(before)
    stores = (folder.path / "answers").iterdir()
    answered = [(path.name, line) for path in stores for line in path.read_text().splitlines()]
    assert len(answered) == len(set(answered))
    kept = 80 if answers == 10_000 else answers - 1
    assert sum(student.answered.values()) == len(answered) - kept


def paid_requests(folder: RunFolder) -> list[str]:
    store = ReplyStore(folder.path / "teacher.sqlite")
    keys = [row[0] for row in store.rows()]
    store.close()
    return keys


def test_finished_run_is_not_done_again(data: Path, tmp_path: Path) -> None:
    folder, reason = run(settings_for(data), tmp_path / "t-1")
    before = read_everything(folder)
    nothing = Parts(student=TableStudent(lives=0), teacher=ScriptedTeacher(lives=0))
    assert resume_loop(folder, parts=nothing) == reason
    assert read_everything(folder) == before


def test_no_test_problem_reaches_teacher_or_decision(data: Path, tmp_path: Path) -> None:
    folder, _ = run(settings_for(data), tmp_path / "t-1")
    of = {s: {p.id: p for p in read_problems(data / f"{s}.jsonl", split=s).problems} for s in ("test", "diagnosis")}
    assert find_test_leaks(folder, of["test"]) == []
    assert find_test_leaks(folder, of["diagnosis"]), "the check finds what was asked"


def test_without_option_probabilities_locating_is_skipped_and_recorded(data: Path, tmp_path: Path) -> None:
    teacher = ScriptedTeacher(operations=frozenset({"missing_skill", "required_skills"}))
    folder, _ = run(settings_for(data), tmp_path / "t-1", parts=Parts(student=TableStudent(), teacher=teacher))
    mistakes = folder.read_records("mistakes/1.jsonl", Mistake)
    assert {(m.status, m.step, m.method) for m in mistakes} == {("none", -1, "skipped")}
    first = folder.read_records("decisions.jsonl", Decision)[0]
    assert (first.tool, first.outcome) == ("locate_mistakes", "skipped for 10 errors")
    assert folder.read_records("lessons.jsonl", Lesson)


def test_rejected_iteration_keeps_the_best_and_its_lessons(data: Path, tmp_path: Path) -> None:
    needs = {"count shapes": 30, "compare sizes": 999, "mirror letters": 999, "name colours": 0}
    parts = Parts(student=TableStudent(needs=needs), teacher=ScriptedTeacher())
    folder, _ = run(
        settings_for(data, budget={"iteration": {"samples": 60}, "total": {"samples": 200}}),
        tmp_path / "t",
        parts=parts,
    )
    comparisons = [c for c in folder.read_records("comparisons.jsonl", Comparison) if c.split == "gate"]
    assert [c.accepted for c in comparisons[:2]] == [False, True]
    assert comparisons[1].before == "base"
    counts = [c.lessons for c in folder.read_records("checkpoints.jsonl", Checkpoint)]
    assert counts[2] > counts[1]


def test_a_run_whose_state_is_gone_does_not_begin_again(data: Path, tmp_path: Path) -> None:
    """Budgets that were spent would count twice, and the run would come to another end."""
    folder = RunFolder(tmp_path / "t-1")
    parts = Parts(student=TableStudent(), teacher=ScriptedTeacher())
    with pytest.raises(StopRequested):
        run_loop(
            settings_for(data), folder=folder, reporter=StoppingReporter(folder, stage="train", number=1), parts=parts
        )
    (folder.path / "graph.sqlite").unlink()
    with pytest.raises(OperatorError, match=r"graph\.sqlite: the state of the graph is gone"):
        resume_loop(folder, parts=parts)


def test_changed_data_stop_a_resume(data: Path, tmp_path: Path) -> None:
    folder, _ = run(settings_for(data), tmp_path / "t-1")
    write_data(data, rest=39)
    with pytest.raises(OperatorError, match="diagnosis data changed"):
        resume_loop(folder, parts=Parts(student=TableStudent(), teacher=ScriptedTeacher()))


def test_firewall_stops_the_run_before_anything_is_asked(data: Path, tmp_path: Path) -> None:
    pool = data / "pool.jsonl"
    text = (data / "gate.jsonl").read_text().splitlines()[0].replace("gate-000", "pool-999").replace('"gate"', '"pool"')
    pool.write_text(pool.read_text() + text + "\n")
    teacher = ScriptedTeacher(lives=0)
    with pytest.raises(OperatorError, match=r"pool-999.*gate-000"):
        run(settings_for(data), tmp_path / "t-1", parts=Parts(student=TableStudent(lives=0), teacher=teacher))
    folder, _ = run(settings_for(data, firewall={"policy": "exclude"}), tmp_path / "t-2")
    assert "pool-999" in (folder.path / "overlaps.jsonl").read_text()
    assert ("pool", "overlaps a gate problem: question", 1) in read_outcome(folder).skipped


def test_a_pool_that_shares_ids_with_validation_loses_only_its_own(data: Path, tmp_path: Path) -> None:
    pool = data / "pool.jsonl"
    pool.write_text(
        pool.read_text() + (data / "gate.jsonl").read_text().splitlines()[0].replace('"gate"', '"pool"') + "\n"
    )
    folder, _ = run(settings_for(data, firewall={"policy": "exclude"}), tmp_path / "t-1")
    cards = folder.read_records("scorecards.jsonl", Scorecard)
    assert {c.total for c in cards} == {40}
    assert folder.read_json("manifest.json")["pool"]["questions"] == 161
    assert len(read_problem_ids(folder, "overlaps.jsonl")) == 1


def read_problem_ids(folder: RunFolder, name: str) -> list[str]:
    return [overlap.pool for overlap in folder.read_records(name, Overlap)]


def test_index_calls_are_capped(data: Path, tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match=r"budget\.index_calls"):
        run(settings_for(data, budget={"index_calls": 100}), tmp_path / "t-1")


class InterruptingReporter(SilentReporter):
    """Presses Ctrl-C in the middle of the training."""

    def stage_advanced(self, stage: Stage, *, iteration: int, done: int, total: int, correct: int | None) -> None:
        del iteration, total, correct
        if stage == "train" and done == 1:
            os.kill(os.getpid(), signal.SIGINT)


def test_ctrl_c_stops_in_order_and_gives_the_signal_back(data: Path, tmp_path: Path) -> None:
    folder, before = RunFolder(tmp_path / "t-1"), signal.getsignal(signal.SIGINT)
    parts = Parts(student=TableStudent(), teacher=ScriptedTeacher())
    settings = settings_for(data, budget={"iterations": 1})
    with pytest.raises(StopRequested):
        run_loop(settings, folder=folder, reporter=InterruptingReporter(), parts=parts)
    assert signal.getsignal(signal.SIGINT) is before
    assert resume_loop(folder, parts=parts) == "iteration_limit"
