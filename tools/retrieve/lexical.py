"""The lexical index: exact BM25 over the skills that samples require (P1 3.5; methods, section 4).

A document is all required skills of a sample. The index is a few segments (tools/retrieve/segment.py), in memory
or mapped from files (tools/retrieve/index_files.py); how samples are scored is in tools/retrieve/scoring.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from errata.tools.errors import OperatorError
from errata.tools.records import Route
from errata.tools.retrieve.kernel import Batch, load_kernel
from errata.tools.retrieve.scoring import (
    DECIMALS,
    Best,
    Match,
    Searcher,
    Term,
    explain_sample,
    mean_length,
    weigh_words,
)
from errata.tools.retrieve.segment import Segment, make_segment, split_words

__all__ = ["Hit", "SearchIndex", "SkillIndex", "Where", "split_words", "top_hits"]

Where = Mapping[str, Sequence[str]]
"""Metadata field to the values that are wanted of it; every field must fit."""


class Hit(NamedTuple):
    """A sample and how well it answers the query; more is better, and always above 0."""

    sample_id: str
    score: float


class SearchIndex(Protocol):
    """What retrieval asks of an index, whatever it is made of."""

    @property
    def route(self) -> Route:
        """What candidates found here are marked with."""
        ...

    def search(self, query: str, k: int) -> list[Hit]:
        """The k best samples above 0, by score descending, then id ascending."""
        ...


class SkillIndex:
    """Answers queries from its segments as if they were one; safe to use from several threads."""

    route: Route = "bm25"

    def __init__(self, segments: Sequence[Segment], *, compiled: bool = True) -> None:
        """No sample may be in two segments; `compiled`: search in C where the machine has a compiler."""
        self._compiled = compiled
        self.segments = tuple(segments)
        self._mean = mean_length(self.segments)
        self._searchers = [Searcher(segment, mean=self._mean) for segment in self.segments]

    @classmethod
    def build(cls, samples: Mapping[str, Sequence[str]]) -> SkillIndex:
        """In memory, from sample id to its skills; a sample may have none, and counts as an empty document."""
        return cls([make_segment((name, skills, ()) for name, skills in samples.items())])

    def __len__(self) -> int:
        return sum(map(len, self.segments))

    @property
    def fields(self) -> tuple[str, ...]:
        """The metadata that samples can be filtered by."""
        return tuple(self.segments[0].fields) if self.segments else ()

    def search(self, query: str, k: int, *, where: Where | None = None) -> list[Hit]:
        """The k best samples above 0 that fit `where`, by score descending, then id ascending.

        Scores are rounded to 9 decimals, so that equal documents tie. A word that the query repeats counts each
        time. Raises OperatorError for a field that the index does not keep.
        """
        return self.search_all([query], k, where=where)[0]

    def search_all(self, queries: Sequence[str], k: int, *, where: Where | None = None) -> list[list[Hit]]:
        """What `search` finds for each query. One call with many queries is faster than a call for each."""
        asked = [weigh_words(query, segments=self.segments) for query in queries]
        found: list[list[Hit]] = [[] for _ in queries]
        floors = [0.0] * len(queries)
        for number, segment in enumerate(self.segments):
            allowed = self._allow(segment, where) if where else None
            for place, best in enumerate(self._find_best(number, asked, k, floors, allowed)):
                hits = list(map(Hit, segment.ids.take(best.rows), best.scores.tolist()))
                if found[place]:
                    hits = sorted(found[place] + hits, key=lambda hit: (-hit.score, hit.sample_id))[:k]
                found[place] = hits
                if 0 < k == len(hits):
                    floors[place] = hits[-1].score
        return found

    def _find_best(
        self,
        number: int,
        asked: Sequence[Sequence[Term]],
        k: int,
        floors: Sequence[float],
        allowed: NDArray[np.bool_] | None,
    ) -> list[Best]:
        """The best samples of one segment for each query: by the compiled search where it can be had."""
        if self._batches and k > 0:
            return self._batches[number].find_best(asked, k, floors=floors, allowed=allowed)
        searcher = self._searchers[number]
        return [
            searcher.find_best(terms, k, floor=floor, allowed=allowed)
            for terms, floor in zip(asked, floors, strict=True)
        ]

    @cached_property
    def _batches(self) -> list[Batch]:
        kernel = load_kernel() if self._compiled else None
        return [] if kernel is None else [Batch(searcher, kernel) for searcher in self._searchers]

    def explain(self, query: str, sample_id: str) -> list[Match]:
        """What each word of the query adds to a sample's score. Raises KeyError for an unknown sample."""
        segment, row = self._locate(sample_id)
        return explain_sample(segment, row, terms=weigh_words(query, segments=self.segments), mean=self._mean)

    def skills_of(self, sample_id: str) -> list[str]:
        """What a sample requires, in its own order. Raises KeyError for an unknown sample."""
        segment, row = self._locate(sample_id)
        return segment.skills.take(segment.skills_of.of(row))

    def holds(self, sample_id: str) -> bool:
        """Whether there is such a sample."""
        return any(segment.find(sample_id) is not None for segment in self.segments)

    def count_skills(self) -> dict[str, int]:
        """Distinct skills that hold a word, in order of text, and how many samples list them."""
        counts: Counter[str] = Counter()
        for segment in self.segments:
            starts, items = segment.samples_of
            first = np.ones(len(items), dtype=np.int64)
            first[1:] = items[1:] != items[:-1]
            first[starts[:-1]] = 1
            sizes = np.add.reduceat(first, starts[:-1]).tolist() if len(items) else []
            counts.update(dict(zip(segment.skills.all(), sizes, strict=True)))
        return {skill: counts[skill] for skill in sorted(counts) if split_words(skill)}

    def count_samples(self, skill: str) -> int:
        """How many samples list a skill in just these words."""
        rows = [(segment, segment.skills.find(skill)) for segment in self.segments]
        return sum(len(np.unique(segment.samples_of.of(row))) for segment, row in rows if row is not None)

    def list_samples(self, skill: str, *, where: Where | None = None) -> list[str]:
        """The samples that list a skill in just these words and fit `where`, by id."""
        found: list[str] = []
        for segment in self.segments:
            row = segment.skills.find(skill)
            if row is not None:
                rows = np.unique(segment.samples_of.of(row))
                found += segment.ids.take(rows[self._allow(segment, where)[rows]] if where else rows)
        return sorted(found)

    def _locate(self, sample_id: str) -> tuple[Segment, int]:
        for segment in self.segments:
            row = segment.find(sample_id)
            if row is not None:
                return segment, row
        raise KeyError(sample_id)

    def _allow(self, segment: Segment, where: Where) -> NDArray[np.bool_]:
        """bool[samples]: which samples fit every field."""
        allowed = np.ones(len(segment), dtype=bool)
        for field, wanted in where.items():
            if field not in segment.fields:
                remedy = f"the index keeps {', '.join(segment.fields) or 'no metadata'}"
                raise OperatorError("no such field to filter by", where="where", value=field, remedy=remedy)
            values, codes = segment.fields[field]
            allowed &= np.array([value in wanted for value in values], dtype=bool)[codes]
        return allowed


def top_hits(ids: Sequence[str], scores: NDArray[np.float64], k: int) -> list[Hit]:
    """The k best above 0: score rounded to 9 decimals descending, then id; `ids` must be sorted."""
    rounded = np.round(scores, DECIMALS)
    positive = np.flatnonzero(rounded > 0)
    best = positive[np.argsort(-rounded[positive], kind="stable")[: max(0, k)]]
    return [Hit(ids[i], float(rounded[i])) for i in best]
