"""The branch `data` of the settings: where the four splits come from."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from errata.tools.data.read import FormatName, SourceOptions
from errata.tools.world.generate import WorldSizes


class Branch(BaseModel):
    """Base of all branches of the tree: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class SourceSettings(SourceOptions):
    """Where the problems of one split come from. Rows [offset, offset + limit) of those that can be used."""

    path: str
    """Relative to `data.root` where that is set, else to the folder of the settings file; for the format
    `huggingface` also the name of a dataset on the hub.
    """
    format: FormatName = "errata"
    """How the rows lie there; docs/data.md explains each."""
    offset: int = Field(default=0, ge=0)
    limit: int | None = Field(default=None, ge=1)
    shuffle: bool = False
    """Order the questions by a hash of their ids before offset and limit, so that parts of one file are alike."""
    images: Literal["required", "present", "any"] | None = None
    """Which questions are used by their pictures (tools/data/read.py); None is the format's own rule."""
    max_bad_share: float | None = Field(default=None, ge=0, le=1)
    """Share of broken rows at which the run stops; None is `data.max_bad_share`."""


class WorldSettings(Branch):
    """The embedded world, generated once per seed and sizes and shared by the runs beside each other."""

    seed: int = Field(default=0, ge=0)
    sizes: WorldSizes = WorldSizes()


class DataSettings(Branch):
    """The four splits: either the embedded world, or one source each."""

    root: str | None = None
    """Folder that relative source paths start from; given on the command line, not in a shared file."""
    max_bad_share: float | None = Field(default=None, ge=0, le=1)
    """Share of broken rows of a source above which the run stops; None is the format's own share: 0 for
    `errata`, 0.02 for the formats of others. Fewer are left out and counted.
    """
    world: WorldSettings | None = None
    pool: SourceSettings | None = None
    diagnosis: SourceSettings | None = None
    gate: SourceSettings | None = None
    test: SourceSettings | None = None

    @model_validator(mode="after")
    def _one_origin(self) -> DataSettings:
        given = [s for s in ("pool", "diagnosis", "gate", "test") if getattr(self, s) is not None]
        if self.world is not None and given:
            raise ValueError(f"data.world and data.{given[0]} exclude each other; remove one of them")
        if self.world is None and len(given) < 4:
            missing = [s for s in ("pool", "diagnosis", "gate", "test") if s not in given]
            raise ValueError(f"no source for {', '.join(missing)}; give data.{missing[0]}.path, or data.world")
        return self
