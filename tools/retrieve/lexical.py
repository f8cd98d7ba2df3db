"""Exact BM25 over the skills that samples require (P1 3.5; methods, section 4).

A document is all required skills of a sample, one after the other. Lucene's idf, log(1 + (N - n + .5) / (n
+ .5)), since the classic one is negative for common skills; k1 1.5, b 0.75, and the classic factor k1 + 1.
A pool has few distinct skills and many samples, so that counts are factorised: each distinct skill text is
split into words once, and samples x words is (samples x skills) times (skills x words).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from tools.records import Route

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

K1 = 1.5
B = 0.75
_WORD = re.compile(r"\w+")


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


def split_words(text: str) -> list[str]:
    """The words of a skill: runs of letters, digits and underscores, without case; no stemming, no stop
    words.
    """
    return _WORD.findall(text.casefold())


class SkillIndex:
    """BM25 weights of each (word, sample), stored by word: one query is a sum over its words' rows."""

    route: Route = "bm25"

    def __init__(
        self,
        ids: Sequence[str],
        *,
        words: Mapping[str, int],
        starts: NDArray[np.int64],
        samples: NDArray[np.int64],
        weights: NDArray[np.float64],
    ) -> None:
        """`starts` int64[words + 1] cuts `samples` int64[n] and `weights` float64[n] into runs per word."""
        self.ids = tuple(ids)
        self._words, self._starts, self._samples, self._weights = words, starts, samples, weights

    @classmethod
    def build(cls, samples: Mapping[str, Sequence[str]]) -> SkillIndex:
        """From sample id to its required skills; a sample may have none, and counts as an empty document."""
        import numpy as np

        ids = sorted(samples)
        skills = {skill: i for i, skill in enumerate(sorted({s for found in samples.values() for s in found}))}
        counts = [Counter(split_words(skill)) for skill in skills]
        words = {word: i for i, word in enumerate(sorted({w for count in counts for w in count}))}
        sizes = np.array([len(count) for count in counts], dtype=np.int64)
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])
        flat = [(words[w], n) for count in counts for w, n in sorted(count.items())]
        entries = np.array(flat, dtype=np.int64).reshape(-1, 2)
        pairs = [(row, skills[skill]) for row, name in enumerate(ids) for skill in samples[name]]
        rows, used = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
        repeats = sizes[used]
        within = np.arange(repeats.sum()) - np.repeat(np.cumsum(repeats) - repeats, repeats)
        at = np.repeat(offsets[used], repeats) + within
        keys = entries[at, 0] * max(1, len(ids)) + np.repeat(rows, repeats)
        unique, inverse = np.unique(keys, return_inverse=True)
        frequency = np.bincount(inverse, weights=entries[at, 1].astype(np.float64), minlength=len(unique)).astype(
            np.float64
        )
        word_of, sample_of = np.divmod(unique, max(1, len(ids)))
        weights = _weigh(frequency, word_of, sample_of, documents=len(ids), words=len(words))
        starts = np.searchsorted(word_of, np.arange(len(words) + 1))
        return cls(ids, words=words, starts=starts, samples=sample_of, weights=weights)

    def search(self, query: str, k: int) -> list[Hit]:
        """The k best samples above 0, by score descending, then id ascending. Scores are rounded to 9
        decimals,

        so that equal documents tie whatever the order of summation. A word that the query repeats counts
        each time.
        """
        import numpy as np

        scores = np.zeros(len(self.ids))
        for word, times in sorted(Counter(split_words(query)).items()):
            row = self._words.get(word)
            if row is not None:
                run = slice(self._starts[row], self._starts[row + 1])
                scores[self._samples[run]] += times * self._weights[run]
        return top_hits(self.ids, scores, k)


def top_hits(ids: Sequence[str], scores: NDArray[np.float64], k: int) -> list[Hit]:
    """The k best above 0: score rounded to 9 decimals descending, then id; `ids` must be sorted."""
    import numpy as np

    rounded = np.round(scores, 9)
    positive = np.flatnonzero(rounded > 0)
    best = positive[np.argsort(-rounded[positive], kind="stable")[: max(0, k)]]
    return [Hit(ids[i], float(rounded[i])) for i in best]


def _weigh(
    frequency: NDArray[np.float64],
    word_of: NDArray[np.int64],
    sample_of: NDArray[np.int64],
    *,
    documents: int,
    words: int,
) -> NDArray[np.float64]:
    """float64[n] BM25 weight of each (word, sample) with its frequency in the sample."""
    import numpy as np

    if not len(frequency):
        return frequency
    lengths = np.bincount(sample_of, weights=frequency, minlength=documents)
    holding = np.bincount(word_of, minlength=words)
    idf = np.log(1 + (documents - holding + 0.5) / (holding + 0.5))
    norm = K1 * (1 - B + B * lengths / lengths.mean())
    weights: NDArray[np.float64] = idf[word_of] * frequency * (K1 + 1) / (frequency + norm[sample_of])
    return weights
