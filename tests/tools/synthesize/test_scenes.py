"""Made samples have a picture, a certain answer, a verdict each, and never a validation or test question."""

import random

import pytest

from errata.tools.errors import ReplyError
from errata.tools.records import ImageRef, MissingSkill
from errata.tools.synthesize.scenes import synthesize_samples
from errata.tools.teacher.world import WorldTeacher
from errata.tools.world.check import read_problem
from errata.tools.world.generate import make_problem, split_of_question
from errata.tools.world.programs import FAMILIES
from errata.tools.world.questions import question_key, sample_question


def make_skill(wording, number=0):
    question = sample_question(FAMILIES["mix_cells"], random.Random(number))
    problem = make_problem(question, split="diagnosis", image=ImageRef(path="x.png", sha256="0"), skills=())
    skill = MissingSkill(id=f"s{number}", mistake="m", problem=problem.id, iteration=1, wording=wording, skill=wording)
    return skill, problem


def make_samples(tmp_path, wording="colour mixing rule", budget=10, overlap_of=lambda _: None):
    pairs = [make_skill(wording, n) for n in range(3)]
    return synthesize_samples(
        [s for s, _ in pairs],
        problems={p.id: p for _, p in pairs},
        teacher=WorldTeacher(),
        budget=budget,
        seed=1,
        folder=tmp_path,
        overlap_of=overlap_of,
    )


def test_answers_are_computed_and_pictures_drawn(tmp_path):
    made = make_samples(tmp_path)
    assert sum(c.accepted for c in made) == len(made) == 10
    for candidate in made:
        problem = candidate.problem
        scene, program = read_problem(problem)
        assert program.read_answer(program.run(scene)) == problem.target_text
        assert (tmp_path / "images").exists()
        assert split_of_question(question_key(problem.question, problem.choices)) == "pool"
        assert candidate.provenance["judge"] == 3
    assert [c.id for c in made] == [c.id for c in make_samples(tmp_path)]


def test_what_the_firewall_names_is_rejected_with_its_reason(tmp_path):
    made = make_samples(tmp_path, overlap_of=lambda _: "question of test-1")
    assert {(c.accepted, c.reason) for c in made} == {(False, "question of test-1")}


def test_a_skill_outside_the_world_goes_back_to_the_model(tmp_path):
    with pytest.raises(ReplyError, match="nothing could be drawn"):
        make_samples(tmp_path, wording="photosynthesis")
