"""What goes into a training: all lessons so far, and a share of general data against forgetting."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import NamedTuple

from errata.tools.errors import OperatorError
from errata.tools.records import Lesson, Problem, seed_of


class Mixture(NamedTuple):
    """The samples of one training, in stable order, each problem once."""

    problems: tuple[Problem, ...]
    lessons: int
    replayed: int


def mix_samples(lessons: Sequence[Lesson], *, replay: Sequence[Problem], share: float, seed: int) -> Mixture:
    """Accumulated lessons by problem id, then `share` of the whole as replay (methods.md 6 and 7).

    Replay is drawn without replacement from the problems that are no lessons; when there are too few, all are
    taken. Raises `OperatorError` when there are no lessons, or when a sample belongs to an evaluation split;
    the control that trains on the diagnosis questions says so by the route `validation`.
    """
    taught = {lesson.problem.id: lesson.problem for lesson in sorted(lessons, key=lambda lesson: lesson.id)}
    if not taught:
        raise OperatorError("there are no lessons to train on", remedy="raise the sample budget or widen the pool")
    own = {lesson.problem.id for lesson in lessons if lesson.route == "validation"}
    for problem in (*taught.values(), *replay):
        if problem.split != "pool" and not (problem.split == "diagnosis" and problem.id in own):
            raise OperatorError(
                "a training sample comes from an evaluation split",
                where=f"problem {problem.id}",
                value=problem.split,
                remedy="train on pool samples only",
            )
    drawn = draw_replay(replay, beside=tuple(taught.values()), share=share, seed=seed)
    ordered = [*sorted(taught.values(), key=lambda p: p.id), *drawn]
    return Mixture(tuple(ordered), lessons=len(taught), replayed=len(drawn))


def draw_replay(replay: Sequence[Problem], *, beside: Sequence[Problem], share: float, seed: int) -> list[Problem]:
    """As many general samples as make `share` of the whole together with `beside`, none of them twice, by id."""
    taught = {problem.id for problem in beside}
    spare = sorted((p for p in {p.id: p for p in replay}.values() if p.id not in taught), key=lambda p: p.id)
    wanted = min(len(spare), round(len(beside) * share / (1 - share)))
    drawn = random.Random(seed_of("replay", seed)).sample(spare, wanted)
    return sorted(drawn, key=lambda p: p.id)
