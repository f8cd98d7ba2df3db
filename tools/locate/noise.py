"""The noise of the embedded teacher, fitted to the rates that the paper reports for a language model (P1 3.3).

On 100 errors of ScienceQA the paper's teacher gave the right option the higher probability before any step in 89 % of
the cases with the stated prior (60 % without), and had shifted to the wrong one after all steps in 70 % (43 %). The
noise is fitted to those four rates on problems of its own; where it locates mistakes is never looked at.

In the world no words tell an answer, so that without a prior every reader starts right in half of the cases.
`knowledge` is what a language model half knows; start noise and knowledge follow from the two starting rates in closed
form (two options, normal leans), reliability and trust noise are searched on a grid for the two shifting rates.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import NamedTuple

from errata.tools.locate.answer_switch import SwitchOptions, ask_gaps
from errata.tools.records import Attempt, Problem
from errata.tools.teacher.protocol import Teacher
from errata.tools.teacher.world import WorldTeacher, WorldTeacherOptions

PRIOR = 0.6
STEP_SHARE = 0.25
"""Part of the lean's variance that is drawn anew for every prefix; free, since no published rate depends on it."""
RELIABILITIES = (0.5, 0.6, 0.7, 0.8, 0.9)
TRUST_NOISES = (0.5, 1.0, 2.0, 3.0, 4.0)


class SwitchRates(NamedTuple):
    """Shares of errors, as fractions."""

    starts_with_prior: float
    shifts_with_prior: float
    starts_without: float
    shifts_without: float


PUBLISHED = SwitchRates(0.89, 0.70, 0.60, 0.43)

CALIBRATED = WorldTeacherOptions(
    reliability=0.7, trust_noise=3.0, start_noise=0.2551, step_noise=0.1473, knowledge=0.1056
)
"""What `python -m benchmarks.noise` fitted."""


def switch_rates(attempts: Sequence[Attempt], *, problems: Mapping[str, Problem], teacher: Teacher) -> SwitchRates:
    """Starts: gold ahead before any step. Shifts: and the wrong answer ahead after all steps."""
    shares: list[float] = []
    for prior in (PRIOR, None):
        options = SwitchOptions(prior=prior)
        asked = [(a, steps) for a in attempts for steps in ((), a.steps)]
        gaps = ask_gaps(asked, problems=problems, teacher=teacher, options=options)
        pairs = [(first, last) for first, last in zip(gaps[::2], gaps[1::2], strict=True)]
        starts = [first is not None and first < 0 for first, _ in pairs]
        shifts = [s and last is not None and last > 0 for s, (_, last) in zip(starts, pairs, strict=True)]
        shares += [sum(starts) / len(pairs), sum(shifts) / len(pairs)]
    return SwitchRates(*shares)


def lean_noise(rates: SwitchRates = PUBLISHED) -> tuple[float, float]:
    """(standard deviation of one option's lean, knowledge), in log-odds, for the two starting rates."""
    stated = math.log(PRIOR / (1 - PRIOR))
    with_prior, without = (NormalDist().inv_cdf(r) for r in (rates.starts_with_prior, rates.starts_without))
    difference = stated / (with_prior - without)
    return difference / math.sqrt(2), without * difference


def fit_noise(
    attempts: Sequence[Attempt], *, problems: Mapping[str, Problem]
) -> tuple[WorldTeacherOptions, SwitchRates]:
    """The options of least squared distance to the published rates, and the rates they give on these errors."""
    lean, knowledge = lean_noise()
    best: tuple[float, WorldTeacherOptions, SwitchRates] | None = None
    for reliability in RELIABILITIES:
        for trust_noise in TRUST_NOISES:
            options = WorldTeacherOptions(
                reliability=reliability,
                trust_noise=trust_noise,
                start_noise=round(lean * math.sqrt(1 - STEP_SHARE), 4),
                step_noise=round(lean * math.sqrt(STEP_SHARE), 4),
                knowledge=round(knowledge, 4),
            )
            rates = switch_rates(attempts, problems=problems, teacher=simulate(options, problems=problems))
            distance = sum((a - b) ** 2 for a, b in zip(rates, PUBLISHED, strict=True))
            if best is None or distance < best[0]:
                best = (distance, options, rates)
    assert best is not None
    return best[1], best[2]


def simulate(options: WorldTeacherOptions, *, problems: Mapping[str, Problem]) -> WorldTeacher:
    """The embedded teacher that half knows the answers of these problems."""
    return WorldTeacher(options, known={p.id: p.target_text for p in problems.values()})
