"""Dense search for samples: Chroma finds the skills that are near, the lexical index knows who lists them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from errata.tools.records import Route
from errata.tools.retrieve.lexical import Hit, SkillIndex, Where

if TYPE_CHECKING:
    from errata.tools.retrieve.chroma import SkillCollection

FIRST = 64
"""Skills that are asked for at first."""


class DenseIndex:
    """A sample scores the cosine of its nearest skill."""

    route: Route = "dense"

    def __init__(self, collection: SkillCollection, samples: SkillIndex) -> None:
        """`collection` holds the skills of `samples`."""
        self._collection, self._samples = collection, samples

    def search(self, query: str, k: int, *, where: Where | None = None) -> list[Hit]:
        """The k best samples above 0 that fit `where`, by score descending, then id ascending.

        Exact up to `chroma.EXACT` skills, above as exact as Chroma's graph (HNSW) is.
        Raises OperatorError when dense search is off.
        """
        asked, total = FIRST, len(self._collection)
        while True:
            near = self._collection.nearest_skills(query, asked)
            whole = len(near) < asked or asked >= total
            hits = self._list_samples(near, k, where=where, whole=whole)
            if whole or len(hits) >= k:
                return hits[: max(0, k)]
            asked *= 4

    def _list_samples(self, near: list[tuple[str, float]], k: int, *, where: Where | None, whole: bool) -> list[Hit]:
        """Samples of these skills; of skills that tie with the last only if all that tie are there (`whole`)."""
        hits: list[Hit] = []
        seen: set[str] = set()
        for score in sorted({score for _, score in near if score > 0}, reverse=True):
            if len(hits) >= k or (not whole and score == near[-1][1]):
                break
            skills = [skill for skill, own in near if own == score]
            found = {s for skill in skills for s in self._samples.list_samples(skill, where=where)} - seen
            seen |= found
            hits += [Hit(name, score) for name in sorted(found)]
        return hits


class FilteredIndex:
    """An index that only finds samples whose metadata fit."""

    def __init__(self, index: SkillIndex | DenseIndex, where: Where) -> None:
        self.route: Route = index.route
        self._index, self._where = index, where

    def search(self, query: str, k: int) -> list[Hit]:
        """The k best samples above 0 that fit, by score descending, then id ascending."""
        return self._index.search(query, k, where=self._where)
