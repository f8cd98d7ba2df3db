"""Synthetic samples with the shape of a tagged supporting dataset: few distinct skills, many samples."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

WORDS = 12_000
SYLLABLES = ("ba", "ke", "lo", "mi", "nu", "ra", "se", "ti", "vo", "za", "ch", "or", "an", "el", "is", "um")


class Corpus(NamedTuple):
    """Samples in order of id, each with 2 to 6 skills; and queries in words of the corpus."""

    ids: list[str]
    samples: list[list[str]]
    queries: list[str]


def make_corpus(samples: int, *, skills: int, queries: int = 350, seed: int = 0) -> Corpus:
    """Skills of 2 to 7 words; words and skills are drawn by Zipf's law; the same for the same arguments.

    A query is a skill with, in two of three, one word put in the place of another: a teacher's wording is seldom the
    very wording of the pool.
    """
    rng = np.random.default_rng(seed)
    words = _make_words()
    texts = _make_skills(skills, words=words, rng=rng)
    popular = _zipf(skills, 1.0)
    counts = rng.integers(2, 7, size=samples)
    drawn = np.searchsorted(popular, rng.random(int(counts.sum())))
    drawn = rng.permutation(skills)[drawn]
    starts = np.concatenate([[0], np.cumsum(counts)]).tolist()
    flat = [texts[i] for i in drawn.tolist()]
    listed = [flat[a:b] for a, b in pairwise(starts)]
    chosen = rng.choice(np.unique(drawn), size=queries, replace=False).tolist()
    asked = []
    for number, skill in enumerate(chosen):
        own = texts[skill].split()
        if number % 3:
            own[int(rng.integers(len(own)))] = words[int(np.searchsorted(_zipf(WORDS, 0.9), rng.random()))]
        asked.append(" ".join(own))
    return Corpus([f"s{i:07d}" for i in range(samples)], listed, asked)


def _zipf(size: int, exponent: float) -> NDArray[np.float64]:
    """Cumulative probabilities by rank."""
    weights = 1.0 / np.arange(1, size + 1) ** exponent
    shares: NDArray[np.float64] = np.cumsum(weights) / weights.sum()
    return shares


def _make_words() -> list[str]:
    """Distinct words of two to four syllables, in a fixed order."""
    base = len(SYLLABLES)
    found = []
    for number in range(base**2, base**2 + WORDS):
        word, rest = "", number
        while rest:
            rest, digit = divmod(rest, base)
            word += SYLLABLES[digit]
        found.append(word)
    return found


def _make_skills(count: int, *, words: list[str], rng: np.random.Generator) -> list[str]:
    shares = _zipf(len(words), 0.9)
    found: dict[str, None] = {}
    while len(found) < count:
        for size in rng.integers(2, 8, size=count - len(found)).tolist():
            found[" ".join(words[i] for i in np.searchsorted(shares, rng.random(size)).tolist())] = None
    return list(found)
