"""Exact BM25 on the factorised index (P1 3.5; methods, section 4): which samples are best, and why.

Lucene's idf, log(1 + (N - n + .5) / (n + .5)), since the classic one is negative for common skills; k1 1.5, b 0.75,
and the classic factor k1 + 1. Counts and idf are over all segments of an index, so that an index in several
segments answers as one. Scores are float64 and rounded to 9 decimals, so that equal documents tie whatever the
order of summation.

Few samples are scored: as soon as the k-th best sample scores more than what samples of some kind could score at most,
these are out, unseen (MaxScore; Turtle and Flood 1995). Samples lie in order of length, so that what is left of a
word's samples is the beginning of its list.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from errata.tools.retrieve.segment import Ints, Segment, split_words

K1 = 1.5
B = 0.75
DECIMALS = 9
NEXT = 4
"""So many of the parts that follow are looked at before a sample is scored."""
COMMON = 6
"""Parts that one in so many samples is in are not looked at: they tell little, and marking them takes time."""

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
    """Samples of one segment by score descending, then id ascending."""

    rows: Ints
    scores: Scores
    floor: float
    """What a further sample must score at least."""


class Word(NamedTuple):
    """A term as one segment knows it: the row of the word, and what it adds to samples of each length."""

    weight: float
    row: int
    light: Scores
    """float64[longest + 1]: in a sample that holds it once."""
    heavy: Scores
    """float64[longest + 1]: at most."""


class Part(NamedTuple):
    """The samples that hold a word (by its place in the query) once, or more than once."""

    size: int
    word: int
    heavy: bool


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
        self.norms = K1 * (1 - B + B * np.arange(segment.longest + 1, dtype=np.float64) / mean)
        self.bits = next(bits for bits in (8, 16, 32) if segment.longest < 1 << bits)
        self.ends = np.searchsorted(segment.lengths, np.arange(segment.longest + 1), side="right")

    def find_best(
        self, terms: Sequence[Term], k: int, *, floor: float = 0.0, allowed: NDArray[np.bool_] | None = None
    ) -> Best:
        """The k best samples above 0 and not below `floor`, of those that are `allowed` (bool[samples])."""
        rows = [(term.weight, self.segment.words[term.word]) for term in terms if term.word in self.segment.words]
        words = [
            Word(weight, row, weight / (1 + self.norms), weight * most / (most + self.norms))
            for weight, row in rows
            for most in [float(self.segment.most[row])]
        ]
        search = _Search(self, words, k=k, floor=floor, allowed=allowed)
        return search.run() if k > 0 else search.best


class _Search:
    """One query on its way through the samples of one segment; `best` is what it found so far.

    Parts are taken from the smallest to the largest. A sample is scored with the first part that holds it; so what
    it can score at most is what this part's word adds, and what the parts that come later can add, at its length.
    """

    def __init__(
        self, searcher: Searcher, words: Sequence[Word], *, k: int, floor: float, allowed: NDArray[np.bool_] | None
    ) -> None:
        self.best = Best(np.zeros(0, np.int32), np.zeros(0), floor)
        self._segment, self._norms, self._bits = searcher.segment, searcher.norms, searcher.bits
        self._ends = searcher.ends
        self._words, self._k, self._allowed = words, k, allowed
        parts = [
            Part(postings.size(word.row), number, heavy)
            for number, word in enumerate(words)
            for heavy, postings in ((False, self._segment.light), (True, self._segment.heavy))
        ]
        self._parts = sorted(part for part in parts if part.size)
        self._marked = [
            place < 16 and part.size * COMMON <= len(self._segment) for place, part in enumerate(self._parts)
        ]
        self._caps = self._cap_parts()
        self._marks: NDArray[np.uint16] | None = None

    def _cap_parts(self) -> list[Scores]:
        """By part, float64[longest + 1]: what a sample can score at most that this part is the first to hold."""
        later: dict[int, Scores] = {}
        others = np.zeros(len(self._norms))
        caps = []
        for part in reversed(self._parts):
            own, before = self._own(part), later.get(part.word)
            caps.append(_round_up(own + others if before is None else own + others - before))
            later[part.word] = own if before is None else np.maximum(own, before)
            others = others + own if before is None else others - before + later[part.word]
        return caps[::-1]

    def run(self) -> Best:
        """Take in every part that can still matter; small ones at once."""
        ends = np.cumsum([part.size for part in self._parts])
        small = int(np.searchsorted(ends, 8 * self._k, side="right"))
        if small:
            rows = np.unique(np.concatenate([self._rows(p, limit=len(self._segment)) for p in self._parts[:small]]))
            self._score(rows if self._allowed is None else rows[self._allowed[rows]], place=0)
        for place in range(small, len(self._parts)):
            self._take_in(place)
        return self.best

    def _limit(self, place: int) -> int:
        """Rows from here on are too long to be among the best if this part is the first to hold them."""
        able = np.count_nonzero(self._caps[place] >= self.best.floor)
        return int(self._ends[able - 1]) if able else 0

    def _take_in(self, place: int) -> None:
        """Score the samples that this part is the first to hold, as far as they can be among the best.

        Those that could score most come first, in growing batches; the others drop out as the floor rises.
        """
        part, limit = self._parts[place], self._limit(place)
        if not limit:
            return
        rows = self._rows(part, limit=limit)
        times = self._times(part, len(rows))
        if self._allowed is not None:
            fit = self._allowed[rows]
            rows, times = rows[fit], None if times is None else times[fit]
        if len(rows) <= 4 * self._k:
            self._score(rows, place=place)
        else:
            kinds, bounds = self._find_kinds(rows, times, place=place), self._find_bounds(place)
            self._score_in_batches(rows, kinds, bounds, place=place)

    def _score_in_batches(self, rows: Ints, kinds: Ints, bounds: Scores, *, place: int) -> None:
        """`bounds` by kind."""
        batch = 4 * self._k
        while len(rows):
            able = bounds >= self.best.floor
            if not able.all():
                keep = able[kinds]
                rows, kinds = rows[keep], kinds[keep]
            if len(self.best.rows) == self._k and self.best.floor == self.best.scores[-1]:
                worst = self._segment.ranks[self.best.rows[-1]]
                keep = (bounds > self.best.floor)[kinds]
                if not keep.all():
                    keep |= self._segment.ranks[rows] < worst
                    rows, kinds = rows[keep], kinds[keep]
            chosen = np.ones(len(rows), dtype=bool)
            if len(rows) > batch:
                order = np.argsort(-bounds, kind="stable")
                reached = np.cumsum(np.bincount(kinds, minlength=len(bounds))[order])
                chosen = (bounds >= bounds[order[np.searchsorted(reached, batch)]])[kinds]
                chosen[np.flatnonzero(chosen)[batch:]] = False
            self._score(rows[chosen], place=place)
            rows, kinds = rows[~chosen], kinds[~chosen]
            batch *= 4

    def _rows(self, part: Part, *, limit: int) -> Ints:
        postings = self._segment.heavy if part.heavy else self._segment.light
        return postings.below(self._words[part.word].row, limit)

    def _times(self, part: Part, count: int) -> Ints | None:
        """How often the first rows of a part hold its word; None for once."""
        if not part.heavy:
            return None
        start = self._segment.heavy.starts[self._words[part.word].row]
        return self._segment.heavy_times[start : start + count]

    def _own(self, part: Part) -> Scores:
        return self._words[part.word].heavy if part.heavy else self._words[part.word].light

    def _mark(self, place: int) -> NDArray[np.uint16]:
        """By sample: one bit for each of the first 16 parts that hold it, very large ones left out.

        Marks are made when they are first asked for, as far as this and later parts can still matter then.
        """
        if self._marks is None:
            limit = max(self._limit(later) for later in range(place, len(self._parts)))
            self._marks = np.zeros(limit, dtype=np.uint16)
            for later in range(place + 1, len(self._parts)):
                if self._marked[later]:
                    self._marks[self._rows(self._parts[later], limit=limit)] |= np.uint16(1 << later)
        return self._marks

    def _find_kinds(self, rows: Ints, times: Ints | None, *, place: int) -> Ints:
        """By sample: which of the next parts hold it, whether it holds this word more than twice, and its length."""
        codes = self._mark(place)[rows] >> np.uint16(min(place + 1, 15))
        kinds = (codes & np.uint16((1 << NEXT) - 1)).astype(np.int32)
        kinds *= 2 * len(self._norms)
        if times is not None:
            kinds += (times > 2) * np.int32(len(self._norms))
        kinds += self._segment.lengths[rows]
        return kinds

    def _find_bounds(self, place: int) -> Scores:
        """By kind: what its samples can score at most."""
        own = self._words[self._parts[place].word]
        first = own.weight * 2 / (2 + self._norms) if self._parts[place].heavy else own.light
        codes = np.arange(1 << NEXT)[:, None]
        rest: dict[int, Scores] = {}
        for later in range(place + 1, len(self._parts)):
            part = self._parts[later]
            if part.word != self._parts[place].word:
                known = later <= place + NEXT and self._marked[later]
                adds = self._own(part) * (codes >> (later - place - 1) & 1 if known else np.ones_like(codes))
                rest[part.word] = np.maximum(rest.get(part.word, 0.0), adds)
        others = sum(rest.values(), np.zeros((1 << NEXT, len(self._norms))))
        return _round_up(np.stack([first + others, own.heavy + others], axis=1).ravel())

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

    def _score(self, rows: Ints, *, place: int) -> None:
        """Keep the best of those that no earlier part holds: the others were scored, or could not be among the best."""
        if not len(rows):
            return
        skills, begins = self._segment.skills_of.join(rows)
        packed = [np.add.reduceat(count[skills], begins) for count in self._counts]
        mask, per = np.uint64((1 << self._bits) - 1), 64 // self._bits
        norms = self._norms[self._segment.lengths[rows]]
        scores, fresh = np.zeros(len(rows)), np.ones(len(rows), dtype=bool)
        done = {(part.word, part.heavy) for part in self._parts[:place]}
        for number, word in enumerate(self._words):
            times = (packed[number // per] >> np.uint64(number % per * self._bits)) & mask
            scores += word.weight * times / (times + norms)
            if (number, False) in done:
                fresh &= times != 1
            if (number, True) in done:
                fresh &= times < 2
        self._keep(rows[fresh], np.round(scores[fresh], DECIMALS))

    def _keep(self, rows: Ints, scores: Scores) -> None:
        """Put samples among the best, exactly: of equal scores the first ids stay."""
        enough = scores >= max(self.best.floor, 0.1**DECIMALS)
        rows = np.concatenate([self.best.rows, rows[enough]])
        scores = np.concatenate([self.best.scores, scores[enough]])
        k, floor = self._k, self.best.floor
        if len(rows) > k:
            good = scores >= np.partition(scores, len(scores) - k)[-k]
            rows, scores = rows[good], scores[good]
        order = np.lexsort((self._segment.ranks[rows], -scores))[:k]
        if len(order) == k:
            floor = max(floor, float(scores[order[-1]]))
        self.best = Best(rows[order], scores[order], floor)


def _round_up(bound: Scores) -> Scores:
    """A bound that no score rounded to `DECIMALS` is above, whatever the order of summation."""
    rounded: Scores = np.round(bound + 1e-12, DECIMALS)
    return rounded


def explain_sample(segment: Segment, row: int, *, terms: Sequence[Term], mean: float) -> list[Match]:
    """What each word of the query adds to a sample's score, the most first."""
    norm = K1 * (1 - B + B * int(segment.lengths[row]) / mean)
    own = segment.skills_of.of(row)
    words = Counter(word for skill in segment.skills.take(own) for word in split_words(skill))
    matches = [
        Match(t.word, t.times, words[t.word], t.idf, t.weight * words[t.word] / (words[t.word] + norm)) for t in terms
    ]
    return sorted((m for m in matches if m.in_sample), key=lambda m: (-m.adds, m.word))
