"""What the embedded teacher says about single steps."""

from __future__ import annotations

import random

import pytest

from errata.tools.locate.noise import PUBLISHED, lean_noise
from errata.tools.records import ImageRef, Problem
from errata.tools.teacher.protocol import (
    OptionRequest,
    RationaleRequest,
    ReadsSteps,
    StepCheckRequest,
    StepIndexRequest,
)
from errata.tools.teacher.world import WorldTeacher, WorldTeacherOptions
from errata.tools.world.check import align_claims
from errata.tools.world.generate import make_problem
from errata.tools.world.programs import FAMILIES, read_question
from errata.tools.world.questions import Question, sample_question

QUIET = WorldTeacherOptions(start_noise=0, trust_noise=0)
MIX = "Which colour do cells a1 and b1 mix to?"
RIGHT = ("Cell a1 is red. ", "Cell b1 is blue. ", "Mixing red and blue gives purple. ")
BROKEN = (*RIGHT[:2], "Mixing red and blue gives orange. ", "So orange B. ")


def make(family: str, seed: int = 0) -> tuple[Question, Problem]:
    question = sample_question(FAMILIES[family], random.Random(seed))
    return question, make_problem(question, split="diagnosis", image=ImageRef(path="x.png", sha256="0"), skills=())


def name(
    steps: tuple[str, ...], *, reference: tuple[str, ...] = (), options: WorldTeacherOptions = QUIET
) -> int | None:
    request = StepIndexRequest(
        problem="p", question=MIX, options=("purple", "orange"), gold="purple", steps=steps, reference=reference
    )
    return WorldTeacher(options).name_step([request])[0].step


def check(steps: tuple[str, ...], options: WorldTeacherOptions = QUIET, problem: str = "p") -> bool | None:
    request = StepCheckRequest(problem=problem, question=MIX, options=("purple", "orange"), steps=steps)
    return WorldTeacher(options).check_step([request])[0].correct


def test_it_reads_steps() -> None:
    assert isinstance(WorldTeacher(), ReadsSteps)
    assert {"check_step", "name_step", "write_rationale"} <= WorldTeacher().operations


def test_a_broken_rule_is_incorrect_and_what_only_the_picture_shows_is_believed() -> None:
    assert [check(BROKEN[: i + 1]) for i in range(4)] == [True, True, False, True]
    assert [check(RIGHT[: i + 1]) for i in range(3)] == [True, True, True]


def test_noise_shakes_single_judgements_and_repeats_itself() -> None:
    shaken = WorldTeacherOptions(start_noise=0, trust_noise=0, step_noise=4.0)
    said = [check(RIGHT[:1], shaken, problem=f"p{i}") for i in range(200)]
    assert 0.15 < said.count(False) / 200 < 0.4
    assert said == [check(RIGHT[:1], shaken, problem=f"p{i}") for i in range(200)]


def test_told_gold_it_names_the_broken_rule_or_the_perception_that_gold_forbids() -> None:
    assert name(BROKEN) == 2
    assert name(RIGHT) == -1
    assert name(("Cell a1 is red. ", "Cell b1 is yellow. ", "Mixing red and yellow gives orange. ")) in (0, 1)


def test_beside_a_reference_it_names_the_first_difference() -> None:
    assert name(BROKEN, reference=RIGHT) == 2
    assert name(RIGHT, reference=RIGHT) == -1


@pytest.mark.parametrize("family", sorted(FAMILIES))
@pytest.mark.parametrize("picture", [False, True])
def test_its_own_rationale_leads_to_gold(family: str, picture: bool) -> None:
    question, problem = make(family)
    (reply,) = WorldTeacher(QUIET).write_rationale([RationaleRequest(problem=problem, picture=picture)])
    read = read_question(problem.question)
    assert read is not None
    claims = align_claims(reply.steps, read[1])
    assert len(claims) == len(question.program.calls)
    results = [claims[i][1].result for i in range(len(claims))]
    assert question.program.read_answer(results) == problem.target_text


def test_knowledge_leans_to_known_answers_alone() -> None:
    options = WorldTeacherOptions(start_noise=0, trust_noise=0, knowledge=1.0)
    request = OptionRequest(problem="p", question=MIX, options=("purple", "orange"), prior=(), steps=())
    plain, leaning = (
        WorldTeacher(options, known=known).option_probabilities([request])[0].probabilities[0]
        for known in ({}, {"p": "purple"})
    )
    assert plain == pytest.approx(0.5)
    assert leaning == pytest.approx(2.718281828 / 3.718281828)


def test_the_closed_form_of_the_lean_meets_the_starting_rates() -> None:
    spread, knowledge = lean_noise()
    rng = random.Random(0)
    stated = 0.4054651081
    drawn = [knowledge + rng.gauss(0, spread) - rng.gauss(0, spread) for _ in range(40_000)]
    assert sum(x > 0 for x in drawn) / 40_000 == pytest.approx(PUBLISHED.starts_without, abs=0.01)
    assert sum(x + stated > 0 for x in drawn) / 40_000 == pytest.approx(PUBLISHED.starts_with_prior, abs=0.01)
