"""What the embedded teacher says about single steps, from the words alone and with the noise it has everywhere.

Every claim has log-odds of being right: what the reader believes a step by, turned round for a rule that contradicts
its stated inputs, and shaken once per claim. A perception cannot be checked without the picture, so that it is
believed. Told the gold answer, the reader weighs each claim as the first wrong one by how well the claims before it,
taken as true, allow that answer.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence

from errata.tools.records import Problem
from errata.tools.world.check import align_claims, read_problem
from errata.tools.world.programs import Program
from errata.tools.world.scene import Scene
from errata.tools.world.skills import SKILLS, Claim

TRIES = 5_000
SURE = 0.999
FLOOR = 1e-6

Stated = dict[int, tuple[int, Claim]]
Spread = Callable[[dict[int, Claim]], dict[str, float]]
"""Claims by call, taken as true, to the distribution over answers."""


def claim_odds(stated: Stated, *, broken: set[int], odds: float, rng: random.Random, spread: float) -> dict[int, float]:
    """Log-odds of being right by call, in step order; `broken` are calls whose rule contradicts its inputs."""
    in_order = sorted(stated, key=lambda index: stated[index][0])
    return {index: (-odds if index in broken else odds) + rng.gauss(0, spread) for index in in_order}


def choose_first_wrong(stated: Stated, *, odds: dict[int, float], gold: str, spread: Spread) -> int:
    """The step that is likeliest the first wrong one given the gold answer; -1 when none is likelier wrong."""
    before: dict[int, Claim] = {}
    sure = 0.0
    scores: list[tuple[float, int]] = []
    for index in odds:
        place, claim = stated[index]
        right = 1 / (1 + math.exp(-odds[index]))
        allows = max(spread(before).get(gold, 0.0), FLOOR)
        scores.append((sure + math.log(max(1 - right, FLOOR)) + math.log(allows), place))
        before[index] = claim
        sure += math.log(max(right, FLOOR))
    nothing = sure + math.log(max(spread(before).get(gold, 0.0), FLOOR))
    best = max(scores, default=(-math.inf, -1), key=lambda score: score[0])
    return best[1] if best[0] > nothing else -1


def first_difference(steps: Sequence[str], reference: Sequence[str], *, program: Program) -> int:
    """The first step whose claim the reference makes otherwise; -1 when they agree in all that both claim."""
    mine, theirs = align_claims(steps, program), align_claims(reference, program)
    differing = [place for i, (place, claim) in mine.items() if i in theirs and theirs[i][1].result != claim.result]
    return min(differing, default=-1)


def imagine_steps(
    problem: Problem, *, program: Program, picture: bool, trust: float, empty: Scene, rng: random.Random
) -> tuple[str, ...]:
    """A rationale that leads to the gold answer, without the picture with perceptions made up; empty when none was
    found. With the picture every perception is read right with probability `trust`."""
    scene = read_problem(problem).scene if picture else empty
    for _ in range(TRIES):
        given: dict[int, str] = {}
        for index, call in enumerate(program.calls):
            skill = SKILLS[call.skill]
            if skill.perception and not (picture and rng.random() < trust):
                given[index] = rng.choice(skill.domain)
        results = program.run(scene, given)
        if results is not None and program.read_answer(results) == problem.target_text:
            return tuple(sentence + " " for sentence in program.explain(results))
    return ()
