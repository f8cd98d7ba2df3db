"""The rules by which a pool sample overlaps a protected problem, cheapest first."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Protocol

from errata.tools.data.firewall.keys import kind_of, overlap_keys
from errata.tools.data.firewall.options import FirewallOptions, Overlap, Owner
from errata.tools.records import Problem

if TYPE_CHECKING:
    from errata.tools.data.firewall.pictures import KnownPictures

Protected = Sequence[tuple[Owner, Problem]]
Rows = Sequence[tuple[int, Problem]]


class Rule(Protocol):
    """Looks at the rows of a block that no rule before it has found."""

    def find(self, rows: Rows) -> Iterable[tuple[int, Overlap]]:
        """(row, overlap), at most one per row."""
        ...


class SharedKeys:
    """Ids, bytes, normalised questions and declared identity; one look-up per key."""

    def __init__(self, protected: Protected, *, options: FirewallOptions) -> None:
        self._alone, self._same = options.question == "text", options.same
        self._seen: dict[tuple[str, object], Owner] = {}
        for owner, problem in protected:
            for key in overlap_keys(problem, words_alone=self._alone, same=self._same, stored=True):
                self._seen.setdefault(key, owner)

    def find(self, rows: Rows) -> Iterable[tuple[int, Overlap]]:
        """(row, overlap) by the strongest key that is shared."""
        for row, problem in rows:
            for key in overlap_keys(problem, words_alone=self._alone, same=self._same, stored=False):
                owner = self._seen.get(key)
                if owner is not None:
                    yield row, Overlap(pool=problem.id, other=owner.id, split=owner.split, kind=kind_of(key))
                    break


class NearWords:
    """Questions that say nearly the same, between problems without pictures (and without ones that only this copy of
    the dataset lacks: a template over another picture is another question), or where words alone decide.
    """

    def __init__(self, protected: Protected, *, options: FirewallOptions, threshold: float) -> None:
        from errata.tools.data.firewall.wording import KnownWordings

        self._alone = options.question == "text"
        asked = [(owner, problem) for owner, problem in protected if self._is_asked(problem)]
        self._owners = [owner for owner, _ in asked]
        self._known = KnownWordings([problem for _, problem in asked], threshold=threshold)

    def find(self, rows: Rows) -> Iterable[tuple[int, Overlap]]:
        """(row, overlap) by the nearest question."""
        for row, problem in rows:
            near = self._known.nearest(problem) if self._is_asked(problem) else None
            if near is not None:
                owner, score = self._owners[near.known], round(near.score, 4)
                yield (
                    row,
                    Overlap(pool=problem.id, other=owner.id, split=owner.split, kind="near-question", score=score),
                )

    def _is_asked(self, problem: Problem) -> bool:
        return self._alone or not (problem.images or problem.metadata.get("picture_absent"))


class SameLook:
    """Pictures that look the same. A picture is read once for each hash; those of `drawn` problems are compared with
    others' alone.
    """

    def __init__(self, protected: Protected, *, options: FirewallOptions) -> None:
        self._options = options
        self._shown: dict[bool, dict[str, tuple[str, Owner]]] = {False: {}, True: {}}
        for owner, problem in protected:
            for image in problem.images:
                self._shown[self._is_drawn(problem)].setdefault(image.sha256, (image.path, owner))
        self._known: dict[bool, KnownPictures] = {}
        self._looks: dict[tuple[str, bool], tuple[Owner, float] | None] = {}

    def find(self, rows: Rows) -> Iterable[tuple[int, Overlap]]:
        """(row, overlap) by the first picture that looks like a protected one."""
        for drawn in (False, True):
            asked = {
                image.sha256: image.path
                for _, problem in rows
                for image in problem.images
                if not (drawn and self._is_drawn(problem)) and (image.sha256, drawn) not in self._looks
            }
            self._look(asked, drawn=drawn)
        for row, problem in rows:
            sides = (False,) if self._is_drawn(problem) else (False, True)
            looks = (self._looks[image.sha256, side] for image in problem.images for side in sides)
            look = next((look for look in looks if look is not None), None)
            if look is not None:
                owner, score = look
                yield row, Overlap(pool=problem.id, other=owner.id, split=owner.split, kind="perceptual", score=score)

    def _is_drawn(self, problem: Problem) -> bool:
        return any(field in problem.metadata for field in self._options.drawn)

    def _look(self, asked: dict[str, str], *, drawn: bool) -> None:
        self._looks.update(dict.fromkeys(((sha256, drawn) for sha256 in asked), None))
        shown = list(self._shown[drawn].values())
        if not asked or not shown:
            return
        if drawn not in self._known:
            from errata.tools.data.firewall.pictures import KnownPictures

            paths = [path for path, _ in shown]
            workers = min(os.cpu_count() or 1, 8)
            self._known[drawn] = KnownPictures(
                paths, distance=self._options.distance, workers=workers, changed=self._options.changed
            )
        names = list(asked)
        for look in self._known[drawn].find([asked[name] for name in names]):
            self._looks[names[look.row], drawn] = shown[look.known][1], look.score
