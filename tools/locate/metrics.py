"""How well a location method finds the gold mistake step (P1 table 7).

Steps are 0-based; a gold of -1 means that no step is wrong. A prediction p of -1 is right only for gold -1.
Recall@3 is given in both readings: as the paper words it, gold in {p-3..p}, and as three steps, gold in
{p-2..p}.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from errata.tools.errors import OperatorError
from errata.tools.evaluate.compare import paired_interval, wilson
from errata.tools.records import Interval, Mistake, Record


class LocationScores(Record):
    """Scores of one method over the mistakes with a gold step; intervals are Wilson's, 95 %."""

    method: str
    total: int
    accuracy: Interval
    recall3_paper: Interval
    """Gold in {p-3..p}."""
    recall3_steps: Interval
    """Gold in {p-2..p}."""
    probes: int
    """Prefixes for which the teacher was asked."""
    prefixes: int
    """Prefixes that asking for every one would take; 0 for a method that asks nothing."""
    saved: float | None
    """Share of calls saved against the full scan; None for a method that asks nothing."""
    statuses: dict[str, int]


def location_scores(mistakes: Sequence[Mistake], *, gold: Mapping[str, int]) -> LocationScores:
    """Scores against the gold step by attempt id; mistakes without one are left out. OperatorError when none
    is left."""
    judged = _judged(mistakes, gold=gold)
    prefixes = sum(len(mistake.gaps) for mistake in judged)
    probes = sum(mistake.probes for mistake in judged)
    return LocationScores(
        method=judged[0].method,
        total=len(judged),
        accuracy=_share(judged, gold=gold, reach=0),
        recall3_paper=_share(judged, gold=gold, reach=3),
        recall3_steps=_share(judged, gold=gold, reach=2),
        probes=probes,
        prefixes=prefixes,
        saved=1 - probes / prefixes if prefixes else None,
        statuses=dict(sorted(Counter(str(mistake.status) for mistake in judged).items())),
    )


def location_lead(
    first: Sequence[Mistake], second: Sequence[Mistake], *, gold: Mapping[str, int], seed: int, reach: int = 0
) -> Interval:
    """How far the first method is ahead on the same attempts: paired bootstrap of accuracy, or of recall
    within `reach`."""
    ahead, behind = ({m.attempt: m for m in _judged(side, gold=gold)} for side in (first, second))
    if ahead.keys() != behind.keys():
        odd = sorted(ahead.keys() ^ behind.keys())
        raise OperatorError(
            "the two methods judged different attempts",
            where="attempt",
            value=odd[0],
            remedy="locate the same attempts with both",
        )
    return paired_interval(
        [
            float(is_located(mistake.step, gold=gold[key], reach=reach))
            - float(is_located(behind[key].step, gold=gold[key], reach=reach))
            for key, mistake in ahead.items()
        ],
        seed=seed,
    )


def is_located(step: int, *, gold: int, reach: int = 0) -> bool:
    """Whether gold lies in {step - reach..step}; -1 on either side only matches -1."""
    if step < 0 or gold < 0:
        return step < 0 and gold < 0
    return step - reach <= gold <= step


def _judged(mistakes: Sequence[Mistake], *, gold: Mapping[str, int]) -> list[Mistake]:
    judged = [mistake for mistake in mistakes if mistake.attempt in gold]
    if not judged:
        raise OperatorError("no mistake has a gold step", remedy="give gold steps of these attempts")
    return judged


def _share(mistakes: Sequence[Mistake], *, gold: Mapping[str, int], reach: int) -> Interval:
    hits = sum(is_located(mistake.step, gold=gold[mistake.attempt], reach=reach) for mistake in mistakes)
    return wilson(hits, len(mistakes))
