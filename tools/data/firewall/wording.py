"""Questions that say nearly the same (methods, section 4: normalised questions and their near-duplicates).

Two questions are near-duplicates when they have the same answer in words, the same numbers, and when the weighted
Jaccard similarity of the words of question and choices is at least a threshold. The weight of a word is how rare it
is among the protected questions, so that questions from one template ("What is the capital of ...?") differ by
what they ask about. The comparison is exact, not sampled as by MinHash: the protected side is small enough for
an index of its rarest words (prefix filter of Chaudhuri, Ganti and Kaushik 2006), so that no pair is missed.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

from errata.tools.data.firewall.keys import normalise_text
from errata.tools.records import Problem

_TOKEN = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W_]+")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_ENDINGS = ("ings", "ing", "ies", "est", "ed", "es", "er", "s", "e", "y")

Group = tuple[str, tuple[str, ...]]


class Likeness(NamedTuple):
    """A protected question (its place among those given) and the similarity, 0 to 1."""

    known: int
    score: float


class KnownWordings:
    """Protected questions, ready to be looked for. The result does not depend on what else is in the pool."""

    def __init__(self, problems: Sequence[Problem], *, threshold: float) -> None:
        self._threshold = threshold
        self._words = [question_words(problem) for problem in problems]
        counts = Counter(word for words in self._words for word in words)
        total = len(problems)
        self._weights = {word: _weight(n, total) for word, n in counts.items()}
        self._unseen = _weight(0, total)
        self._sums = [self._sum(words) for words in self._words]
        self._index: dict[Group, dict[str, list[int]]] = {}
        for known, problem in enumerate(problems):
            postings = self._index.setdefault(answer_group(problem), {})
            for word in self._prefix(known):
                postings.setdefault(word, []).append(known)

    def nearest(self, problem: Problem) -> Likeness | None:
        """The most similar protected question at or above the threshold, the first among equals."""
        postings = self._index.get(answer_group(problem))
        if postings is None:
            return None
        words = question_words(problem)
        candidates = {known for word in words if word in postings for known in postings[word]}
        total, best = self._sum(words) if candidates else 0.0, None
        for known in sorted(candidates):
            shared = self._sum(words & self._words[known])
            score = shared / (total + self._sums[known] - shared)
            if score >= self._threshold - 1e-12 and (best is None or score > best.score):
                best = Likeness(known, score)
        return best

    def _sum(self, words: Iterable[str]) -> float:
        return math.fsum(self._weights.get(word, self._unseen) for word in words)

    def _prefix(self, known: int) -> list[str]:
        """The rarest words, so many that what is similar enough must have one of them."""
        rest = self._sums[known]
        prefix = []
        for word in sorted(self._words[known], key=lambda w: (-self._weights[w], w)):
            if rest < self._threshold * self._sums[known] - 1e-9:
                break
            prefix.append(word)
            rest -= self._weights[word]
        return prefix


def _weight(count: int, total: int) -> float:
    return math.log(2 + (total - count) / (count + 1))


def question_words(problem: Problem) -> frozenset[str]:
    """Stems of the words of question and choices."""
    text = " ".join((problem.question, *problem.choices)).casefold()
    return frozenset(map(_stem, _TOKEN.findall(text)))


def answer_group(problem: Problem) -> Group:
    """Near-duplicates share this: the answer in words, and the numbers in the question."""
    return normalise_text(problem.target_text), tuple(sorted(_NUMBER.findall(problem.question)))


@lru_cache(maxsize=200_000)
def _stem(word: str) -> str:
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)]
    return word
