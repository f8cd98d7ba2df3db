"""Checks of one row: what a problem must satisfy before any tool sees it.

A check raises `RowError`, which names the field, the value and the remedy; the reader knows the file and
the row and turns it into an `OperatorError` or a `SkippedRow`.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import warnings
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from tools.errors import ErrataError, OperatorError

Verify = Literal["exists", "hash", "decode"]
MAX_CHOICES = 26


class RowError(ErrataError):
    """One row cannot be used: `field` and `value` say where, `what` says why, `remedy` says what to do."""

    def __init__(self, field: str, what: str, *, value: object = None, remedy: str = "") -> None:
        super().__init__(f"{field}: {what}")
        self.field, self.what, self.value, self.remedy = field, what, _shorten(value), remedy

    @property
    def reason(self) -> str:
        """For a `SkippedRow`: field and what, without the value, so that reasons can be counted."""
        return f"{self.field}: {self.what}"

    def located(self, file: Path, row: int) -> OperatorError:
        """The same, for the person at the keyboard; `row` counts from 1 and is the line of the file."""
        return OperatorError(
            f"field {self.field!r}: {self.what}", where=f"{file}:{row}", value=self.value, remedy=self.remedy
        )


def _shorten(value: object, limit: int = 80) -> object:
    """Both ends of what is long: of a path the end says most."""
    text = value if isinstance(value, str) else repr(value)
    return value if len(text) <= limit else f"{text[: limit // 2 - 2]}...{text[-limit // 2 + 1 :]}"


def read_lines(file: Path) -> Iterator[tuple[int, str]]:
    """(row from 1, line) of each line that is not blank; UTF-8 with or without its mark, gzip when so
    named.
    """
    try:
        data = file.read_bytes()
        if file.suffix == ".gz":
            data = gzip.decompress(data)
    except FileNotFoundError:
        raise OperatorError("no such file", where=str(file), remedy="check the path of the data") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise OperatorError(f"broken gzip file ({error})", where=str(file), remedy="fetch it again") from error
    except OSError as error:
        what = f"cannot be read ({error.strerror})"
        raise OperatorError(what, where=str(file), remedy="check path and permissions") from error
    try:
        text = data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        row = data.count(b"\n", 0, error.start) + 1
        value = data[error.start : error.start + 4]
        raise OperatorError("not UTF-8", where=f"{file}:{row}", value=value, remedy="save it as UTF-8") from error
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield number, line


def parse_line(line: str) -> dict[str, Any]:
    """One JSON object; raises RowError."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        remedy = "one whole JSON object per line"
        raise RowError("row", "not JSON, or cut off", value=line[-40:], remedy=remedy) from error
    if not isinstance(row, dict):
        raise RowError("row", "not a JSON object", value=line[:40], remedy="one JSON object per line")
    return row


def require_text(row: dict[str, Any], field: str) -> str:
    """The stripped text of a field that must be there and not be blank."""
    value = row.get(field)
    if not isinstance(value, str) or not value.strip():
        raise RowError(field, "is missing or empty", value=value, remedy="give it a text")
    return value.strip()


def check_choices(choices: object) -> tuple[str, ...]:
    """Two to 26 texts that differ (upper and lower case do: genotypes); empty is free-form."""
    if not isinstance(choices, (list, tuple)):
        raise RowError("choices", "not a list", value=choices, remedy='write ["one", "two"]')
    texts = tuple(" ".join(str(c).split()) for c in choices)
    if not texts:
        return ()
    if len(texts) == 1:
        raise RowError("choices", "only one choice", value=list(texts), remedy="give two or more, or none")
    if len(texts) > MAX_CHOICES:
        raise RowError("choices", f"more than {MAX_CHOICES} choices", value=len(texts), remedy="letters end at Z")
    if "" in texts:
        raise RowError("choices", "a choice is empty", value=list(texts), remedy="give each choice a text")
    if len(set(texts)) < len(texts):
        raise RowError("choices", "two choices are the same", value=list(texts), remedy="make them differ")
    return texts


def resolve_target(answer: object, choices: Sequence[str], *, field: str) -> str:
    """The letter of an answer: an index from 0, a letter, a choice's text, or a small letter, tried in this
    order.

    The text itself when there are no choices.
    """
    if not choices:
        if isinstance(answer, bool) or not isinstance(answer, (str, int, float)) or not str(answer).strip():
            raise RowError(field, "is missing or empty", value=answer, remedy="give the answer as a text")
        return str(answer).strip()
    index = -1
    if isinstance(answer, int) and not isinstance(answer, bool):
        index = answer
    elif isinstance(answer, str):
        text = " ".join(answer.split())
        letters = [chr(ord("A") + i) for i in range(len(choices))]
        options = [*letters, *choices, *(letter.lower() for letter in letters)]
        index = options.index(text) % len(choices) if text in options else -1
    if not 0 <= index < len(choices):
        remedy = f"use A to {chr(ord('A') + len(choices) - 1)}"
        raise RowError(field, "answer is not among the choices", value=answer, remedy=remedy)
    return chr(ord("A") + index)


def resolve_path(path: object, *, root: str) -> str:
    """Absolute path of a picture; must stay within `root` (lexically: links inside the folder are the
    owner's).
    """
    if not isinstance(path, str) or not path or "\0" in path:
        raise RowError("images", "path is empty or broken", value=path, remedy="give a path in the data folder")
    full = os.path.normpath(os.path.join(root, path))
    if not full.startswith(root.rstrip(os.sep) + os.sep):
        raise RowError("images", "path leaves the data folder", value=path, remedy=f"keep pictures under {root}")
    return full


def check_image(full: str, *, sha256: str, verify: Verify) -> str:
    """The sha256 of the file's bytes. `exists` trusts a given hash, `hash` compares it, `decode` reads the
    pixels.
    """
    if not os.path.isfile(full):
        raise RowError("images", "no such picture", value=full, remedy="copy it there or mend the path")
    if sha256 and verify == "exists":
        return sha256
    try:
        with open(full, "rb") as file:
            actual = hashlib.sha256(file.read()).hexdigest()
    except OSError as error:
        raise RowError("images", "picture is unreadable", value=full, remedy=str(error)) from error
    if sha256 and actual != sha256:
        remedy = f"the row says {sha256[:12]}, the file is {actual[:12]}; restore the file or remove sha256"
        raise RowError("images", "sha256 differs", value=full, remedy=remedy)
    if verify == "decode":
        _decode(full)
    return actual


def _decode(full: str) -> None:
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(full) as image:
                image.load()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise RowError("images", "picture is corrupt", value=full, remedy="replace the file") from error
