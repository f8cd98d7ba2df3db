"""Exact BM25 on the factorised index (P1 3.5; methods, section 4): which samples are best, and why.

Lucene's idf, log(1 + (N - n + .5) / (n + .5)), since the classic one is negative for common skills; k1 1.5, b 0.75,
and the classic factor k1 + 1. Counts and idf are over all segments of an index, so that an index in several
segments answers as one. Scores are float64 and rounded to 9 decimals, so that equal documents tie whatever the
order of summation.

Few samples are scored: words are taken by their greatest possible weight, and when the k-th best sample scores more
than the remaining words could give together, samples that hold only these are out (MaxScore; Turtle and Flood 1995).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tools.retrieve.segment import Ints, Segment, split_words

K1 = 1.5
B = 0.75
DECIMALS = 9
NEXT = 4
"""So many of the words that follow are looked at before a sample is scored."""
COMMON = 6
"""Words that one in so many samples holds are not looked at: they tell little, and marking them takes time."""

Scores = NDArray[np.float64]


class Term(NamedTuple):
    """A word of a query; `weight` is its idf, times k1 + 1, times how often the query says it."""

    word: str
    times: int
    idf: float

    @property
    def weight(self) -> float:
        """What the word adds to a sample's score when it fills the sample."""
        return self.times * self.idf * (K1 + 1)


class Match(NamedTuple):
    """Why a sample was found: a word, how often query and sample say it, its idf, and what it adds."""

    word: str
    in_query: int
    in_sample: int
    idf: float
    adds: float


class Best(NamedTuple):
    """Samples of one segment by score descending, then row ascending (which is id ascending)."""

    rows: Ints
    scores: Scores
    floor: float
    """What a further sample must score at least."""


class Word(NamedTuple):
    """A term as one segment knows it: the row of the word, and how often one sample holds it at most."""

    weight: float
    row: int
    most: int


def weigh_words(query: str, *, segments: Sequence[Segment]) -> list[Term]:
    """The words of a query that some sample holds, by word."""
    documents = sum(map(len, segments))
    terms = []
    for word, times in sorted(Counter(split_words(query)).items()):
        held = sum(segment.holding(word) for segment in segments)
        if held:
            terms.append(Term(word, times, math.log(1 + (documents - held + 0.5) / (held + 0.5))))
    return terms


def mean_length(segments: Sequence[Segment]) -> float:
    """Words per sample over all segments; 1 where there is none, since nothing is divided by it then."""
    total = sum(segment.total for segment in segments)
    return total / sum(map(len, segments)) if total else 1.0


class Searcher:
    """Finds the best samples of one segment."""

    def __init__(self, segment: Segment, *, mean: float) -> None:
        self.segment = segment
        self.norms = K1 * (1 - B + B * np.arange(segment.longest + 1) / mean)
        self.bits = next(bits for bits in (8, 16, 32) if segment.longest < 1 << bits)

    def find_best(
        self, terms: Sequence[Term], k: int, *, floor: float = 0.0, allowed: NDArray[np.bool_] | None = None
    ) -> Best:
        """The k best samples above 0 and not below `floor`, of those that are `allowed` (bool[samples])."""
        segment = self.segment
        rows = [(term.weight, segment.words[term.word]) for term in terms if term.word in segment.words]
        words = [Word(weight, row, int(segment.most[row])) for weight, row in rows]
        words.sort(key=lambda word: (-self.bound(word), word.row))
        search = _Search(self, words, k=k, floor=floor, allowed=allowed)
        for first in range(len(words) if k > 0 else 0):
            if _round_up(sum(map(self.bound, words[first:]))) < search.best.floor:
                break
            search.take_in(first)
        return search.best

    def bound(self, word: Word) -> float:
        """What the word can add to a sample of this segment at most."""
        return word.weight * word.most / (word.most + float(self.norms[self.segment.least[word.row]]))


class _Search:
    """One query on its way through the words of one segment; `best` is what it found so far."""

    def __init__(
        self, searcher: Searcher, words: Sequence[Word], *, k: int, floor: float, allowed: NDArray[np.bool_] | None
    ) -> None:
        self.best = Best(np.zeros(0, np.int32), np.zeros(0), floor)
        self._segment, self._norms, self._bits = searcher.segment, searcher.norms, searcher.bits
        self._words, self._k, self._allowed = words, k, allowed

    def take_in(self, first: int) -> None:
        """Score the samples that hold word `first` and none before it, as far as they can be among the best.

        Those that could score most come first, in growing batches; the others drop out as the floor rises. Samples
        of one kind have one bound.
        """
        rows, times = self._segment.postings.of(self._words[first].row)
        if self._allowed is not None:
            fit = self._allowed[rows]
            rows, times = rows[fit], times[fit]
        batch = 4 * self._k
        if len(rows) <= batch:
            self._score(rows, first=first)
            return
        kinds, bounds = self._find_kinds(rows, times, first=first), self._find_bounds(first)
        while len(rows):
            keep = (bounds >= self.best.floor)[kinds]
            if len(self.best.rows) == self._k and self.best.floor == self.best.scores[-1]:
                keep &= (rows < self.best.rows[-1]) | (bounds > self.best.floor)[kinds]
            rows, kinds = rows[keep], kinds[keep]
            chosen = np.ones(len(rows), dtype=bool)
            if len(rows) > batch:
                order = np.argsort(-bounds, kind="stable")
                reached = np.cumsum(np.bincount(kinds, minlength=len(bounds))[order])
                chosen = (bounds >= bounds[order[np.searchsorted(reached, batch)]])[kinds]
                chosen[np.flatnonzero(chosen)[batch:]] = False
            self._score(rows[chosen], first=first)
            rows, kinds = rows[~chosen], kinds[~chosen]
            batch *= 4

    @cached_property
    def _marks(self) -> NDArray[np.uint8]:
        """By sample: one bit for each of the first eight words that it holds, those in very many samples left out."""
        marks = np.zeros(len(self._segment), dtype=np.uint8)
        for number in filter(self._is_marked, range(len(self._words))):
            rows, _ = self._segment.postings.of(self._words[number].row)
            marks[rows] |= np.uint8(1 << number)
        return marks

    def _is_marked(self, number: int) -> bool:
        starts, row = self._segment.postings.starts, self._words[number].row
        return number < 8 and int(starts[row + 1] - starts[row]) * COMMON <= len(self._segment)

    def _find_kinds(self, rows: Ints, times: Ints, *, first: int) -> Ints:
        """By sample: which of the next words it holds, how often this word (3 is 3 or more), and its length."""
        bits = np.arange(256)
        codes = np.where(bits & ((1 << first) - 1), 1 << NEXT, (bits >> (first + 1)) & ((1 << NEXT) - 1))
        kinds = codes.astype(np.int32)[self._marks[rows]]
        kinds *= 4
        kinds += np.minimum(times, 3)
        kinds *= len(self._norms)
        kinds += self._segment.lengths[rows]
        return kinds

    def _find_bounds(self, first: int) -> Scores:
        """By kind: what its samples can score at most; below 0 for those that hold a word before `first`."""
        own, width = self._words[first], len(self._norms)
        times = np.array([0, 1, 2, own.most])[:, None]
        bounds: Scores = np.zeros(((1 << NEXT) + 1, 4, width)) + own.weight * times / (times + self._norms)
        codes = np.arange((1 << NEXT) + 1)[:, None, None]
        for place, word in enumerate(self._words[first + 1 :]):
            most = word.weight * word.most / (word.most + self._norms)
            known = place < NEXT and self._is_marked(first + 1 + place)
            bounds += most * (codes >> place & 1) if known else most
        bounds = _round_up(bounds)
        bounds[-1] = -1
        return bounds.ravel()

    @cached_property
    def _counts(self) -> list[NDArray[np.uint64]]:
        """How often each skill holds each word: uint64[skills], `_bits` bits a word, several where they are full."""
        segment, per = self._segment, 64 // self._bits
        packed = [np.zeros(len(segment.skills), np.uint64) for _ in range(0, len(self._words), per)]
        for number, word in enumerate(self._words):
            times = segment.times[segment.holders.starts[word.row] : segment.holders.starts[word.row + 1]]
            shift = np.uint64(number % per * self._bits)
            packed[number // per][segment.holders.of(word.row)] += times.astype(np.uint64) << shift
        return packed

    def _score(self, rows: Ints, *, first: int) -> None:
        """Keep the best of those that hold none of the words before `first`: they were scored with these."""
        if not len(rows):
            return
        skills, begins = self._segment.skills_of.join(rows)
        packed = [np.add.reduceat(count[skills], begins) for count in self._counts]
        mask, per = np.uint64((1 << self._bits) - 1), 64 // self._bits
        norms = self._norms[self._segment.lengths[rows]]
        scores, fresh = np.zeros(len(rows)), np.ones(len(rows), dtype=bool)
        for number, word in enumerate(self._words):
            times = (packed[number // per] >> np.uint64(number % per * self._bits)) & mask
            if number < first:
                fresh &= times == 0
            else:
                scores += word.weight * times / (times + norms)
        self.best = _merge(self.best, (rows[fresh], np.round(scores[fresh], DECIMALS)), k=self._k)


def _round_up(bound: Any) -> Any:
    """A bound that no score rounded to `DECIMALS` is above, whatever the order of summation."""
    return np.round(bound + 1e-12, DECIMALS)


def _merge(best: Best, found: tuple[Ints, Scores], *, k: int) -> Best:
    """The k best of both, exactly: of equal scores the lower rows stay."""
    enough = found[1] >= max(best.floor, 0.1**DECIMALS)
    rows = np.concatenate([best.rows, found[0][enough]])
    scores = np.concatenate([best.scores, found[1][enough]])
    if len(rows) > k:
        worst = np.partition(scores, len(scores) - k)[-k]
        rows, scores = rows[scores >= worst], scores[scores >= worst]
    order = np.lexsort((rows, -scores))[:k]
    floor = max(best.floor, float(scores[order[-1]])) if len(order) == k else best.floor
    return Best(rows[order], scores[order], floor)


def explain_sample(segment: Segment, row: int, *, terms: Sequence[Term], mean: float) -> list[Match]:
    """What each word of the query adds to a sample's score, the most first."""
    norm = K1 * (1 - B + B * int(segment.lengths[row]) / mean)
    own = segment.skills_of.of(row)
    words = Counter(word for skill in segment.skills.take(own) for word in split_words(skill))
    matches = [
        Match(t.word, t.times, words[t.word], t.idf, t.weight * words[t.word] / (words[t.word] + norm)) for t in terms
    ]
    return sorted((m for m in matches if m.in_sample), key=lambda m: (-m.adds, m.word))
