"""Options of the firewall, and its findings."""

from __future__ import annotations

from typing import Literal, NamedTuple

from pydantic import Field

from errata.tools.records import Record, Split


class FirewallOptions(Record):
    """What counts as overlap, and what follows from it."""

    policy: Literal["stop", "exclude"] = "stop"
    question: Literal["text", "with_image"] = "with_image"
    """`text`: question and choices alone. `with_image`: the same words over another picture are another
    question; where one of the two problems has no picture, the words alone decide.
    """
    near: float | None = Field(default=0.75, gt=0.5, le=1)
    """Weighted similarity of words at which two questions with the same answer are one; None compares only
    normalised questions. Compared are problems without a picture, or all where `question` is `text`.
    """
    perceptual: bool = True
    """Compare what pictures look like: copies saved again, scaled, or with a twentieth cut off."""
    changed: bool = True
    """Look also for copies that were framed or letterboxed, mirrored or turned by quarters, made lighter, darker or
    grey, or of which up to 15 % of a side is cut off; read where `perceptual` is on.
    """
    drawn: tuple[str, ...] = ("scene",)
    """Metadata fields that name the exact content of a drawn picture. Looks are not compared between two problems
    that both have one: drawn grids look alike, and `same` compares what they show.
    """
    distance: int = Field(default=10, ge=0, le=16)
    """Bits of 64 by which the hashes of a picture and of a window of another may differ before they are laid
    over each other.
    """
    same: tuple[str, ...] = ("scene",)
    """Metadata fields whose equal values mean the same content."""


class Overlap(Record):
    """A pool sample and the problem of another split that it overlaps, by the first rule that found one."""

    pool: str
    other: str
    split: Split
    kind: str
    """`id`, `image`, `question`, a metadata field of `same`, `near-question` or `perceptual`."""
    score: float = 1.0
    """1 for what is equal; similarity of words, or correlation of pictures."""


class Owner(NamedTuple):
    """A protected problem."""

    id: str
    split: Split
