"""Controls: every method that a run can be held against, through the whole loop."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import get_args

import pytest

from errata.agent.cli.main import main
from errata.agent.cli.options.run import CONTROLS
from errata.agent.decide.controls import build_means, check_control
from errata.agent.loop.driver import run_loop
from errata.agent.loop.parts import Parts
from errata.agent.run.folder import RunFolder
from errata.agent.run.reporter import StopReason
from errata.agent.settings.tree import Control, Settings
from errata.tools.errors import OperatorError
from errata.tools.records import Candidate, Decision, Lesson
from errata.tools.retrieve.rivals import METHODS
from errata.tools.retrieve.rivals.superfiltering import UNSCORED
from tests.agent.loop_fakes import ScriptedTeacher, TableStudent, make_settings, write_data
from tests.tiny_student import shared_folder

NEEDS: dict[str, dict[str, object]] = {"insta": {"rivals": {"embedder": "hashing"}}}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_data(tmp_path / "data")
    return tmp_path / "data"


def settings_for(data: Path, **changes: object) -> Settings:
    return make_settings(data, base=data.parent / "base", **changes)


def run(settings: Settings, path: Path, *, teacher: ScriptedTeacher | None = None) -> tuple[RunFolder, StopReason]:
    folder = RunFolder(path)
    parts = Parts(student=TableStudent(), teacher=teacher or ScriptedTeacher())
    return folder, run_loop(settings, folder=folder, parts=parts)


def test_command_line_settings_and_methods_know_the_same_controls() -> None:
    assert ("none", *CONTROLS) == get_args(Control)
    assert set(CONTROLS) <= METHODS.keys()


@pytest.mark.parametrize("control", ["random", "uniform", "insta", "validation-only"])
def test_control_spends_the_same_budget_without_decisions(control: str, data: Path, tmp_path: Path) -> None:
    teacher = ScriptedTeacher()
    settings = settings_for(data, control=control, budget={"iterations": 1}, **NEEDS.get(control, {}))
    folder, reason = run(settings, tmp_path / "t-1", teacher=teacher)
    decisions = folder.read_records("decisions.jsonl", Decision)
    lessons = folder.read_records("lessons.jsonl", Lesson)
    assert reason == "iteration_limit"
    assert len({lesson.problem.id for lesson in lessons}) == len(lessons) == 30
    assert [d.tool for d in decisions if d.cost.samples] == [f"{control}_samples"]
    assert bool(teacher.asked) == (control == "uniform")
    assert {lesson.problem.split for lesson in lessons} == {"diagnosis" if control == "validation-only" else "pool"}


def test_insta_goes_on_where_its_first_iteration_ended(data: Path, tmp_path: Path) -> None:
    settings = settings_for(data, control="insta", budget={"iterations": 2}, **NEEDS["insta"])
    folder, _ = run(settings, tmp_path / "t-1")
    by_round = [folder.read_records(f"candidates/{n}.jsonl", Candidate) for n in (1, 2)]
    first, second = ([c.score for c in found] for found in by_round)
    assert (len(first), len(second)) == (30, 30)
    assert min(first) >= max(second)
    assert {c.problem.id for c in by_round[0]}.isdisjoint(c.problem.id for c in by_round[1])
    assert (folder.path / "index" / "insta.jsonl").is_file()


def test_superfiltering_says_what_it_left_out(data: Path, tmp_path: Path) -> None:
    rows = (data / "pool.jsonl").read_text().splitlines()
    long = json.loads(rows[7]) | {"question": "look at it . " * 100}
    (data / "pool.jsonl").write_text("\n".join([*rows[:7], json.dumps(long), *rows[8:]]) + "\n")
    rivals = {"language_model": str(shared_folder() / "base")}
    settings = settings_for(
        data,
        control="superfiltering",
        rivals=rivals,
        budget={"iterations": 1, "total": {"samples": 160}, "iteration": {"samples": 160}},
    )
    folder, _ = run(settings, tmp_path / "t-1")
    (decision,) = folder.read_records("decisions.jsonl", Decision)
    found = folder.read_records("candidates/1.jsonl", Candidate)
    assert found
    assert all(0 < c.score < 1 and c.route == "superfiltering" for c in found)
    assert long["id"] not in {c.problem.id for c in found}
    assert decision.outcome.startswith(f"found {len(found)}; left out ")
    assert sum(int(n) for n in re.findall(r"left out (\d+) x", decision.outcome)) == 160 - len(found)
    assert f"left out 1 x {UNSCORED}" in decision.outcome


def test_full_takes_the_whole_pool_once_and_only_within_the_budget(data: Path, tmp_path: Path) -> None:
    small = settings_for(data, control="full")
    with pytest.raises(OperatorError, match=r"budget\.iteration\.samples: .*whole pool of 160 samples \(got 30\)"):
        run(small, tmp_path / "t-1")
    caps = {"total": {"samples": 160}, "iteration": {"samples": 160}, "iterations": 3}
    folder, reason = run(settings_for(data, control="full", budget=caps), tmp_path / "t-2")
    assert reason == "budget_spent"
    lessons = folder.read_records("lessons.jsonl", Lesson)
    assert {lesson.problem.id for lesson in lessons} == {f"pool-{n:03}" for n in range(160)}
    assert {(lesson.route, lesson.iteration) for lesson in lessons} == {("full", 1)}


def test_validation_only_ends_when_every_question_was_taught(data: Path, tmp_path: Path) -> None:
    folder, reason = run(settings_for(data, control="validation-only"), tmp_path / "t-1")
    rounds = [lesson.iteration for lesson in folder.read_records("lessons.jsonl", Lesson)]
    assert [rounds.count(n) for n in (1, 2, 3)] == [30, 10, 0]
    assert reason in ("no_gain_twice", "iteration_limit", "no_errors")


@pytest.mark.parametrize("control", ["none", "random", "uniform", "full", "validation-only"])
def test_no_model_is_opened_for_a_control_that_needs_none(control: str, data: Path) -> None:
    settings = settings_for(data, control=control, rivals={"embedder": "gone", "language_model": "gone"})
    means = build_means(settings, index=None, store=None)
    assert means.embed is None
    assert means.perplexity is None


def test_full_is_refused_by_the_tighter_of_both_caps(data: Path) -> None:
    settings = settings_for(data, control="full", budget={"iteration": {"samples": None}})
    with pytest.raises(OperatorError, match=r"\(got 90\)"):
        check_control(settings, {"pool": dict.fromkeys(map(str, range(91)))})  # type: ignore[arg-type]
    check_control(settings, {"pool": dict.fromkeys(map(str, range(90)))})  # type: ignore[arg-type]


def test_help_names_every_control(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["run", "--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert all(name in said for name in CONTROLS)


def test_insta_embeds_with_what_dense_search_has(data: Path, tmp_path: Path) -> None:
    encoder_folder = tmp_path / "encoder"
    encoder_folder.mkdir()
    (encoder_folder / "config.json").write_text("{}")

    def embedder(**changes: object) -> object:
        means = build_means(settings_for(data, control="insta", **changes), index=None, store=None)
        return None if means.embed is None else means.embed.name

    dense = {"embedding": "encoder", "embedding_model": str(encoder_folder)}
    assert embedder(retrieve={"embedding": "hashing"}) == "hashing"
    assert embedder(retrieve=dense) == embedder(rivals={"embedder": str(encoder_folder)}) != "hashing"
    assert embedder(retrieve=dense, rivals={"embedder": "hashing"}) == "hashing"
    endpoint = {"embedding": "endpoint", "embedding_model": "m", "embedding_url": "http://127.0.0.1:1/v1"}
    assert embedder(retrieve=endpoint) == "endpoint:m"
