"""Names found by look-up are those of the obvious comparison with every leader."""

from __future__ import annotations

import time
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from errata.tools.skills.names import canonical_names, skill_stems

words = st.sampled_from(
    [
        "red",
        "blue",
        "circle",
        "star",
        "count",
        "left",
        "not",
        "in",
        "map",
        "read",
        "the",
        "of",
        "size",
        "edge",
        "blot",
        "pin",
        "cow",
        "far",
    ]
)
wordings = st.lists(st.lists(words, min_size=1, max_size=18).map(" ".join), max_size=25)
OPPOSING = {"not", "no", "non", "without", "un", "in", "dis", "except"}


def alike(one: frozenset[str], other: frozenset[str]) -> bool:
    small, large = (one, other) if len(one) <= len(other) else (other, one)
    return not small - large and 5 * len(small) >= 4 * len(large) and not OPPOSING & (large - small)


def obvious(given: list[str], known: list[str]) -> dict[str, str]:
    counts = Counter(given)
    leaders: list[str] = []
    first: dict[frozenset[str], str] = {}
    names: dict[str, str] = {}
    for wording in known + sorted(counts, key=lambda w: (-counts[w], len(w), w)):
        stems = skill_stems(wording)
        leader = first.get(stems) or next((x for x in leaders if alike(stems, skill_stems(x))), None)
        if leader is None:
            leader = wording
            leaders.append(wording)
        first.setdefault(stems, leader)
        if wording in counts:
            names.setdefault(wording, leader)
    return names


@given(given=wordings, known=wordings)
def test_names_equal_those_of_comparing_with_every_leader(given: list[str], known: list[str]) -> None:
    assert canonical_names(given, known=known) == obvious(given, known)


def test_twenty_thousand_skills_are_named_in_seconds() -> None:
    skills = [f"tell a{a} b{b} c{c} apart" for a in range(30) for b in range(30) for c in range(25)]
    start = time.process_time()
    assert len(set(canonical_names(skills).values())) == 22_500
    assert time.process_time() - start < 20
