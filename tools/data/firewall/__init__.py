"""The overlap firewall: nothing of validation or test may be trained on (methods, section 4).

A pool sample overlaps a problem of another split when they share their id, the bytes of a picture, the
normalised question, a value that the dataset declares as identity (`same`: `scene` in the embedded world,
`family` where datasets have task families), when their questions say nearly the same (`wording`), or when their
pictures look the same (`pictures`). The pool goes through in blocks, so that its size costs time and no memory.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

from errata.tools.data.firewall.keys import question_key
from errata.tools.data.firewall.options import FirewallOptions, Overlap, Owner
from errata.tools.data.firewall.rules import NearWords, Rule, SameLook, SharedKeys
from errata.tools.errors import OperatorError
from errata.tools.records import Problem, Split

__all__ = [
    "Firewall",
    "FirewallOptions",
    "FirewallResult",
    "Overlap",
    "check_firewall",
    "find_overlaps",
    "question_key",
]

BLOCK = 1000
"""Pool samples that are looked at together."""


class FirewallResult(NamedTuple):
    """What may be trained on, in pool order, and what may not."""

    kept: list[Problem]
    overlaps: list[Overlap]


DEFAULT = FirewallOptions()


def check_firewall(
    pool: Sequence[Problem], *, against: Mapping[Split, Sequence[Problem]], options: FirewallOptions = DEFAULT
) -> FirewallResult:
    """Raise OperatorError that names the first overlap (policy `stop`), or leave all of them out (`exclude`)."""
    overlaps = list(find_overlaps(pool, against=against, options=options))
    if overlaps and options.policy == "stop":
        first = overlaps[0]
        counts = Counter(f"{o.kind} with {o.split}" for o in overlaps)
        listed = ", ".join(f"{n} by {name}" for name, n in sorted(counts.items()))
        what = (
            f"pool sample {first.pool!r} overlaps {first.split} problem {first.other!r} by {first.kind}; "
            f"{len(overlaps)} of {len(pool)} samples overlap: {listed}"
        )
        remedy = "take them out of the pool, or set the firewall's policy to exclude"
        raise OperatorError(what, where="firewall", remedy=remedy)
    out = {o.pool for o in overlaps}
    kept = [p for p in pool if p.id not in out]
    if pool and not kept:
        what = f"all {len(pool)} samples of the pool overlap validation or test"
        raise OperatorError(what, where="firewall", remedy="choose another supporting dataset")
    return FirewallResult(kept, overlaps)


def find_overlaps(
    pool: Iterable[Problem], *, against: Mapping[Split, Sequence[Problem]], options: FirewallOptions = DEFAULT
) -> Iterator[Overlap]:
    """At most one overlap per pool sample, in pool order. Raises OperatorError for a picture that cannot be read
    (only where looks are compared).
    """
    return Firewall(against, options=options).find(pool)


class Firewall:
    """The rules over one protected side, ready to be asked: a pool in blocks, made samples one at a time.

    May be asked from several threads. What is slow is done once: protected pictures are read when the first sample
    comes whose looks have to be compared.
    """

    def __init__(self, against: Mapping[Split, Sequence[Problem]], *, options: FirewallOptions = DEFAULT) -> None:
        protected = [(Owner(p.id, split), p) for split in sorted(against) for p in against[split]]
        self._rules: list[Rule] = [SharedKeys(protected, options=options)]
        if options.near is not None:
            self._rules.append(NearWords(protected, options=options, threshold=options.near))
        if options.perceptual:
            self._rules.append(SameLook(protected, options=options))
        self._lock = threading.Lock()

    def find(self, samples: Iterable[Problem]) -> Iterator[Overlap]:
        """At most one overlap per sample, in order. Raises OperatorError for a picture that cannot be read."""
        rest = iter(samples)
        while block := list(islice(rest, BLOCK)):
            found: dict[int, Overlap] = {}
            with self._lock:
                for rule in self._rules:
                    left = [(row, problem) for row, problem in enumerate(block) if row not in found]
                    found.update(rule.find(left))
            yield from (found[row] for row in sorted(found))
