"""Is one checkpoint better than another, on the same problems, beyond noise? (methods, section 7)

All statistics are paired: the difference of two attempts at one problem is the unit. Two runs are compared
like two checkpoints of one run.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import comb, sqrt
from typing import NamedTuple

from errata.tools.errors import OperatorError
from errata.tools.records import Attempt, Comparison, Interval, Problem, Split, seed_of

RESAMPLES = 10_000
ALPHA = 0.05
SENTINEL_SIZE = 10
"""Fewest problems with which a skill is watched as a sentinel."""
NO_SKILL = "(no skill)"
_Z95 = 1.959963984540054


class _Pair(NamedTuple):
    skill: str
    before: Attempt
    after: Attempt


def compare_attempts(
    before: Sequence[Attempt],
    after: Sequence[Attempt],
    *,
    split: Split,
    problems: Sequence[Problem],
    seed: int,
    min_gain: float = 0.0,
    keep_steps: float = 0.0,
) -> Comparison:
    """After minus before, with the verdict.

    Accepted when the gain is positive, at least `min_gain` (a fraction), beyond noise (the 95 % paired
    bootstrap interval lies above zero, or the exact McNemar test gives p < 0.05), no sentinel skill fell
    beyond its own noise, and answers still hold `keep_steps` (a share) of their steps: a chain of thought that is
    gone cannot be diagnosed. Raises OperatorError when a problem has no attempt on one side.
    """
    pairs = _pair(before, after, problems=problems)
    differences = [pair.after.score - pair.before.score for pair in pairs]
    gain = paired_interval(differences, seed=seed)
    fixed, broken = _changes(pairs)
    p_value = mcnemar(fixed, broken)
    fallen = fallen_sentinels(pairs)
    accepted, reason = _verdict(gain, p_value=p_value, fallen=fallen, min_gain=min_gain)
    if said := _what_answers_lost(pairs, keep_steps=keep_steps):
        accepted, reason = False, f"rejected: {said}; {reason.partition(': ')[2]}"
    return Comparison(
        before=pairs[0].before.checkpoint,
        after=pairs[0].after.checkpoint,
        split=split,
        total=len(pairs),
        gain=gain,
        fixed=fixed,
        broken=broken,
        p_value=p_value,
        sentinels_fallen=fallen,
        accepted=accepted,
        reason=reason,
    )


def wilson(correct: int, total: int) -> Interval:
    """A share with its 95 % Wilson score interval; 0 of 0 is unknown, so 0 to 1."""
    if total == 0:
        return Interval(value=0.0, low=0.0, high=1.0)
    share, z2 = correct / total, _Z95 * _Z95
    centre = (share + z2 / (2 * total)) / (1 + z2 / total)
    half = _Z95 / (1 + z2 / total) * sqrt(share * (1 - share) / total + z2 / (4 * total * total))
    low = 0.0 if correct == 0 else max(0.0, centre - half)
    high = 1.0 if correct == total else min(1.0, centre + half)
    return Interval(value=share, low=low, high=high)


def paired_interval(values: Sequence[float], *, seed: int) -> Interval:
    """The mean of one value per problem with its 95 % percentile bootstrap interval; the order does not
    matter.

    Problems are resampled by the counts of the distinct values, which is the same law and much faster.
    """
    import numpy as np

    if not values:
        return Interval(value=0.0, low=0.0, high=0.0)
    distinct, counts = np.unique(np.asarray(values, dtype=np.float64), return_counts=True)
    total = len(values)
    mean = float(distinct @ counts) / total
    rng = np.random.default_rng(seed_of("bootstrap", seed))
    means = rng.multinomial(total, counts / total, size=RESAMPLES) @ distinct / total
    low, high = np.percentile(means, [2.5, 97.5])
    return Interval(value=mean, low=float(low), high=float(high))


def mcnemar(fixed: int, broken: int) -> float:
    """Exact two-sided p value that as many answers are broken as fixed; 1.0 when none changed."""
    return min(1.0, 2 * _lower_tail(min(fixed, broken), fixed + broken))


def fallen_sentinels(pairs: Sequence[_Pair]) -> tuple[str, ...]:
    """Skills that fell beyond their own paired noise, by name.

    Each skill with at least ten problems is tested by a one-sided exact sign test on its changed answers;
    Holm's correction over all of them keeps the chance of any false alarm at 5 %.
    """
    by_skill: dict[str, list[_Pair]] = {}
    for pair in pairs:
        by_skill.setdefault(pair.skill, []).append(pair)
    watched = {skill: members for skill, members in by_skill.items() if len(members) >= SENTINEL_SIZE}
    tested = sorted((_fall_p_value(members), skill) for skill, members in watched.items())
    fallen = []
    for rank, (p_value, skill) in enumerate(tested):
        if p_value > ALPHA / (len(tested) - rank):
            break
        fallen.append(skill)
    return tuple(sorted(fallen))


def skill_of(problem: Problem) -> str:
    """The skill that a problem is counted under: the first that the dataset names."""
    return problem.skills[0] if problem.skills else NO_SKILL


def attempts_by_problem(attempts: Sequence[Attempt], *, problems: Sequence[Problem]) -> list[Attempt]:
    """The attempt at each problem, in the order of the problems; OperatorError when one has none."""
    found = {attempt.problem: attempt for attempt in attempts}
    missing = [problem.id for problem in problems if problem.id not in found]
    if missing:
        raise OperatorError(
            f"{len(missing)} of {len(problems)} problems have no attempt",
            where="attempts",
            value=missing[0],
            remedy="answer the same problems with both students, or resume the run",
        )
    return [found[problem.id] for problem in problems]


def _pair(before: Sequence[Attempt], after: Sequence[Attempt], *, problems: Sequence[Problem]) -> list[_Pair]:
    if not problems:
        raise OperatorError("no problems to compare on", where="split", remedy="give a split with problems")
    sides = (attempts_by_problem(side, problems=problems) for side in (before, after))
    return [_Pair(skill_of(problem), *both) for problem, *both in zip(problems, *sides, strict=True)]


def _changes(pairs: Sequence[_Pair]) -> tuple[int, int]:
    """Answers fixed and answers broken."""
    fixed = sum(pair.after.correct and not pair.before.correct for pair in pairs)
    broken = sum(pair.before.correct and not pair.after.correct for pair in pairs)
    return fixed, broken


def _what_answers_lost(pairs: Sequence[_Pair], *, keep_steps: float) -> str:
    """Why the answers themselves speak against the checkpoint; empty when they do not."""
    if len(pairs) >= SENTINEL_SIZE and all(_same(pair) for pair in pairs):
        return f"all {len(pairs)} answers are letter by letter those before: the checkpoint changes nothing"
    before = sum(len(pair.before.steps) for pair in pairs) / len(pairs)
    after = sum(len(pair.after.steps) for pair in pairs) / len(pairs)
    if after < keep_steps * before:
        return f"the chain of thought collapsed, {after:.1f} steps per answer against {before:.1f} before"
    return ""


def _same(pair: _Pair) -> bool:
    return (pair.before.response, pair.before.correct) == (pair.after.response, pair.after.correct)


def _fall_p_value(pairs: Sequence[_Pair]) -> float:
    fixed, broken = _changes(pairs)
    return _lower_tail(fixed, fixed + broken)


def _lower_tail(k: int, n: int) -> float:
    """P(X <= k) for X binomial(n, 1/2)."""
    return float(sum(comb(n, i) for i in range(k + 1)) / 2**n)


def _verdict(gain: Interval, *, p_value: float, fallen: Sequence[str], min_gain: float) -> tuple[bool, str]:
    low, high = 100 * gain.low, 100 * gain.high
    points = f"{100 * gain.value:+.1f} points (95 % {low:+.1f} to {high:+.1f}, p {p_value:.3g})"
    if gain.value <= 0:
        return False, f"rejected: no gain, {points}"
    if gain.low <= 0 and p_value >= ALPHA:
        return False, f"rejected: the gain is within noise, {points}"
    if gain.value < min_gain - 1e-9:
        return False, f"rejected: the gain is below the {100 * min_gain:.1f} points asked for, {points}"
    if fallen:
        return False, f"rejected: fell beyond noise on {', '.join(fallen)}; {points}"
    return True, f"accepted: the gain is beyond noise and no watched skill fell, {points}"
