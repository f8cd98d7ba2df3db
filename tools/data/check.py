"""Checks of one row: what a problem must satisfy before any tool sees it.

A check raises `RowError`, which names the field, the value and the remedy; the reader knows the file and
the row and turns it into an `OperatorError` or a `SkippedRow`.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from errata.tools.data.marks import MARK, find_unread
from errata.tools.errors import ErrataError, OperatorError
from errata.tools.pictures import PictureFault, open_picture
from errata.tools.records import Problem

Verify = Literal["ignore", "exists", "hash", "decode"]
"""What is looked at of a picture; with `ignore` nothing, not even whether it is there."""
MAX_CHOICES = 26
MAX_TEXT = 200_000
"""Characters of one text of a row; what is longer is a file in the wrong place."""
MAX_ID = 512
SHOWN = ("question", "choices", "target", "rationale")
"""Texts that a student reads or writes."""
MAX_ASPECT = 200
"""Processors of current models refuse pictures that are more than 200 times as long as wide."""
_MARKED = re.compile(
    r"(?:option\s+|choice\s+)?(?:\(([A-Za-z])\)[.:]?|([A-Za-z])[.):])\s*(.*)", re.IGNORECASE | re.DOTALL
)
"""A letter in brackets, or one with a mark behind it, and what follows."""
_NO_TEXT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffd\ud800-\udfff]")

_PLACE = re.compile(r"((?:\bturn |\blines? |\bcolumn |\.))\d+")


class RowError(ErrataError):
    """One row cannot be used: `field` and `value` say where, `what` says why, `remedy` says what to do."""

    def __init__(self, field: str, what: str, *, value: object = None, remedy: str = "") -> None:
        super().__init__(f"{field}: {what}")
        self.field, self.what, self.value, self.remedy = field, what, _shorten(value), remedy

    @property
    def reason(self) -> str:
        """For a `SkippedRow`: field and what, without value and places, so that reasons can be counted."""
        what = "duplicate id" if self.what.startswith("duplicate of row") else self.what
        return _PLACE.sub(r"\1N", f"{self.field}: {what}")

    def located(self, file: Path, row: int) -> OperatorError:
        """The same, for the person at the keyboard; `row` counts from 1 and is the line of the file."""
        return OperatorError(
            f"field {self.field!r}: {self.what}", where=f"{file}:{row}", value=self.value, remedy=self.remedy
        )


def _shorten(value: object, limit: int = 80) -> object:
    """Both ends of what is long: of a path the end says most."""
    text = value if isinstance(value, str) else repr(value)
    return value if len(text) <= limit else f"{text[: limit // 2 - 2]}...{text[-limit // 2 + 1 :]}"


def require_text(row: dict[str, Any], field: str) -> str:
    """The stripped text of a field that must be there and not be blank."""
    value = row.get(field)
    if not isinstance(value, str) or not value.strip():
        raise RowError(field, "is missing or empty", value=value, remedy="give it a text")
    return value.strip()


def check_text(text: str, *, field: str) -> None:
    """Raise RowError for what no text holds (control characters, U+FFFD: a wrong encoding) or absurd length."""
    if len(text) > MAX_TEXT:
        what = f"longer than {MAX_TEXT} characters"
        raise RowError(field, what, value=len(text), remedy="is this a text? shorten it or take the row out")
    found = _NO_TEXT.search(text)
    if found:
        around = text[max(0, found.start() - 20) : found.start() + 20]
        remedy = "the encoding was lost on the way: fetch the row again as UTF-8"
        raise RowError(field, "holds a character that is no text", value=ascii(around), remedy=remedy)


def check_choices(choices: object) -> tuple[str, ...]:
    """Two to 26 texts that differ (upper and lower case do: genotypes); empty is free-form."""
    if not isinstance(choices, (list, tuple)):
        raise RowError("choices", "not a list", value=choices, remedy='write ["one", "two"]')
    for choice in choices:
        if isinstance(choice, bool) or not isinstance(choice, (str, int, float)):
            raise RowError("choices", "a choice is neither text nor number", value=choice, remedy="write it as a text")
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
    """The letter of an answer: an index from 0, a letter, a choice's text, a small letter, or a letter with marks
    ("(A)", "A.", "A) red"), tried in this order.

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
        index = options.index(text) % len(choices) if text in options else _marked_letter(text, choices, field=field)
    if not 0 <= index < len(choices):
        remedy = f"use A to {chr(ord('A') + len(choices) - 1)}"
        raise RowError(field, "answer is not among the choices", value=answer, remedy=remedy)
    return chr(ord("A") + index)


def _marked_letter(text: str, choices: Sequence[str], *, field: str) -> int:
    """The place of "(A)", "A.", "A) red" or "option A"; -1 for another text. Raises RowError for two that disagree."""
    marked = _MARKED.fullmatch(text)
    if marked is None:
        same = [i for i, choice in enumerate(choices) if choice.casefold() == text.rstrip(".").casefold()]
        return same[0] if len(same) == 1 else -1
    index = ord((marked[1] or marked[2]).upper()) - ord("A")
    said = marked[3].strip().rstrip(".") if marked[3] else ""
    if said and index < len(choices) and said.casefold() != choices[index].rstrip(".").casefold():
        raise RowError(field, f"the letter and the text behind it disagree with choice {index + 1}", value=text,
                       remedy=f"choice {index + 1} is {choices[index][:40]!r}; mend one of the two")  # fmt: skip
    return index


def resolve_path(path: object, *, root: str) -> str:
    """Absolute path of a picture; must stay within `root` (lexically: links inside the folder are the owner's)."""
    if not isinstance(path, str) or not path or "\0" in path:
        raise RowError("images", "path is empty or broken", value=path, remedy="give a path in the data folder")
    if "\\" in path and not os.path.exists(os.path.join(root, path)):  # written on Windows
        path = path.replace("\\", "/")
    full = os.path.normpath(os.path.join(root, path))
    if not full.startswith(root.rstrip(os.sep) + os.sep):
        raise RowError("images", "path leaves the data folder", value=path, remedy=f"keep pictures under {root}")
    return full


class Checked(NamedTuple):
    """A picture that was looked at: its hash or ending, and how it is converted to be shown."""

    name: str
    converted: tuple[str, ...] = ()


def check_image(full: str, *, sha256: str, verify: Verify) -> Checked:
    """The sha256 of the file's bytes. `exists` trusts a given hash, `hash` compares it, `decode` reads the pixels."""
    if not os.path.isfile(full):
        raise RowError("images", "no such picture", value=full, remedy="copy it there or mend the path")
    if sha256 and verify == "exists":
        return Checked(sha256)
    try:
        with open(full, "rb") as file:
            actual = hashlib.sha256(file.read()).hexdigest()
    except OSError as error:
        raise RowError("images", "picture is unreadable", value=full, remedy=str(error)) from error
    if sha256 and actual != sha256:
        remedy = f"the row says {sha256[:12]}, the file is {actual[:12]}; restore the file or remove sha256"
        raise RowError("images", "sha256 differs", value=full, remedy=remedy)
    return Checked(actual, _decode(full, name=full) if verify == "decode" else ())


def check_bytes(data: bytes, *, verify: Verify) -> Checked:
    """The ending (`.png`) of a picture given as bytes; raises RowError for what no picture begins like, and
    with `decode` for what cannot be read.
    """
    kind = next((ending for head, ending in _HEADS if data.startswith(head)), "")
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        kind = ".webp"
    if not kind:
        remedy = "PNG, JPEG, GIF, WebP, BMP or TIFF, whole"
        raise RowError("images", "the bytes are no picture", value=data[:12].hex(" "), remedy=remedy)
    return Checked(kind, _decode(io.BytesIO(data), name=f"{len(data)} bytes") if verify == "decode" else ())


_HEADS = (
    (b"\x89PNG\r\n\x1a\n", ".png"),
    (b"\xff\xd8\xff", ".jpg"),
    (b"GIF8", ".gif"),
    (b"BM", ".bmp"),
    (b"II*\0", ".tif"),
    (b"MM\0*", ".tif"),
)


def _decode(source: str | io.BytesIO, *, name: str) -> tuple[str, ...]:
    """How the picture is converted to be shown; raises RowError for one that cannot be."""
    try:
        opened = open_picture(source)
    except PictureFault as error:
        value = f"{error.value}, {name}" if error.value else name
        raise RowError("images", error.what, value=value, remedy=error.remedy) from error
    width, height = opened.image.size
    if max(width, height) > MAX_ASPECT * min(width, height):
        what = f"picture is more than {MAX_ASPECT} times as long as wide"
        size = f"{width} x {height} pixels, {name}"
        raise RowError("images", what, value=size, remedy="cut it, or take the row out")
    return opened.converted


def check_problem(problem: Problem) -> None:
    """What holds for every problem, whatever it was read from or is written to; raises RowError."""
    if not problem.id or len(problem.id) > MAX_ID:
        raise RowError("id", f"not 1 to {MAX_ID} characters", value=len(problem.id), remedy="give it a short id")
    texts: list[tuple[str, str]] = [("id", problem.id), ("question", problem.question), ("target", problem.target)]
    texts += [("rationale", problem.rationale), *(("choices", choice) for choice in problem.choices)]
    texts += [("skills", skill) for skill in problem.skills]
    texts += [(f"metadata.{key}", value) for key, value in problem.metadata.items() if isinstance(value, str)]
    for field, text in texts:
        check_text(text, field=field)
        if MARK in text and field in SHOWN:
            remedy = "write [image], or use a format of conversations"
            raise RowError(field, f"holds {MARK}, which stands for a picture", value=text[:60], remedy=remedy)
    mark = None if problem.images or problem.metadata.get("picture_absent") else find_unread(problem.question)
    if mark is not None:
        what = f"holds {mark[:60]}, a mark of a picture, and no picture was read"
        remedy = "give the picture in the row's field for pictures, or take the mark out"
        raise RowError("question", what, value=problem.question[:60], remedy=remedy)
    if not all(skill.strip() for skill in problem.skills):
        raise RowError("skills", "a skill is empty", value=list(problem.skills), remedy="take it out")
    if not problem.question.strip():
        raise RowError("question", "is missing or empty", value=problem.question, remedy="give it a text")
    if problem.choices != check_choices(problem.choices) or (problem.choices and problem.target not in problem.letters):
        raise RowError("target", "answer is not among the choices", value=problem.target, remedy="use its letter")
    if (problem.scoring == "choice") != bool(problem.choices):
        remedy = "choice goes with choices, the others with none"
        raise RowError("scoring", "does not fit the choices", value=problem.scoring, remedy=remedy)
    if not problem.target.strip():
        raise RowError("target", "is missing or empty", value=problem.target, remedy="give the answer as a text")
