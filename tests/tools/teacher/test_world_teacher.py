"""The embedded teacher reads text only, believes steps with its reliability, and names skills in varied words."""

import random

import pytest

from errata.tools.errors import OperatorError
from errata.tools.records import ImageRef
from errata.tools.teacher.protocol import (
    JudgeRequest,
    MissingSkillRequest,
    OptionRequest,
    ProposeRequest,
    RequiredSkillsRequest,
    Teacher,
)
from errata.tools.teacher.world import WorldTeacher, WorldTeacherOptions
from errata.tools.teacher.world_posterior import EMPTY, SceneReader, find_broken_rules, weigh_reading
from errata.tools.world.check import align_claims
from errata.tools.world.generate import make_problem
from errata.tools.world.programs import FAMILIES, read_question
from errata.tools.world.questions import sample_question
from errata.tools.world.skills import SKILL_OF_WORDING

QUIET = WorldTeacherOptions(start_noise=0, trust_noise=0)


def make(family, seed=0):
    question = sample_question(FAMILIES[family], random.Random(seed))
    return question, make_problem(question, split="diagnosis", image=ImageRef(path="x.png", sha256="0"), skills=())


def ask(teacher, problem, steps, prior=0.6):
    stated = tuple(prior if letter == problem.target else 0.0 for letter in problem.letters)
    request = OptionRequest(
        problem=problem.id, question=problem.question, options=problem.choices, prior=stated, steps=tuple(steps)
    )
    return teacher.option_probabilities([request])[0].probabilities


def test_it_is_a_teacher():
    assert isinstance(WorldTeacher(), Teacher)


@pytest.mark.parametrize("family", [f for f in FAMILIES if " and " not in FAMILIES[f].answers[0]])
def test_it_starts_at_the_prior_and_follows_the_steps_it_reads(family):
    question, problem = make(family)
    teacher = WorldTeacher(QUIET)
    gold = problem.letters.index(problem.target)
    start = ask(teacher, problem, [])
    assert sum(start) == pytest.approx(1)
    assert start[gold] == pytest.approx(0.6, abs=0.05)
    last = len(question.program.calls) - 1
    wrong = next(
        w
        for o in problem.choices
        if o != question.answer
        for w in [question.program.run(question.scene, {last: o.split(" and ")[-1]})]
        if question.program.read_answer(w) in problem.choices and question.program.read_answer(w) != question.answer
    )
    end = ask(teacher, problem, question.program.explain(wrong))
    assert problem.choices[max(range(len(end)), key=end.__getitem__)] == question.program.read_answer(wrong)


def test_a_rule_that_is_not_yet_stated_is_inferred_from_its_inputs():
    question, problem = make("mix_cells")
    steps = question.program.explain(list(question.results))
    reply = ask(WorldTeacher(QUIET), problem, steps[:2], prior=1 / 3)
    assert reply[problem.letters.index(problem.target)] > 0.8


def test_noise_depends_on_the_problem_alone():
    _, problem = make("mix_cells")
    noisy = WorldTeacher(WorldTeacherOptions(start_noise=2.0, seed=3))
    assert ask(noisy, problem, []) == ask(noisy, problem, [])
    assert ask(noisy, problem, []) != ask(WorldTeacher(WorldTeacherOptions(start_noise=2.0, seed=4)), problem, [])


def test_it_names_the_skill_of_the_marked_step_and_not_one_already_served():
    question, problem = make("mix_cells")
    steps = tuple(question.program.explain(list(question.results)))
    teacher = WorldTeacher()
    first = teacher.missing_skill([MissingSkillRequest(problem=problem, steps=steps, step=2)])[0].skills
    assert SKILL_OF_WORDING[first[0]] == "mix"
    second = teacher.missing_skill([MissingSkillRequest(problem=problem, steps=steps, step=2, served=first)])[0].skills
    assert SKILL_OF_WORDING[second[0]] == "read_colour"


@pytest.mark.parametrize(
    ("steps", "broken"),
    [
        (["Cell a1 is red.", "Cell b1 is blue.", "Mixing red and blue gives orange."], [(2, 2)]),
        (["Cell a1 is red.", "Cell b1 is blue.", "Mixing red and blue gives purple."], []),
        (["Cell a1 is red.", "Cell b1 is green.", "Mixing red and green gives purple."], []),  # no such mixture
        (["Cell a1 is red.", "Mixing red and blue gives orange."], []),  # the other colour was never stated
    ],
)
def test_a_rule_is_broken_only_against_what_the_steps_say(steps, broken):
    _, program = read_question("Which colour do cells a1 and b1 mix to?")
    assert find_broken_rules(program, align_claims(steps, program)) == broken


def test_a_broken_rule_is_named_rather_than_the_step_after_it():
    question, problem = make("mirror_colour")
    cell = question.program.calls[0].args[0]
    wrong = next(c for c in ("a1", "d4") if c not in (cell, question.results[0]))
    steps = (f"The mirror of {cell} is {wrong}.", f"Cell {wrong} is {question.results[1]}.")
    request = MissingSkillRequest(problem=problem, steps=steps, step=1, served=())
    (reply,) = WorldTeacher().missing_skill([request])
    assert [SKILL_OF_WORDING[s] for s in reply.skills] == ["reflection"]


def test_skills_are_worded_in_several_ways():
    teacher = WorldTeacher()
    requests = [RequiredSkillsRequest(problem=make("mix_cells", seed)[1]) for seed in range(40)]
    wordings = {reply.skills[1] for reply in teacher.required_skills(requests)}
    assert len(wordings) >= 3
    assert {SKILL_OF_WORDING[w] for w in wordings} == {"mix"}


def test_it_judges_by_the_scene_and_proposes_what_needs_the_skill():
    _, problem = make("odd_colour")
    wrong = problem.model_copy(update={"target": next(x for x in problem.letters if x != problem.target)})
    scores = [r.score for r in WorldTeacher().judge([JudgeRequest(problem=problem), JudgeRequest(problem=wrong)])]
    assert scores == [3, 1]
    reply = WorldTeacher().propose(
        [ProposeRequest(skill="spot the cell that differs from the others", example=problem, count=6, seed=1)]
    )[0]
    assert {FAMILIES[p.program["family"]].focus for p in reply.proposals} == {"odd_one_out"}
    assert len(reply.proposals) == 6


def test_a_foreign_question_is_one_line():
    request = OptionRequest(problem="p", question="Why?", options=("a", "b"), prior=(), steps=())
    with pytest.raises(OperatorError, match="cannot read this question"):
        WorldTeacher().option_probabilities([request])


@pytest.mark.parametrize("family", list(FAMILIES))
def test_a_picture_that_is_shown_is_read_and_weighed_against_the_steps(family):
    question, problem = make(family)
    blind = WorldTeacher(WorldTeacherOptions(start_noise=0, trust_noise=0, reliability=0.999))
    sees = blind.seeing({problem.id: problem})
    gold = problem.letters.index(problem.target)
    assert ask(sees, problem, [], prior=0.5)[gold] > ask(blind, problem, [], prior=0.5)[gold], "the picture tells"
    last = len(question.program.calls) - 1
    wrong = question.program.run(question.scene, {last: next(o for o in problem.choices if o != question.answer)})
    if wrong is not None:
        steps = question.program.explain(wrong)
        assert ask(sees, problem, steps)[gold] >= ask(blind, problem, steps)[gold]
    other = make(family, seed=1)[1].model_copy(update={"id": "other"})
    assert ask(sees, other, []) == ask(blind, other, []), "a picture that is not shown changes nothing"


def test_two_witnesses_are_weighed_by_their_trust():
    reader = SceneReader(EMPTY, 0.9, 0)
    assert weigh_reading(reader, "red", None, trust=0.7) == pytest.approx({"red": 0.9, "?": 0.1})
    assert weigh_reading(reader, "red", "red", trust=0.7) == {"red": 1.0}
    assert weigh_reading(reader, "red", "blue", trust=0.9) == pytest.approx({"blue": 0.5, "red": 0.5})
    assert weigh_reading(reader, "red", "blue", trust=0.5)["red"] == pytest.approx(0.9)
