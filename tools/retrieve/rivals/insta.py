"""INSTA*: samples that read like validation questions (P1 4.1, after Lee et al. 2024)."""

from __future__ import annotations

from collections.abc import Sequence

from errata.tools.records import Problem, digest
from errata.tools.retrieve.rivals.request import (
    Means,
    Request,
    Selection,
    question_text,
    require,
    require_validation,
    take_best,
)
from errata.tools.retrieve.rivals.scores import score_pool


def insta_samples(request: Request, *, means: Means) -> Selection:
    """The samples whose question is nearest to any validation question, by cosine of sentence embeddings.

    P1 says "ranks by SBERT similarity to the validation samples" and not how many similarities become one
    score. Here it is the greatest: the mean would rank by likeness to their centre, and a sample that equals
    one validation question would lose to one that resembles none. Texts are question and choices; pictures
    and answers are not read.
    """
    import numpy as np

    remedy = "set retrieve.embedding, or rivals.embedder to the folder of a sentence encoder or to hashing"
    embed = require(means.embed, method="insta", what="a sentence encoder", remedy=remedy)
    texts = list(dict.fromkeys(question_text(p) for p in require_validation(request, method="insta")))
    wanted = embed(texts)

    def score(problems: Sequence[Problem]) -> list[float]:
        likeness = embed([question_text(p) for p in problems]) @ wanted.T
        return [round(float(value), 6) for value in np.max(likeness, axis=1)]

    store = means.store / "insta.jsonl" if means.store else None
    scores = score_pool(request.pool, score=score, key=digest("insta", embed.name, sorted(texts)), store=store)
    known = {name: value for name, value in scores.items() if value is not None}
    found = take_best(known, request=request, route="insta", reason="cosine {score} to its nearest validation question")
    return Selection(found)
