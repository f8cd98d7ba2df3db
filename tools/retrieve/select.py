"""From an index to a budget of samples (methods, section 4; P1 3.5).

Round-robin by rank: at rank r every mistake, in stable order, names the r-th sample of its own list that
is still to be had. A sample that is new takes one place of the budget; one that was chosen already gains
a parent. So mistakes that lack the same skill share one list and do not crowd out the others.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Literal

from errata.tools.records import Candidate, MissingSkill, Problem, Route, digest, seed_of
from errata.tools.retrieve.lexical import Hit, SearchIndex

Query = Literal["wording", "skill"]
"""What is searched for: the teacher's own wording, or the canonical skill."""


class HybridIndex:
    """Reciprocal rank fusion of several indexes: score = sum of 1 / (constant + rank), rank from 1."""

    route: Route = "hybrid"

    def __init__(self, *indexes: SearchIndex, constant: int = 60, depth: int = 2000) -> None:
        """Each index is read to `depth`, whatever is asked, so that a longer answer begins as a shorter."""
        self._indexes, self._constant, self._depth = indexes, constant, depth

    def search(self, query: str, k: int) -> list[Hit]:
        """The k best by (fused score rounded to 12 decimals, descending; id, ascending)."""
        fused: dict[str, float] = {}
        for index in self._indexes:
            for rank, hit in enumerate(index.search(query, self._depth), start=1):
                fused[hit.sample_id] = fused.get(hit.sample_id, 0.0) + 1 / (self._constant + rank)
        ranked = sorted(fused.items(), key=lambda item: (-round(item[1], 12), item[0]))
        return [Hit(name, round(score, 12)) for name, score in ranked[: max(0, k)]]


class Choice:
    """One sample while the budget is being filled: who found it, and how well it fits."""

    def __init__(self, sample: str) -> None:
        self.sample = sample
        self.parents: list[MissingSkill] = []
        self.score = 0.0

    def add(self, parent: MissingSkill, score: float) -> None:
        """Remember one more mistake that found this sample; the best score stays."""
        self.parents.append(parent)
        self.score = max(self.score, score)


class Listing:
    """The samples that one mistake may have, best first; the others are passed over and remembered.

    Nothing at or below a score of 0 is retrieved, and no sample twice, whatever the index gives.
    """

    def __init__(
        self,
        skill: MissingSkill,
        *,
        index: SearchIndex,
        allowed: AbstractSet[str],
        query: Query,
        depth: int,
        cache: dict[tuple[str, int], list[Hit]],
    ) -> None:
        self.skill = skill
        self.passed: list[Hit] = []
        self._text = skill.wording if query == "wording" else skill.skill
        self._index, self._allowed, self._depth, self._cache = index, allowed, depth, cache
        self._hits, self._at = self._search(depth), 0
        self._named: set[str] = set()

    def next(self) -> Hit | None:
        """The next sample that may be had, None at the end of the list."""
        while True:
            if self._at == len(self._hits):
                if len(self._hits) < self._depth:
                    return None
                self._depth *= 4
                self._hits = self._search(self._depth)
                if self._at == len(self._hits):
                    return None
            hit = self._hits[self._at]
            if hit.score <= 0:
                return None
            self._at += 1
            if hit.sample_id in self._named:
                continue
            self._named.add(hit.sample_id)
            if hit.sample_id in self._allowed:
                return hit
            self.passed.append(hit)

    def _search(self, depth: int) -> list[Hit]:
        key = (self._text, depth)
        if key not in self._cache:
            self._cache[key] = self._index.search(*key)
        return self._cache[key]


def retrieve_samples(
    skills: Sequence[MissingSkill],
    *,
    pool: Mapping[str, Problem],
    index: SearchIndex,
    budget: int,
    taken: AbstractSet[str] = frozenset(),
    seed: int = 0,
    fill: bool = False,
    forbidden: Mapping[str, str] | None = None,
    query: Query = "wording",
) -> list[Candidate]:
    """At most `budget` unique accepted samples in order of choice, then the rejected ones.

    `taken` are ids of samples that were trained on before; they and ids outside the pool are passed over.
    Samples in `forbidden` (id to reason, from the firewall) come back rejected when the search came across
    them. With `fill`, what the search leaves of the budget is drawn at random and marked `fill`.
    """
    refused = forbidden or {}
    allowed = pool.keys() - taken - refused.keys()
    listings = make_listings(skills, index=index, allowed=allowed, budget=budget, query=query)
    chosen = _fill_round_robin(listings, budget=budget)
    found = [accept_choice(choice, pool=pool, route=index.route) for choice in chosen.values()]
    if fill and skills:
        found += draw_samples(
            pool,
            count=budget - len(found),
            allowed=allowed - chosen.keys(),
            seed=seed_of("fill", seed),
            route="fill",
            parents=[f"iteration-{n}" for n in sorted({s.iteration for s in skills})],
            reason="drawn at random: the search found too few",
        )
    return found + _rejected(listings, pool=pool, refused=refused, route=index.route)


def make_listings(
    skills: Sequence[MissingSkill],
    *,
    index: SearchIndex,
    allowed: AbstractSet[str],
    budget: int,
    query: Query,
) -> list[Listing]:
    """One list per missing skill, by problem, then by id. Equal queries are searched once."""
    cache: dict[tuple[str, int], list[Hit]] = {}
    return [
        Listing(skill, index=index, allowed=allowed, query=query, depth=max(2 * budget, 50), cache=cache)
        for skill in sorted(skills, key=lambda s: (s.problem, s.id))
    ]


def _fill_round_robin(listings: Sequence[Listing], *, budget: int) -> dict[str, Choice]:
    """The last rank is finished after the budget is full, but only to add parents to what was chosen."""
    chosen: dict[str, Choice] = {}
    running = list(listings)
    while running and len(chosen) < budget:
        ended = []
        for listing in running:
            hit = listing.next()
            if hit is None:
                ended.append(listing)
            elif hit.sample_id in chosen or len(chosen) < budget:
                chosen.setdefault(hit.sample_id, Choice(hit.sample_id)).add(listing.skill, hit.score)
        running = [listing for listing in running if listing not in ended]
    return chosen


def accept_choice(choice: Choice, *, pool: Mapping[str, Problem], route: Route) -> Candidate:
    """The record of a chosen sample; its skill is that of the first mistake that found it."""
    parents = tuple(parent.id for parent in choice.parents)
    return Candidate(
        id=digest("candidate", parents, choice.sample, route),
        problem=pool[choice.sample],
        route=route,
        score=choice.score,
        parents=parents,
        skill=choice.parents[0].skill,
        accepted=True,
        reason=f"found for {len(parents)} mistake{'s' if len(parents) > 1 else ''}",
    )


def _rejected(
    listings: Sequence[Listing], *, pool: Mapping[str, Problem], refused: Mapping[str, str], route: Route
) -> list[Candidate]:
    met: dict[str, Choice] = {}
    for listing in listings:
        for hit in listing.passed:
            if hit.sample_id in refused and hit.sample_id in pool:
                met.setdefault(hit.sample_id, Choice(hit.sample_id)).add(listing.skill, hit.score)
    changes = [(accept_choice(c, pool=pool, route=route), refused[c.sample]) for c in met.values()]
    return [record.model_copy(update={"accepted": False, "reason": reason}) for record, reason in changes]


def draw_samples(
    pool: Mapping[str, Problem],
    *,
    count: int,
    allowed: AbstractSet[str],
    seed: int,
    route: Route,
    parents: Sequence[str],
    reason: str,
) -> list[Candidate]:
    """`count` of the allowed samples (all when there are fewer), drawn without replacement."""
    names = sorted(allowed)
    drawn = random.Random(seed).sample(names, max(0, min(count, len(names))))
    return [make_undiagnosed(pool[name], route=route, score=0.0, parents=parents, reason=reason) for name in drawn]


def make_undiagnosed(problem: Problem, *, route: Route, score: float, parents: Sequence[str], reason: str) -> Candidate:
    """The record of a sample that was chosen without a missing skill; its skill is its own first one."""
    return Candidate(
        id=digest("candidate", tuple(parents), problem.id, route),
        problem=problem,
        route=route,
        score=score,
        parents=tuple(parents),
        skill=problem.skills[0] if problem.skills else "",
        accepted=True,
        reason=reason,
    )
