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

from collections.abc import Callable, Generator, Mapping, Sequence
from functools import partial
from typing import Literal, NamedTuple

from pydantic import Field

from tools.errors import OperatorError
from tools.records import Attempt, Mistake, Problem, Record, Status, digest
from tools.teacher.protocol import Operation, OptionRequest, Teacher

TOLERANCE = 1e-9
"""Gaps are compared with delta up to this much, in probability."""
MIN_MASS = 0.5
"""Least raw probability on the options for a prefix to count as scored."""

Gap = float | None
Scan = Generator[int, Gap, "Switch"]
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
    scan: Literal["skip", "full"] = "skip"
    seed: int = 0


class Switch(NamedTuple):
    """What a scan of one curve found; both scans agree in all but `run_length`, `gaps` and `probes`."""

    status: Status
    prefix: int
    """The switch as a number of steps read, 1..T; -1 when there is none."""
    confidence: float
    """Mean gap over the confirming window."""
    run_length: int
    """Probed prefixes in a row, from the switch on, that stay at or above delta."""
    gaps: tuple[Gap, ...]
    """Index 0..T; None where not probed or not scored."""
    probes: int


UNASKED = Switch("format_error", -1, 0.0, 0, (), 0)
"""For a response without an answer: there is no wrong option to follow."""


def find_switch(gaps: Sequence[Gap], *, delta: float, window: int, strict: bool = False) -> Switch:
    """Full scan of a complete curve of T + 1 gaps, None where unscored: the definition, read word by word."""
    first = partial(_first_switch, gaps, delta=delta, window=window, strict=strict)
    prefix, possible = first(favourable=False), first(favourable=True)
    status = _status(prefix, possible=possible > 0, first=gaps[0], delta=delta)
    return _switch(status, prefix, gaps=gaps, probes=len(gaps), delta=delta, window=window)


def skip_scan(
    probe: Callable[[int], Gap], *, length: int, delta: float, window: int, strict: bool = False
) -> Switch:
    """Skip scan of a curve over 0..`length` steps, asking `probe(i)` for gap_i at most once each."""
    scan = scan_steps(length, delta=delta, window=window, strict=strict)
    asked = next(scan)
    while True:
        try:
            asked = scan.send(probe(asked))
        except StopIteration as stop:
            switch: Switch = stop.value
            return switch


def scan_steps(length: int, *, delta: float, window: int, strict: bool) -> Scan:
    """The skip scan as a generator: yields the prefix it wants, is sent the gap, returns the `Switch`.

    It probes each window from its right end; on the first prefix p that is not above, no window that contains
    p can confirm, so it starts again at p + 1. What was probed is kept. When nothing was found and an
    unscored prefix was met, a second pass reads unscored prefixes favourably (above inside a window, below
    before it) to tell `unscored` from the rest.
    """
    known: dict[int, Gap] = {}
    known[0] = yield 0
    prefix = yield from _pass(known, length, delta=delta, window=window, strict=strict, favourable=False)
    possible = prefix
    if prefix < 0 and None in known.values():
        possible = yield from _pass(known, length, delta=delta, window=window, strict=strict, favourable=True)
    status = _status(prefix, possible=possible > 0, first=known[0], delta=delta)
    gaps = [known.get(i) for i in range(length + 1)]
    return _switch(status, prefix, gaps=gaps, probes=len(known), delta=delta, window=window)


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
    scan = _scan_full if options.scan == "full" else _scan_lock_step
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
    """The gap of each attempt after the steps beside it, in one call of the teacher."""
    places = [
        option_request(a, problem=problems[a.problem], steps=steps, options=options) for a, steps in asked
    ]
    replies = teacher.option_probabilities([request for request, _, _ in places]) if places else []
    return [
        reply.probabilities[wrong] - reply.probabilities[gold] if reply.mass >= MIN_MASS else None
        for reply, (_, wrong, gold) in zip(replies, places, strict=True)
    ]


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


def _above(gap: Gap, delta: float, *, unscored: bool = False) -> bool:
    return unscored if gap is None else gap >= delta - TOLERANCE


def _below(gap: Gap, delta: float, *, unscored: bool) -> bool:
    return unscored if gap is None else gap < delta - TOLERANCE


def _first_switch(gaps: Sequence[Gap], *, delta: float, window: int, strict: bool, favourable: bool) -> int:
    keeps = partial(_above, delta=delta, unscored=favourable)
    precedes = partial(_below, delta=delta, unscored=favourable)
    for i in range(1, len(gaps) - (window if strict else 0)):
        if all(keeps(gap) for gap in gaps[i : i + window + 1]) and any(precedes(gap) for gap in gaps[:i]):
            return i
    return -1


def _pass(
    known: dict[int, Gap], length: int, *, delta: float, window: int, strict: bool, favourable: bool
) -> Generator[int, Gap, int]:
    """The first switch, or -1, probing into `known` only what it must."""
    keeps = partial(_above, delta=delta, unscored=favourable)
    precedes = partial(_below, delta=delta, unscored=favourable)
    start = 1
    while start <= (length - window if strict else length):
        end = min(length, start + window)
        for place in range(end, start - 1, -1):
            if place not in known:
                known[place] = yield place
            if not keeps(known[place]):
                start = place + 1
                break
        else:
            if any(precedes(gap) for place, gap in known.items() if place < start):
                return start
            for place in range(start - 1, 0, -1):
                if place not in known:
                    known[place] = yield place
                if precedes(known[place]):
                    return start
            start = next((k + 1 for k in range(start, end + 1) if precedes(known[k])), end + 1)
    return -1


def _status(prefix: int, *, possible: bool, first: Gap, delta: float) -> Status:
    if prefix > 0:
        return "found"
    if possible or first is None:
        return "unscored"
    return "no_switch" if _above(first, delta) else "none"


def _switch(
    status: Status, prefix: int, *, gaps: Sequence[Gap], probes: int, delta: float, window: int
) -> Switch:
    """Add the evidence: the mean gap over the window, and how far the run is known to go."""
    if prefix < 0:
        return Switch(status, -1, 0.0, 0, tuple(gaps), probes)
    confirming = [gap for gap in gaps[prefix : prefix + window + 1] if gap is not None]
    run = next((k for k, gap in enumerate(gaps[prefix:]) if not _above(gap, delta)), len(gaps) - prefix)
    return Switch(status, prefix, sum(confirming) / len(confirming), run, tuple(gaps), probes)
