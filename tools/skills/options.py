"""Where the required skills of the pool come from, and when they are asked for."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from errata.tools.records import Record

SkillSource = Literal["teacher", "annotations", "both"]


class SkillOptions(Record):
    """Required skills of the pool's samples (methods, sections 3 and 4)."""

    source: SkillSource = "teacher"
    """`annotations` are the dataset's own labels and cost nothing; `both`: those first, then what the teacher adds."""
    tag: Literal["all", "candidates"] = "all"
    """`all` asks for every sample before the first iteration. `candidates` asks for a sample when its own words come
    near an error for the first time (tools/retrieve/lazy.py): far fewer requests, and some fitting samples are missed.
    """
    candidates: int = Field(default=200, ge=1)
    """With `tag: candidates`, samples that are looked at for each error."""
    store: str | None = None
    """Folder of a store that several runs share, or that a cluster has filled (tools/skills/blocks.py); without one
    each run keeps its own.
    """
