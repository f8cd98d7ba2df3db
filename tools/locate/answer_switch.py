"""Locate the mistake step by answer switch (P1 3.3, B.2).

The teacher, without the picture, reads the question, the choices, a stated prior for the gold option, and the
first i steps of the student's rationale, for i = 0..T; gap_i = p(student's wrong answer) - p(gold). The
switch is the first prefix i >= 1 such that gap_k >= delta for every k in the window [i, min(T, i + lambda)]
and some earlier prefix (0 included) is below delta. The mistake is the step whose reading ended that prefix:
`Mistake.step` = i - 1, 0-based. With `strict` the whole window i..i + lambda must exist (the paper's reading,
blind to mistakes near the end).

A prefix whose probability mass on the options is below 0.5 is *unscored*: it is neither above nor below
delta, so that no window which contains it confirms and no earlier prefix of this kind counts as below.
Statuses, in this order:

- `format_error`: the response had no answer; the teacher is not asked.
- `found`: there is a switch.
- `unscored`: there is none, but prefix 0 is unscored, or some scoring of the unscored prefixes gives one.
- `no_switch`: there is none, and gap_0 >= delta: the teacher is wrong before any step.
- `none`: there is none; the teacher held on to the gold answer, or did not keep the wrong one for a window.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Literal

from pydantic import Field

from errata.tools.errors import OperatorError
from errata.tools.locate.cost import ScanCost, choose_scan
from errata.tools.locate.curves import TOLERANCE, UNASKED, Gap, Switch, find_switch, scan_steps
from errata.tools.records import Attempt, Mistake, Problem, Record, digest
from errata.tools.teacher.protocol import Operation, OptionReply, OptionRequest, Teacher

MIN_MASS = 0.5
"""Least raw probability on the options for a prefix to count as scored."""

_Ask = Callable[[Sequence[tuple[Attempt, Sequence[str]]]], list[Gap]]


class SwitchOptions(Record):
    """Settings of every location method; `seed` is read by the random rivals only."""

    delta: float = Field(default=0.2, ge=0.0, le=1.0)
    """Margin of the wrong answer over gold, in probability."""
    window: int = Field(default=12, ge=0)
    """lambda: prefixes after the switch that must keep the margin too."""
    strict: bool = False
    prior: float | None = Field(default=0.6, gt=0.0, le=1.0)
    """Stated probability that the gold option is correct; None states no prior knowledge."""
    scan: Literal["skip", "full", "auto"] = "auto"
    """Which prefixes are asked for; both find the same switch. `auto` takes the cheaper by `cost`."""
    cost: ScanCost = ScanCost()
    picture: bool = False
    """Show the picture where the teacher writes a pseudo rationale; every other method withholds it."""
    seed: int = 0


def locate_mistakes(
    attempts: Sequence[Attempt],
    *,
    problems: Mapping[str, Problem],
    teacher: Teacher,
    iteration: int,
    options: SwitchOptions,
) -> list[Mistake]:
    """One mistake per wrong attempt, in their order; correct attempts have none. `problems` by id.

    All attempts are scanned in lock-step: each round of the skip scan, and the whole of the full scan, is one
    call of `teacher.option_probabilities`. Raises OperatorError when the teacher lacks that operation.
    """
    wrong = [attempt for attempt in attempts if not attempt.correct]
    asked = [attempt for attempt in wrong if attempt.answer is not None]
    if asked:
        need_operation(teacher, operation="option_probabilities", method="answer_switch")
    chosen = options.scan
    if chosen == "auto":
        packed = "packed_prefixes" in teacher.operations
        chosen = choose_scan(
            [a.steps for a in asked],
            heads=[problems[a.problem].question for a in asked],
            window=options.window,
            strict=options.strict,
            cost=options.cost,
            packed=packed,
        )
    scan = _scan_full if chosen == "full" else _scan_lock_step
    ask = partial(ask_gaps, problems=problems, teacher=teacher, options=options)
    switches = scan(asked, ask=ask, options=options)
    found = {attempt.id: switch for attempt, switch in zip(asked, switches, strict=True)}
    name = "answer_switch"
    return [make_mistake(a, switch=found.get(a.id, UNASKED), method=name, iteration=iteration) for a in wrong]


def need_operation(teacher: Teacher, *, operation: Operation, method: str) -> None:
    """Raise OperatorError when the teacher cannot do what the method needs."""
    if operation not in teacher.operations:
        raise OperatorError(
            f"this teacher has no {operation}, which the location method {method} needs",
            where="teacher",
            value=teacher.name,
            remedy="choose a teacher that has it, or the location method whole_rationale",
        )


def make_mistake(attempt: Attempt, *, switch: Switch, method: str, iteration: int) -> Mistake:
    """The record of one scan; a switch at prefix i blames step i - 1."""
    return Mistake(
        id=digest("mistake", attempt.id, iteration),
        attempt=attempt.id,
        problem=attempt.problem,
        iteration=iteration,
        method=method,
        status=switch.status,
        step=switch.prefix - 1 if switch.prefix > 0 else -1,
        gaps=switch.gaps,
        run_length=switch.run_length,
        confidence=switch.confidence,
        probes=switch.probes,
    )


def option_request(
    attempt: Attempt, *, problem: Problem, steps: Sequence[str], options: SwitchOptions
) -> tuple[OptionRequest, int, int]:
    """The request for some steps, with the places of the wrong and of the gold option among its options.

    The method states a prior for the gold option only: `prior` holds it there and 0.0, which reads "not
    stated", elsewhere. A free-form question gets two options, gold and the wrong answer, ordered by a hash of
    the problem's id.
    """
    answer = attempt.answer or ""
    if problem.choices:
        texts, letters = problem.choices, problem.letters
        wrong, gold = letters.index(answer), letters.index(problem.target)
    else:
        gold = int(digest("option-order", problem.id), 16) % 2
        wrong = 1 - gold
        texts = (problem.target, answer) if gold == 0 else (answer, problem.target)
    stated = options.prior
    prior = () if stated is None else tuple(stated if i == gold else 0.0 for i in range(len(texts)))
    request = OptionRequest(
        problem=problem.id, question=problem.question, options=texts, prior=prior, steps=tuple(steps)
    )
    return request, wrong, gold


def ask_gaps(
    asked: Sequence[tuple[Attempt, Sequence[str]]],
    *,
    problems: Mapping[str, Problem],
    teacher: Teacher,
    options: SwitchOptions,
) -> list[Gap]:
    """The gap of each attempt after the steps beside it, in one call of the teacher.

    Where bounds of a reply leave open whether the gap reaches delta, those prefixes alone are asked for again with
    `exact`; what stays open then is unscored (None), never a guess.
    """
    places = [
        option_request(a, problem=problems[a.problem], steps=steps, options=options) for a, steps in asked
    ]
    requests = [request for request, _, _ in places]
    replies = teacher.option_probabilities(requests) if places else []
    sides = [(wrong, gold) for _, wrong, gold in places]
    open_ = [
        i
        for i, (reply, (wrong, gold)) in enumerate(zip(replies, sides, strict=True))
        if reply.mass >= MIN_MASS and not _is_decided(reply, wrong=wrong, gold=gold, delta=options.delta)
    ]
    if open_:
        again = teacher.option_probabilities([requests[i].model_copy(update={"exact": True}) for i in open_])
        fresh = dict(zip(open_, again, strict=True))
        replies = [fresh.get(i, reply) for i, reply in enumerate(replies)]
    return [
        _gap(reply, wrong=wrong, gold=gold, delta=options.delta)
        for reply, (wrong, gold) in zip(replies, sides, strict=True)
    ]


def _gap(reply: OptionReply, *, wrong: int, gold: int, delta: float) -> Gap:
    if reply.mass < MIN_MASS or not _is_decided(reply, wrong=wrong, gold=gold, delta=delta):
        return None
    return reply.probabilities[wrong] - reply.probabilities[gold]


def _is_decided(reply: OptionReply, *, wrong: int, gold: int, delta: float) -> bool:
    """Whether all gaps that the bounds allow, the stated one included, lie on one side of delta."""
    if not reply.high:
        return True
    stated = reply.probabilities[wrong] - reply.probabilities[gold]
    least = min(stated, reply.low[wrong] - reply.high[gold])
    most = max(stated, reply.high[wrong] - reply.low[gold])
    return least >= delta - TOLERANCE or most < delta - TOLERANCE


def _scan_full(attempts: Sequence[Attempt], *, ask: _Ask, options: SwitchOptions) -> list[Switch]:
    """Every prefix of every attempt in one call."""
    gaps = iter(ask([(a, a.steps[:i]) for a in attempts for i in range(len(a.steps) + 1)]))
    curves = [[next(gaps) for _ in range(len(a.steps) + 1)] for a in attempts]
    return [find_switch(c, delta=options.delta, window=options.window, strict=options.strict) for c in curves]


def _scan_lock_step(attempts: Sequence[Attempt], *, ask: _Ask, options: SwitchOptions) -> list[Switch]:
    """One prefix of every unfinished attempt a round, one call a round; at most T + 1 rounds."""
    scans = [
        scan_steps(len(a.steps), delta=options.delta, window=options.window, strict=options.strict)
        for a in attempts
    ]
    wanted = {i: next(scan) for i, scan in enumerate(scans)}
    done: dict[int, Switch] = {}
    while wanted:
        gaps = ask([(attempts[i], attempts[i].steps[:prefix]) for i, prefix in wanted.items()])
        following: dict[int, int] = {}
        for i, gap in zip(wanted, gaps, strict=True):
            try:
                following[i] = scans[i].send(gap)
            except StopIteration as stop:
                done[i] = stop.value
        wanted = following
    return [done[i] for i in range(len(attempts))]
