"""The branch `run` of the settings: name, seed, and what is kept where."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from errata.agent.settings.data import Branch

Keep = Literal["all", "best"] | int


class RunSettings(Branch):
    """Name and seed of the run, and what it keeps."""

    name: str = Field(default="run", pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")
    """Folder of the run is the name with a counter: demo-1, demo-2, ..."""
    seed: int = Field(default=0, ge=0)
    branches: int = Field(default=2, ge=1, le=64)
    """Error batches investigated at the same time; does not change any record."""
    keep_checkpoints: Keep = "all"
    """Adapters that stay on disk when an iteration is over: `all`; `best`, the accepted one; or a number N, the N best
    on the gate and the last. The accepted one always stays. What is removed is listed in pruned.jsonl."""

    @field_validator("keep_checkpoints", mode="before")
    @classmethod
    def _is_a_policy(cls, value: object) -> object:
        if value in ("all", "best") or (isinstance(value, int) and not isinstance(value, bool) and value >= 1):
            return value
        raise ValueError(f"{value!r} says not which checkpoints are kept; write all, best, or a number from 1 on")
