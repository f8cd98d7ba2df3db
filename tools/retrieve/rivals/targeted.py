"""Methods that search for what the diagnosis found: Errata's own, in three modes, and the paper's top-K."""

from __future__ import annotations

from errata.tools.records import MissingSkill
from errata.tools.retrieve.lexical import SearchIndex
from errata.tools.retrieve.rivals.request import Means, Request, Selection, require
from errata.tools.retrieve.select import Choice, accept_choice, make_listings, retrieve_samples


def bm25_samples(request: Request, *, means: Means) -> Selection:
    """Errata's own: BM25 over required skills, round-robin over mistakes (P1 3.5)."""
    remedy = "build an index over the required skills of the pool"
    return _search(request, index=require(means.bm25, method="errata-bm25", what="a BM25 index", remedy=remedy))


def dense_samples(request: Request, *, means: Means) -> Selection:
    """The same turns over a dense index."""
    remedy = "build the skill index with an embedding (retrieve.embedding)"
    return _search(request, index=require(means.dense, method="dense", what="a dense index", remedy=remedy))


def hybrid_samples(request: Request, *, means: Means) -> Selection:
    """The same turns over both, fused by reciprocal ranks."""
    remedy = "build the skill index with an embedding (retrieve.embedding)"
    return _search(request, index=require(means.hybrid, method="hybrid", what="a hybrid index", remedy=remedy))


def uniform_samples(request: Request, *, means: Means) -> Selection:
    """The paper's top-K: every mistake gets its budget / mistakes best samples, one more for the first ones.

    A sample that an earlier mistake has already gains a parent and is replaced by the next of the list, so
    that the number of unique samples is that of the other methods (the paper does not say what it does).
    """
    index = require(means.search, method="uniform", what="an index", remedy="index the required skills of the pool")
    pool, budget = request.pool, max(0, request.budget)
    allowed = pool.keys() - request.taken
    listings = make_listings(request.skills, index=index, allowed=allowed, budget=budget, query="wording")
    chosen: dict[str, Choice] = {}
    share, rest = divmod(budget, max(1, len(listings)))
    for order, listing in enumerate(listings):
        wanted = share + (order < rest)
        while wanted and (hit := listing.next()):
            wanted -= hit.sample_id not in chosen
            chosen.setdefault(hit.sample_id, Choice(hit.sample_id)).add(listing.skill, hit.score)
    return Selection([accept_choice(choice, pool=pool, route=index.route) for choice in chosen.values()])


def _search(request: Request, *, index: SearchIndex) -> Selection:
    skills: list[MissingSkill] = list(request.skills)
    found = retrieve_samples(
        skills,
        pool=request.pool,
        index=index,
        budget=request.budget,
        taken=request.taken,
        seed=request.seed,
        fill=request.fill,
    )
    return Selection(found)
