"""Checking a rationale against its scene: the gold mistake step, by construction.

Two senses are kept, because they differ: the first false claim, and the first claim whose correction (together with
the corrections of the false claims before it) makes the answer right. A perception claim is false when the scene
says otherwise; a rule's claim is false when the rule says otherwise about the inputs that the student itself stated.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from errata.tools.errors import OperatorError
from errata.tools.records import Problem
from errata.tools.world.programs import Program, read_question
from errata.tools.world.scene import Scene, decode_scene
from errata.tools.world.skills import SKILLS, Claim, read_claim


class GoldSteps(NamedTuple):
    """0-based step indices; -1 means none."""

    first_false: int
    decisive: int


class WorldQuestion(NamedTuple):
    """The scene and the program behind a problem of the embedded world."""

    scene: Scene
    program: Program


def read_problem(problem: Problem) -> WorldQuestion:
    """The scene and program of a problem; raises OperatorError for a problem that is not of this world."""
    asked = read_question(problem.question)
    if asked is None or "scene" not in problem.metadata:
        raise OperatorError(
            "this question is not of the embedded world",
            where=f"problem {problem.id}",
            value=problem.question[:60],
            remedy="use the world's own data or another teacher",
        )
    return WorldQuestion(decode_scene(problem.metadata["scene"]), asked[1])


def align_claims(steps: Sequence[str], program: Program) -> dict[int, tuple[int, Claim]]:
    """Which step states which call: {call index: (step index, claim)}.

    A claim belongs to the first call of its skill that is not yet stated, preferring one whose literal first argument
    it repeats. Sentences that state nothing the program asks for belong to no call.
    """
    found: dict[int, tuple[int, Claim]] = {}
    for place, step in enumerate(steps):
        claim = read_claim(step)
        if claim is None:
            continue
        open_calls = [i for i, c in enumerate(program.calls) if c.skill == claim.skill and i not in found]
        named = [i for i in open_calls if claim.args and program.calls[i].args[0] == claim.args[0]]
        if open_calls:
            found[(named or open_calls)[0]] = (place, claim)
    return found


def judge_claim(claim: Claim, inputs: Sequence[str], scene: Scene) -> bool:
    """Whether a claim is true of the scene (perception) or of the inputs as the student stated them (rules)."""
    skill = SKILLS[claim.skill]
    repeats = claim.args if skill.perception or len(claim.args) == len(inputs) else tuple(inputs)
    return skill.evaluate(scene, repeats) == claim.result


def stated_inputs(
    program: Program, index: int, stated: dict[int, tuple[int, Claim]], truth: Sequence[str]
) -> tuple[str, ...]:
    """The inputs of a call as the student stated them, the truth where nothing was stated."""
    results = [stated[i][1].result if i in stated else truth[i] for i in range(len(program.calls))]
    return program.inputs(index, results)


def find_gold_steps(problem: Problem, steps: Sequence[str]) -> GoldSteps:
    """The gold mistake step of a rationale, in both senses (see the module's docstring)."""
    scene, program = read_problem(problem)
    truth = program.run(scene)
    assert truth is not None, f"problem {problem.id} is ill-posed"
    stated = align_claims(steps, program)
    false: list[tuple[int, int]] = []
    for index, (place, claim) in stated.items():
        inputs = stated_inputs(program, index, stated, truth)
        wrong_object = SKILLS[claim.skill].perception and bool(claim.args) and claim.args[0] != inputs[0]
        if wrong_object or not judge_claim(claim, inputs, scene):
            false.append((place, index))
    false.sort()
    return GoldSteps(false[0][0] if false else -1, _find_decisive(problem, program, scene, stated, false))


def _find_decisive(
    problem: Problem,
    program: Program,
    scene: Scene,
    stated: dict[int, tuple[int, Claim]],
    false: list[tuple[int, int]],
) -> int:
    """Correct false claims from the first on until the answer is gold."""
    corrected: set[int] = set()
    for place, index in false:
        corrected.add(index)
        if _answer_corrected(program, scene, stated, corrected) == problem.target_text:
            return place
    return -1


def _answer_corrected(
    program: Program, scene: Scene, stated: dict[int, tuple[int, Claim]], corrected: set[int]
) -> str | None:
    """The answer when these calls have their true results.

    A claim that was not corrected stands as long as it is about the same inputs; one about inputs that the
    correction changed follows truly from the new ones.
    """
    said: list[str] = []
    results: list[str] = []
    for index, call in enumerate(program.calls):
        truth = SKILLS[call.skill].evaluate(scene, program.inputs(index, results))
        claim = stated[index][1].result if index in stated else truth
        stands = index not in corrected and program.inputs(index, said) == program.inputs(index, results)
        result = claim if stands else truth
        if claim is None or result is None:
            return None
        said.append(claim)
        results.append(result)
    return program.read_answer(results)
