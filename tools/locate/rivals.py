"""The location methods by name, all of one signature (P1 table 7 and its ablations).

- `answer_switch`: the method itself.
- `random_step`: a seeded draw among the steps; the floor of every comparison.
- `step_alone`: the teacher reads each step without those before it, and the first that alone moves it to the
  wrong answer by delta is the mistake. An ablation of answer switch: no context, no window. It is not the
  paper's "prompt per step".
- `whole_rationale`: no location; every error has status `none`, so that skill analysis gets the whole
  rationale (the paper's ablation "without mistake identification"). It asks the teacher nothing, so that
  every teacher supports it.

- `per_step`, `pseudo_rationale`, `teacher_says`: rivals that the teacher is asked for outright
  (`errata.tools.locate.prompted`); they need its optional operations.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Protocol

from errata.tools.errors import OperatorError
from errata.tools.locate.answer_switch import (
    SwitchOptions,
    ask_gaps,
    locate_mistakes,
    make_mistake,
    need_operation,
)
from errata.tools.locate.curves import TOLERANCE, UNASKED, Gap, Switch
from errata.tools.locate.prompted import per_step, pseudo_rationale, teacher_says
from errata.tools.records import Attempt, Mistake, Problem, seed_of
from errata.tools.teacher.protocol import Operation, Teacher


class Locate(Protocol):
    """Wrong attempts to mistakes, in their order; `problems` by id."""

    def __call__(
        self,
        attempts: Sequence[Attempt],
        *,
        problems: Mapping[str, Problem],
        teacher: Teacher,
        iteration: int,
        options: SwitchOptions,
    ) -> list[Mistake]: ...


_NONE = Switch("none", -1, 0.0, 0, (), 0)


def random_step(
    attempts: Sequence[Attempt],
    *,
    problems: Mapping[str, Problem],  # noqa: ARG001
    teacher: Teacher,  # noqa: ARG001
    iteration: int,
    options: SwitchOptions,
) -> list[Mistake]:
    """A step drawn uniformly, the same for the same `options.seed` and attempt; no step, no mistake."""
    mistakes = []
    for attempt in _wrong(attempts):
        switch = _unlocated(attempt)
        if attempt.answer is not None and attempt.steps:
            draw = random.Random(seed_of("random_step", options.seed, attempt.id))
            switch = Switch("found", draw.randrange(len(attempt.steps)) + 1, 0.0, 0, (), 0)
        mistakes.append(make_mistake(attempt, switch=switch, method="random_step", iteration=iteration))
    return mistakes


def step_alone(
    attempts: Sequence[Attempt],
    *,
    problems: Mapping[str, Problem],
    teacher: Teacher,
    iteration: int,
    options: SwitchOptions,
) -> list[Mistake]:
    """The first step that alone moves the teacher to the wrong answer; all steps are asked about in one call.

    `gaps[0]` is None (nothing is asked about no step), `gaps[i]` is the gap after step i - 1 alone.
    """
    wrong = _wrong(attempts)
    asked = [attempt for attempt in wrong if attempt.answer is not None]
    if asked:
        need_operation(teacher, operation="option_probabilities", method="step_alone")
    requests = [(attempt, (step,)) for attempt in asked for step in attempt.steps]
    gaps = iter(ask_gaps(requests, problems=problems, teacher=teacher, options=options))
    found = {a.id: _first_alone([next(gaps) for _ in a.steps], delta=options.delta) for a in asked}
    return [
        make_mistake(a, switch=found.get(a.id, UNASKED), method="step_alone", iteration=iteration)
        for a in wrong
    ]


def whole_rationale(
    attempts: Sequence[Attempt],
    *,
    problems: Mapping[str, Problem],  # noqa: ARG001
    teacher: Teacher,  # noqa: ARG001
    iteration: int,
    options: SwitchOptions,  # noqa: ARG001
) -> list[Mistake]:
    """No step is marked."""
    return [
        make_mistake(a, switch=_unlocated(a), method="whole_rationale", iteration=iteration)
        for a in _wrong(attempts)
    ]


METHODS: dict[str, Locate] = {
    "answer_switch": locate_mistakes,
    "per_step": per_step,
    "pseudo_rationale": pseudo_rationale,
    "random_step": random_step,
    "step_alone": step_alone,
    "teacher_says": teacher_says,
    "whole_rationale": whole_rationale,
}


NEEDS: dict[str, frozenset[Operation]] = {
    "answer_switch": frozenset({"option_probabilities"}),
    "per_step": frozenset({"check_step"}),
    "pseudo_rationale": frozenset({"write_rationale", "name_step"}),
    "random_step": frozenset(),
    "step_alone": frozenset({"option_probabilities"}),
    "teacher_says": frozenset({"name_step"}),
    "whole_rationale": frozenset(),
}
"""What each method asks of a teacher."""


def most_requests(name: str, *, steps: int) -> int:
    """The most requests that one error with so many steps can take by this method; a prefix that is asked for again,
    exactly, is one request.
    """
    asked = {"answer_switch": steps + 1, "step_alone": steps, "per_step": steps, "pseudo_rationale": 2}
    return asked.get(name, int(name == "teacher_says"))


def location_method(name: str) -> Locate:
    """The method of this name; OperatorError names those that there are."""
    if name not in METHODS:
        raise OperatorError(
            "there is no such location method",
            where="locate.method",
            value=name,
            remedy=f"use {', '.join(METHODS)}",
        )
    return METHODS[name]


def _wrong(attempts: Sequence[Attempt]) -> list[Attempt]:
    return [attempt for attempt in attempts if not attempt.correct]


def _unlocated(attempt: Attempt) -> Switch:
    return UNASKED if attempt.answer is None else _NONE


def _first_alone(gaps: Sequence[Gap], *, delta: float) -> Switch:
    """`unscored` when no step reaches delta and one had too little mass."""
    curve = (None, *gaps)
    for i, gap in enumerate(gaps, start=1):
        if gap is not None and gap >= delta - TOLERANCE:
            return Switch("found", i, gap, 1, curve, len(gaps))
    return Switch("unscored" if None in gaps else "none", -1, 0.0, 0, curve, len(gaps))
