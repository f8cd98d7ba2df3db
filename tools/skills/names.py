"""Canonical names: wordings that mean the same skill share one (methods, section 3)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import combinations

_FILLER = frozenset(
    re.findall(
        r"\w+",
        """a an the of in on at to for and or by with from its their is are be being as this that which what
        ability able skill skills identify identifying recognize recognizing recognise recognising determine
        determining understand understanding knowledge know knowing correctly accurately""",
    )
)
_SPELLING = {"colour": "color", "grey": "gray", "centre": "center", "neighbour": "neighbor"}
_ENDINGS = ("ations", "ation", "ings", "ing", "ies", "es", "ed", "s", "e", "y")
_NOTHING: frozenset[int] = frozenset()
_OPPOSING = frozenset(("not", "no", "non", "without", "un", "in", "dis", "except"))


class SkillNames:
    """Leaders in the order in which they came; every wording joins the first that fits, or leads.

    Conservative, since a wrong merge hides a skill: two wordings are one skill when the stems of their
    content words are the same set, or when one set holds the other and at least four fifths of its words,
    and the words more are no negation. So "left of" and "right of" stay apart at any length.
    """

    def __init__(self) -> None:
        self._leaders: list[tuple[str, frozenset[str]]] = []
        self._exact: dict[frozenset[str], str] = {}
        self._places: dict[frozenset[str], int] = {}
        self._holding: dict[str, set[int]] = {}

    def join(self, wording: str) -> str:
        """The leader of `wording`, which may be itself."""
        stems = skill_stems(wording)
        leader = self._exact.get(stems)
        if leader is None:
            leader = self._first_like(stems)
        if leader is None:
            leader = wording
            self.lead(wording)
        self._exact.setdefault(stems, leader)
        return leader

    def lead(self, wording: str) -> None:
        """Make `wording` a leader, whatever else there is."""
        stems = skill_stems(wording)
        for stem in stems:
            self._holding.setdefault(stem, set()).add(len(self._leaders))
        self._places.setdefault(stems, len(self._leaders))
        self._leaders.append((wording, stems))
        self._exact.setdefault(stems, wording)

    def follow(self, wording: str, leader: str) -> None:
        """`wording` has joined `leader` before."""
        self._exact.setdefault(skill_stems(wording), leader)

    def _first_like(self, stems: frozenset[str]) -> str | None:
        """The first leader that holds `stems`, or is held by them, and is like them."""
        held = sorted((self._holding.get(stem, _NOTHING) for stem in stems), key=len)
        near = set(held[0].intersection(*held[1:])) if held else set()
        missing = len(stems) // 5
        if len(stems) < 15:
            parts = (part for n in range(1, missing + 1) for part in combinations(sorted(stems), n))
            near.update(self._places[rest] for part in parts if (rest := stems.difference(part)) in self._places)
        else:
            near.update(*held[: missing + 1])  # what lacks few stems has one of any few more
        like = [place for place in near if _same_skill(stems, self._leaders[place][1])]
        return self._leaders[min(like)][0] if like else None


def canonical_names(wordings: Iterable[str], *, known: Sequence[str] = ()) -> dict[str, str]:
    """wording -> canonical wording, for every one of `wordings`; the order of `wordings` does not matter.

    A wording joins the first leader that fits (`SkillNames`); leaders are `known` in the given order, then the
    more frequent, the shorter, the first by alphabet.
    """
    counts = Counter(wordings)
    names: dict[str, str] = {}
    leaders = SkillNames()
    for wording in [*known, *sorted(counts, key=lambda w: (-counts[w], len(w), w))]:
        leader = leaders.join(wording)
        if wording in counts:
            names.setdefault(wording, leader)
    return names


def skill_stems(wording: str) -> frozenset[str]:
    """Stems of the content words; of all words where nothing else is left."""
    words = re.findall(r"\w+", wording.casefold())
    content = [w for w in words if w not in _FILLER] or words
    return frozenset(_stem(w) for w in content)


def _stem(word: str) -> str:
    for british, american in _SPELLING.items():
        word = word.replace(british, american)
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            stem = word[: -len(ending)]
            return stem[:-1] if len(stem) > 3 and stem[-1] == stem[-2] and stem[-1] not in "lsz" else stem
    return word


def _same_skill(one: frozenset[str], other: frozenset[str]) -> bool:
    small, large = sorted((one, other), key=len)
    return small <= large and len(small) >= 0.8 * len(large) and not (large - small) & _OPPOSING
