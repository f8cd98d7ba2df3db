"""The branch `run` of the settings: name, seed, and what is kept where."""

from __future__ import annotations

from typing import Literal
from urllib.parse import parse_qs, urlsplit

from pydantic import Field, field_validator

from errata.agent.settings.data import Branch

Keep = Literal["all", "best"] | int
SQLITE = "sqlite"


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
    checkpointer: str = SQLITE
    """Where the state of the graph is kept: `sqlite`, a file of the run folder, or a Postgres database as
    postgresql://USER@HOST:PORT/DATABASE (extra `scale`). The address holds no password: it is saved with the run."""
    checkpointer_password_env: str | None = None
    """Name of the environment variable that holds the password; None leaves it to libpq: PGPASSWORD, ~/.pgpass."""

    @field_validator("keep_checkpoints", mode="before")
    @classmethod
    def _is_a_policy(cls, value: object) -> object:
        if value in ("all", "best") or (isinstance(value, int) and not isinstance(value, bool) and value >= 1):
            return value
        raise ValueError(f"{value!r} says not which checkpoints are kept; write all, best, or a number from 1 on")

    @field_validator("checkpointer")
    @classmethod
    def _is_an_address_without_a_password(cls, value: str) -> str:
        if value == SQLITE:
            return value
        try:
            parts = urlsplit(value)
            options = {name.lower() for name in parse_qs(parts.query, keep_blank_values=True)}
            secret = parts.password is not None or bool(options & {"password", "sslpassword"})
        except ValueError:
            raise ValueError("not an address; write sqlite, or postgresql://USER@HOST:PORT/DATABASE") from None
        if secret:
            remedy = (
                "take it out, and name the variable that holds it in run.checkpointer_password_env, or use ~/.pgpass"
            )
            raise ValueError(f"the address holds a password, which would be saved with the run; {remedy}")
        if parts.scheme not in ("postgresql", "postgres"):
            raise ValueError("no such checkpointer; write sqlite, or postgresql://USER@HOST:PORT/DATABASE")
        return value
