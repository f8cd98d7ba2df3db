"""The teacher's check behind a canonical skill: names that share a word and are near each other are put to it in pairs.

The stems of `tools.skills.names` merge what differs in form alone; "count dots" and "tally the dots" they keep apart.
Which pairs are worth a question is told by an embedding of spelling (methods, section 3: embedding and teacher check).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from errata.tools.retrieve.embeddings import HashingEmbedding
from errata.tools.skills.names import skill_stems
from errata.tools.teacher.protocol import ComparesSkills, SameSkillRequest

NEAREST = 3
"""Candidates that one new name is held against, the nearest first."""
COMPARED = 64
"""Names with the largest share of common stems, whose spelling is compared."""
LEAST = 0.3
"""Cosine below which two names are no candidates."""


def merge_names(
    names: Mapping[str, str], *, known: Sequence[str], teacher: ComparesSkills, most: int | None = None
) -> dict[str, str]:
    """`names` (wording -> name) with the names that are not `known` merged into those that the teacher calls the same.

    A name joins a known one, or one of more wordings. At most `most` pairs are asked about, all in one call; where
    the teacher has no answer the names stay apart.
    """
    counts = Counter(names.values())
    fresh = sorted(set(counts) - set(known), key=lambda name: (-counts[name], len(name), name))
    stems = {name: skill_stems(name) for name in known}
    pairs: list[tuple[str, str]] = []
    for name in fresh:
        own = skill_stems(name)
        pairs += [(name, other) for other in find_near(name, own, among=stems)]
        stems[name] = own
    pairs = pairs[:most]
    replies = teacher.same_skill([SameSkillRequest(first=name, second=other) for name, other in pairs])
    joined: dict[str, str] = {}
    for (name, other), reply in zip(pairs, replies, strict=True):
        if reply.same and name not in joined:
            joined[name] = joined.get(other, other)
    return {wording: joined.get(name, name) for wording, name in names.items()}


def find_near(name: str, stems: frozenset[str], *, among: Mapping[str, frozenset[str]]) -> list[str]:
    """The names that share a stem with this one and are nearest to it, at most `NEAREST`; `among` has their stems."""
    shares = [(len(stems & own) / len(stems | own), other) for other, own in among.items() if stems & own]
    likely = [other for _, other in sorted(shares, key=lambda pair: (-pair[0], pair[1]))[:COMPARED]]
    if not likely:
        return []
    vectors = HashingEmbedding()([name, *likely])
    scores = (vectors[1:] @ vectors[0]).round(6).tolist()
    ranked = sorted(zip(scores, likely, strict=True), key=lambda pair: (-pair[0], pair[1]))
    return [other for score, other in ranked[:NEAREST] if score >= LEAST]
