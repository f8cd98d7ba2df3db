"""Missing skills, required skills and the names that wordings share."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import pytest

from errata.tools.records import Attempt, Mistake, Problem
from errata.tools.tag import canonical_names, tag_missing_skills, tag_required_skills
from errata.tools.teacher.annotations import AnnotationsTeacher
from errata.tools.teacher.protocol import (
    MissingSkillRequest,
    RequiredSkillsRequest,
    SameSkillReply,
    SameSkillRequest,
    SkillReply,
)


def problem(name: str, *skills: str, split: str = "diagnosis") -> Problem:
    fields = {
        "id": name,
        "question": f"{name}?",
        "target": "x",
        "scoring": "exact",
        "skills": skills,
        "split": split,
    }
    return Problem.model_validate(fields)


def attempt(name: str) -> Attempt:
    return Attempt(
        id=f"a-{name}",
        problem=name,
        checkpoint="base",
        response="One. Two.",
        steps=("One. ", "Two."),
        answer="y",
        correct=False,
        score=0,
        format_error=False,
    )


def mistake(name: str, step: int = 1) -> Mistake:
    return Mistake(
        id=f"m-{name}",
        attempt=f"a-{name}",
        problem=name,
        iteration=2,
        method="answer_switch",
        status="found" if step >= 0 else "none",
        step=step,
    )


class LabelTeacher(AnnotationsTeacher):
    """Repeats labels, says what it was asked, and runs out after `limit` samples."""

    def __init__(self, *, limit: int = 10**9, name: str = "labels") -> None:
        self.name, self.left = name, limit
        self.missing: list[MissingSkillRequest] = []
        self.required: list[str] = []

    def missing_skill(self, requests: Sequence[MissingSkillRequest]) -> list[SkillReply]:
        self.missing += requests
        return super().missing_skill(requests)

    def required_skills(self, requests: Sequence[RequiredSkillsRequest]) -> list[SkillReply]:
        self.left -= len(requests)
        if self.left < 0:
            raise KeyboardInterrupt
        self.required += [r.problem.id for r in requests]
        return super().required_skills(requests)


def tag(
    teacher: LabelTeacher,
    *problems: Problem,
    served: dict[str, list[str]] | None = None,
    known: Sequence[str] = (),
):  # type: ignore[no-untyped-def]
    return tag_missing_skills(
        [mistake(p.id, step=i - 1) for i, p in enumerate(problems)],
        attempts={f"a-{p.id}": attempt(p.id) for p in problems},
        problems={p.id: p for p in problems},
        teacher=teacher,
        iteration=2,
        served=served or {},
        known_skills=known,
    )


def test_one_skill_per_mistake_with_its_canonical_name() -> None:
    teacher = LabelTeacher()
    skills = tag(teacher, problem("p", "Counting the circles"), problem("q", "count circles"), known=["count circle"])
    assert [(s.problem, s.mistake, s.iteration) for s in skills] == [("p", "m-p", 2), ("q", "m-q", 2)]
    assert [s.wording for s in skills] == ["Counting the circles", "count circles"]
    assert [s.skill for s in skills] == ["count circle", "count circle"]
    assert [(r.step, r.steps) for r in teacher.missing] == [(-1, ("One. ", "Two.")), (0, ("One. ", "Two."))]
    assert len({s.id for s in skills}) == 2


def test_served_skills_go_to_the_teacher_and_do_not_come_back() -> None:
    teacher = LabelTeacher()
    skills = tag(teacher, problem("p", "a", "b"), problem("q", "a"), served={"p": ["a"], "q": ["a"]})
    assert [(s.problem, s.wording) for s in skills] == [("p", "b")]
    assert [r.served for r in teacher.missing] == [("a",), ("a",)]


def test_doubled_mistakes_and_test_problems_are_bugs() -> None:
    with pytest.raises(ValueError, match="must be unique"):
        tag(LabelTeacher(), problem("p", "a"), problem("p", "a"))
    with pytest.raises(ValueError, match="test problem t"):
        tag(LabelTeacher(), problem("t", "a", split="test"))
    with pytest.raises(ValueError, match="test problem t"):
        tag_required_skills([problem("t", "a", split="test")], teacher=LabelTeacher())
    assert tag(LabelTeacher()) == []


POOL = [problem(f"p{i}", f"skill {i}", split="pool") for i in range(10)]


def test_a_second_call_asks_nothing(tmp_path: Path) -> None:
    store = tmp_path / "deep" / "required"
    first = tag_required_skills(POOL, teacher=LabelTeacher(), store=store, batch=3)
    assert (first.calls, first.reused) == (10, 0)
    second = tag_required_skills(POOL, teacher=LabelTeacher(limit=0), store=store)
    assert (second.calls, second.reused) == (0, 10)
    assert second.by_problem == first.by_problem == {p.id: p.skills for p in POOL}
    assert tag_required_skills(POOL, teacher=LabelTeacher()).by_problem == first.by_problem


def test_another_teacher_or_another_question_is_asked_anew(tmp_path: Path) -> None:
    store = tmp_path / "required"
    tag_required_skills(POOL, teacher=LabelTeacher(), store=store)
    assert tag_required_skills(POOL, teacher=LabelTeacher(name="other"), store=store).calls == 10
    changed = [*POOL[:9], POOL[9].model_copy(update={"question": "new?"})]
    assert tag_required_skills(changed, teacher=LabelTeacher(), store=store).calls == 1


@pytest.mark.parametrize("torn", ["texts.jsonl", "ids.bin", "rows.bin", "commits.bin"])
@pytest.mark.parametrize("cut", [0, 1, 8])
def test_a_killed_run_asks_only_for_the_rest(tmp_path: Path, torn: str, cut: int) -> None:
    store = tmp_path / "required"
    with pytest.raises(KeyboardInterrupt):
        tag_required_skills(POOL, teacher=LabelTeacher(limit=7), store=store, batch=3)
    file = store / torn
    file.write_bytes(file.read_bytes()[: file.stat().st_size - cut])
    teacher = LabelTeacher()
    result = tag_required_skills(POOL, teacher=teacher, store=store, batch=3)
    assert teacher.required == [f"p{i}" for i in range(3 if cut else 6, 10)]
    assert result.by_problem == {p.id: p.skills for p in POOL}
    assert tag_required_skills(POOL, teacher=LabelTeacher(limit=0), store=store).calls == 0


def test_what_a_kill_left_behind_the_last_commit_is_cut_off(tmp_path: Path) -> None:
    store = tmp_path / "required"
    tag_required_skills(POOL[:4], teacher=LabelTeacher(), store=store)
    for name, rubbish in (("texts.jsonl", b'{"text": "hal'), ("ids.bin", b"abcde"), ("rows.bin", b"\0" * 40)):
        with (store / name).open("ab") as file:
            file.write(rubbish)
    result = tag_required_skills(POOL, teacher=LabelTeacher(limit=6), store=store)
    assert (result.calls, result.reused) == (6, 4)
    assert result.by_problem == {p.id: p.skills for p in POOL}


def test_candidates_alone_are_tagged_when_they_are_all_that_is_asked_for(tmp_path: Path) -> None:
    store, teacher = tmp_path / "required", LabelTeacher()
    assert set(tag_required_skills(POOL[4:6], teacher=teacher, store=store).by_problem) == {"p4", "p5"}
    assert tag_required_skills(POOL[3:6], teacher=teacher, store=store).calls == 1
    assert teacher.required == ["p4", "p5", "p3"]


class EchoTeacher(LabelTeacher):
    """Says one skill of its own for every sample."""

    def required_skills(self, requests: Sequence[RequiredSkillsRequest]) -> list[SkillReply]:
        super().required_skills(requests)
        return [SkillReply(skills=("skill 1", "look closely")) for _ in requests]


@pytest.mark.parametrize("stored", [True, False])
def test_sources_are_the_teacher_the_annotations_or_both(tmp_path: Path, stored: bool) -> None:
    store = tmp_path / "required" if stored else None
    labels = tag_required_skills(POOL, teacher=EchoTeacher(limit=0), store=store, source="annotations")
    assert (labels.calls, labels.by_problem["p1"]) == (0, ("skill 1",))
    both = tag_required_skills(POOL, teacher=EchoTeacher(), store=store, source="both")
    assert both.calls == 10
    assert both.by_problem["p1"] == ("skill 1", "look closely")
    assert both.by_problem["p2"] == ("skill 2", "skill 1", "look closely")
    teacher = tag_required_skills(POOL, teacher=EchoTeacher(), store=store)
    assert teacher.by_problem["p2"] == ("skill 1", "look closely")


@pytest.mark.parametrize("stored", [True, False])
def test_the_original_wording_is_kept_beside_the_canonical_one(tmp_path: Path, stored: bool) -> None:
    pool = [problem("a", "count circles", split="pool"), problem("b", "Counting the circles", split="pool")]
    store = tmp_path / "required" if stored else None
    for _ in range(2):
        found = tag_required_skills(pool, teacher=LabelTeacher(), store=store)
        assert found.by_problem == {"a": ("count circles",), "b": ("Counting the circles",)}
        assert found.canonical == {"count circles": "count circles", "Counting the circles": "count circles"}


SAME = [
    {"count circles", "Counting circles", "count the circles", "Identify the count of circles"},
    {"mix colours", "mixing colors", "mixed colors"},
    {"Read a map: cardinal directions", "reading map cardinal direction"},
]
APART = [
    ("left of", "right of"),
    (
        "find what is left of the big red circle in the row",
        "find what is right of the big red circle in the row",
    ),
    ("count red circles", "count circles"),
    ("more circles than squares in the grid", "fewer circles than squares in the grid"),
    ("identify the poles of a magnet", "colour recognition"),
    ("rotate all small red shapes", "not rotate all small red shapes"),
    ("in", "on"),
]


@pytest.mark.parametrize("wordings", SAME)
def test_wordings_of_one_skill_share_a_name_in_any_order(wordings: set[str]) -> None:
    results = [canonical_names(order) for order in itertools.permutations(sorted(wordings))]
    assert len(set(results[0].values())) == 1
    assert set(results[0]) == wordings
    assert all(result == results[0] for result in results)


@pytest.mark.parametrize("pair", APART)
def test_skills_that_differ_in_one_word_stay_apart(pair: tuple[str, str]) -> None:
    assert len(set(canonical_names(pair).values())) == 2


def test_known_names_lead_and_frequent_ones_follow() -> None:
    assert canonical_names(["counting circles"], known=["count circles"]) == {"counting circles": "count circles"}
    assert canonical_names(["counting", "counting", "count"]) == {"counting": "counting", "count": "counting"}
    assert canonical_names([]) == {}


class ComparingTeacher(LabelTeacher):
    """Also calls every two skills the same that it is asked about."""

    operations = LabelTeacher.operations | {"same_skill"}

    def same_skill(self, requests: Sequence[SameSkillRequest]) -> list[SameSkillReply]:
        return [SameSkillReply(same=True) for _ in requests]


def test_a_teacher_that_compares_skills_merges_names_and_the_wording_is_kept() -> None:
    named = problem("a", "tally the dots")
    (apart,) = tag(LabelTeacher(), named, known=["count the dots"])
    (merged,) = tag(ComparingTeacher(), named, known=["count the dots"])
    assert (apart.wording, apart.skill) == ("tally the dots", "tally the dots")
    assert (merged.wording, merged.skill) == ("tally the dots", "count the dots")
