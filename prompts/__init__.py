"""Every word that is sent to a model: one Markdown (Jinja) file per request.

A placeholder without a value is an error (`StrictUndefined`), never an empty string.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Template

FOLDER = Path(__file__).parent


class PromptMissing(LookupError):
    """There is no prompt of that name; the message lists those that exist."""


def list_prompts() -> list[str]:
    """Names of all prompts, sorted."""
    return sorted(path.stem for path in FOLDER.glob("*.md"))


def _path(name: str) -> Path:
    path = FOLDER / f"{name}.md"
    if path.parent != FOLDER or not path.is_file():
        raise PromptMissing(f"no prompt named {name!r}; there are: {', '.join(list_prompts())}")
    return path


@lru_cache(maxsize=64)
def _compile(source: str) -> Template:
    from jinja2 import Environment, StrictUndefined

    return Environment(undefined=StrictUndefined, autoescape=False, trim_blocks=True).from_string(source)


@lru_cache(maxsize=64)
def _source(name: str) -> str:
    return _path(name).read_text(encoding="utf-8")


def render_prompt(name: str, **values: object) -> str:
    """The text of prompt `name` with its placeholders filled.

    Raises `PromptMissing` for an unknown name and jinja2's `UndefinedError` for a missing value.
    """
    return _compile(_source(name)).render(**values).strip()


def prompt_digest(name: str) -> str:
    """The version of a prompt: 16 hex digits of its file's content. Raises `PromptMissing`."""
    return hashlib.sha256(_source(name).encode("utf-8")).hexdigest()[:16]
