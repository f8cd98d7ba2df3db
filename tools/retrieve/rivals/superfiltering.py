"""Superfiltering: samples that are hard to follow for a small language model (P1 4.1, after Li et al. 2024).

The instruction-following difficulty is IFD = PPL(y|x) / PPL(y): near 0 where the question gives the answer
away, 1 or more where it does not help at all. The greatest below 1 are chosen. The language model reads words
alone, which is what P1 holds against it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from errata.tools.records import Problem
from errata.tools.retrieve.rivals.request import (
    Exchange,
    Means,
    Perplexity,
    Request,
    Selection,
    question_text,
    require,
    take_best,
)
from errata.tools.retrieve.rivals.scores import score_pool

UNHELPFUL = "IFD of 1 or more"
UNSCORED = "no IFD: the answer is empty, has no room beside its question, or is beyond all bounds"


def superfiltering_samples(request: Request, *, means: Means) -> Selection:
    """The samples with the greatest IFD below 1; the others are counted by reason."""
    remedy = "set rivals.language_model to the folder of a causal language model"
    measure = require(means.perplexity, method="superfiltering", what="a language model", remedy=remedy)

    def score(problems: Sequence[Problem]) -> list[float | None]:
        return [ifd_of(found) for found in measure([make_exchange(p) for p in problems])]

    store = means.store / "superfiltering.jsonl" if means.store else None
    scores = score_pool(request.pool, score=score, key=f"ifd {measure.name}", store=store)
    kept: dict[str, float] = {}
    left_out: Counter[str] = Counter()
    for name, value in scores.items():
        if value is None or value >= 1:
            left_out[UNSCORED if value is None else UNHELPFUL] += 1
        else:
            kept[name] = value
    found = take_best(kept, request=request, route="superfiltering", reason="IFD {score}")
    return Selection(found, dict(sorted(left_out.items())))


def ifd_of(found: Perplexity | None) -> float | None:
    """PPL(y|x) / PPL(y), rounded to 6 decimals; None where it is not a number."""
    if found is None or not math.isfinite(found.given) or not math.isfinite(found.alone) or found.alone <= 0:
        return None
    return round(found.given / found.alone, 6)


def make_exchange(problem: Problem) -> Exchange:
    """Question and choices, and the very answer that a student is trained on."""
    from errata.tools.student.encode import student_answer

    return Exchange(question_text(problem), student_answer(problem))
