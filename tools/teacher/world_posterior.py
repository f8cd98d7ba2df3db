"""What may be the answer of a question of the world, given what was read in words and, where it is shown, seen.

A posterior over the results of the question's program: exact, call by call. A perception that was neither read nor
seen stays symbolic (`?`) unless it is the answer's, since every result is alike to the reader.
"""

from __future__ import annotations

import random
from collections import defaultdict
from typing import NamedTuple

from errata.tools.records import seed_of
from errata.tools.world.programs import Program
from errata.tools.world.scene import Scene, random_scene
from errata.tools.world.skills import SKILLS, Claim, Skill

EMPTY = random_scene(random.Random(0))
"""Rules ignore the scene; perception is never evaluated on this one."""


class SceneReader(NamedTuple):
    """Reads one scene, right with a given probability."""

    scene: Scene
    trust: float
    """Probability that a perception is read right."""
    seed: int

    def read(self, index: int, *, skill: Skill, inputs: tuple[str, ...]) -> str | None:
        """What call `index` gives on the scene, the same for the same inputs; None where they are not known."""
        right = None if any("?" in part for part in inputs) else skill.evaluate(self.scene, inputs)
        others = [value for value in skill.domain if value != right]
        rng = random.Random(seed_of("sight", self.seed, index, inputs))
        return right if right is None or not others or rng.random() < self.trust else rng.choice(others)


def find_broken_rules(program: Program, stated: dict[int, tuple[int, Claim]]) -> list[tuple[int, int]]:
    """(step, call) of every stated rule that is false about its stated inputs, in step order; needs no picture.

    A rule whose stated inputs have no result at all (a line read so that it is no progression) is not to blame.
    """
    results = [stated[i][1].result if i in stated else "?" for i in range(len(program.calls))]
    broken = []
    for index, (place, claim) in stated.items():
        skill, inputs = SKILLS[claim.skill], program.inputs(index, results)
        if not skill.perception and not any("?" in i for i in inputs):
            broken += [(place, index)] if skill.evaluate(EMPTY, inputs) not in (None, claim.result) else []
    return sorted(broken)


def spread_answers(
    program: Program, stated: dict[int, Claim], *, trust: float, reader: SceneReader | None = None
) -> dict[str, float]:
    """Distribution over answers given the claims read so far, and what was seen.

    Calls are followed in order as a distribution over the results that later calls or the answer still need; an
    unstated perception stays symbolic (`?`) unless it is the answer's, since every result is alike to the reader.
    """
    states: dict[tuple[str, ...], float] = {(): 1.0}
    for index in range(len(program.calls)):
        following: dict[tuple[str, ...], float] = defaultdict(float)
        for results, weight in states.items():
            claim = stated.get(index)
            for value, share in _spread_call(program, index, list(results), claim, trust, reader).items():
                following[(*results, value)] += weight * share
        states = following
    answers: dict[str, float] = defaultdict(float)
    for results, weight in states.items():
        answers[program.read_answer(list(results))] += weight
    unknown = {a: w for a, w in answers.items() if "?" in a}
    return _resolve_unknown(program, answers, unknown) if unknown else dict(answers)


def _resolve_unknown(program: Program, answers: dict[str, float], unknown: dict[str, float]) -> dict[str, float]:
    """Share the weight of symbolic answers equally over the results that the answering calls can have."""
    domains = [SKILLS[program.calls[i].skill].domain for i in program.answer]
    resolved: dict[str, float] = defaultdict(float, {a: w for a, w in answers.items() if "?" not in a})
    for answer, weight in unknown.items():
        parts = answer.split(" and ")
        texts = [""]
        for part, domain in zip(parts, domains, strict=True):
            values = domain if part == "?" else (part,)
            texts = [f"{text} and {v}".removeprefix(" and ") for text in texts for v in values]
        for text in texts:
            resolved[text] += weight / len(texts)
    return dict(resolved)


def _spread_call(
    program: Program, index: int, results: list[str], claim: Claim | None, trust: float, reader: SceneReader | None
) -> dict[str, float]:
    """Distribution of one call's result given the results before it, and what was seen of it."""
    skill = SKILLS[program.calls[index].skill]
    inputs = program.inputs(index, results)
    known = not skill.perception and not any("?" in i for i in inputs)
    computed = skill.evaluate(EMPTY, inputs) if known else None
    seen = reader.read(index, skill=skill, inputs=inputs) if reader is not None and skill.perception else None
    if reader is not None and seen is not None:
        return weigh_reading(reader, seen, None if claim is None else claim.result, trust=trust)
    own = computed if computed is not None else "?"
    if claim is None:
        return {own: 1.0}
    spread = {claim.result: trust}
    spread[own] = spread.get(own, 0.0) + (1 - trust)
    return spread


def weigh_reading(reader: SceneReader, seen: str, claimed: str | None, *, trust: float) -> dict[str, float]:
    """The result of a perception that was seen, and claimed or not: two witnesses, each right as often as trusted."""
    if claimed is None:
        return {seen: reader.trust, "?": 1 - reader.trust}
    if claimed == seen:
        return {seen: 1.0}
    word, eyes = trust * (1 - reader.trust), reader.trust * (1 - trust)
    return {claimed: word / (word + eyes), seen: eyes / (word + eyes)}
