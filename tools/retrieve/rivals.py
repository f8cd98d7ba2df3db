"""What targeted retrieval is measured against: the same number of samples, chosen without diagnosis or
without priorities (P1 4.1; methods, sections 4 and 8).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet

from tools.records import Candidate, MissingSkill, Problem, seed_of
from tools.retrieve.lexical import SearchIndex
from tools.retrieve.select import Choice, Query, accept_choice, draw_samples, make_listings


def random_samples(
    pool: Mapping[str, Problem],
    *,
    budget: int,
    taken: AbstractSet[str] = frozenset(),
    seed: int,
    iteration: int,
) -> list[Candidate]:
    """`budget` samples at random, without replacement; the parent is the iteration."""
    return draw_samples(
        pool,
        count=budget,
        allowed=pool.keys() - taken,
        seed=seed_of("random", seed, iteration),
        route="random",
        parents=[f"iteration-{iteration}"],
        reason="drawn at random: control",
    )


def uniform_samples(
    skills: Sequence[MissingSkill],
    *,
    pool: Mapping[str, Problem],
    index: SearchIndex,
    budget: int,
    taken: AbstractSet[str] = frozenset(),
    query: Query = "wording",
) -> list[Candidate]:
    """The paper's top-K: every mistake gets its budget / mistakes best samples, one more for the first
    ones.

    A sample that an earlier mistake has already gains a parent and is replaced by the next of the list, so
    that the number of unique samples is that of the other methods (the paper does not say what it does).
    """
    listings = make_listings(skills, index=index, allowed=pool.keys() - taken, budget=budget, query=query)
    chosen: dict[str, Choice] = {}
    share, rest = divmod(max(0, budget), max(1, len(listings)))
    for order, listing in enumerate(listings):
        wanted = share + (order < rest)
        while wanted and (hit := listing.next()):
            wanted -= hit.sample_id not in chosen
            chosen.setdefault(hit.sample_id, Choice(hit.sample_id)).add(listing.skill, hit.score)
    return [accept_choice(choice, pool=pool, route=index.route) for choice in chosen.values()]
