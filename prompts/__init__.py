"""Every word that is sent to a model: one Markdown (Jinja) file per request.

A placeholder without a value is an error (`StrictUndefined`), never an empty string. Text from a dataset goes through
one of two filters, so that it can neither close nor imitate a section: `quote` puts every line behind a bar, `line`
makes it one line. Nothing of a dataset ever stands at the beginning of a line.
"""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Template

FOLDER = Path(__file__).parent
USER = "\n--- user ---\n"
"""Line of a prompt file at which the system message ends and the user message begins."""
BAR = "| "
_BREAKS = re.compile(r"\r\n|[\n\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
_UNSEEN = re.compile(r"[\x00-\x08\x0e-\x1b\x1f\x7f-\x84\x86-\x9f\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
"""Control characters and marks of writing direction: they can hide text from a person, never carry it."""
_CONTROL = re.compile(
    r"<(?=\|)|(?<=\|)>|\[(?=/?INST\])|<(?=/?(?:s|bos|eos|pad|unk|image|start_of_turn|end_of_turn)>)|<(?=</?SYS>>)"
)
"""Beginnings and ends of what chat templates take for the change of a speaker."""


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

    environment = Environment(undefined=StrictUndefined, autoescape=False, trim_blocks=True)
    environment.filters |= {"quote": quote_text, "line": join_lines}
    return environment.from_string(source)


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


def render_messages(name: str, **values: object) -> list[dict[str, str]]:
    """Prompt `name` as messages: the part before the line `--- user ---` is the system's.

    The file is cut before anything is filled in, so that no value can move the cut. Raises as `render_prompt`.
    """
    parts = _source(name).split(USER)
    roles = ("system", "user") if len(parts) == 2 else ("user",)
    return [
        {"role": role, "content": _compile(part).render(**values).strip()}
        for role, part in zip(roles, parts, strict=True)
    ]


def clean_text(text: object) -> str:
    """Text of a dataset without unseen characters; what looks like a chat template's mark is pulled apart."""
    return _CONTROL.sub(lambda met: f" {met[0]} ", _UNSEEN.sub("", _BREAKS.sub("\n", str(text))))


def quote_text(text: object) -> str:
    """Every line of the text behind a bar; an empty text is one empty line."""
    return "\n".join(BAR + line for line in clean_text(text).split("\n"))


def join_lines(text: object) -> str:
    """The text as one line."""
    return " ".join(clean_text(text).split())
