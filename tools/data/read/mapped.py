"""Rows of any shape: a map says which column is which field of a problem.

Without a map a field is looked for under its own name and the usual other ones.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from errata.tools.data.chat import name_marks
from errata.tools.data.check import MARK, RowError, check_choices, resolve_target
from errata.tools.data.read.conversations import parse_llava, parse_messages, parse_sharegpt
from errata.tools.data.read.layout import Fields, RowContext
from errata.tools.data.read.questions import LETTERS, with_context

USUAL: dict[str, tuple[str, ...]] = {
    "id": ("id", "question_id", "uid", "index", "qid"),
    "question": ("question", "query", "prompt", "problem"),
    "choices": ("choices", "options"),
    "target": ("target", "answer", "label", "gold"),
    "rationale": ("rationale", "solution", "explanation"),
    "images": ("images", "image", "picture", "image_path"),
    "skills": ("skills", "skill"),
    "context": ("context", "hint"),
    "metadata": (),
}
"""Fields that a map may name, and the columns that stand for them without one."""
MISSING = object()


def parse_dataset(row: dict[str, Any], context: RowContext) -> list[Fields]:
    """A row of a Hugging Face dataset: a conversation where it has one and no map is given, else mapped."""
    if not context.options.fields:
        if row.get("messages") is not None:
            return parse_messages(row, context)
        if row.get("conversations") is not None:
            return (parse_sharegpt if "images" in row else parse_llava)(row, context)
    return parse_mapped(row, context)


def parse_mapped(row: dict[str, Any], context: RowContext) -> list[Fields]:
    """A row by the field map."""
    found = {name: _look_up(row, name, context.options.fields) for name in USUAL if name != "metadata"}
    choices = _read_choices(found["choices"])
    target = _read_target(found["target"], choices, first=context.options.first_index)
    question = found["question"]
    if not isinstance(question, str) or not question.strip():
        columns = ", ".join(map(str, list(row)[:12]))
        remedy = f"set fields.question to one of: {columns}"
        raise RowError("question", "is missing or empty", value=question, remedy=remedy)
    images = _read_images(found["images"])
    marks = question.count(MARK)
    if marks and marks != len(images):
        what = f"{marks} {MARK} for {len(images)} pictures"
        raise RowError("images", what, value=question[:60], remedy=f"one {MARK} per picture, or none")
    rationale = found["rationale"]
    if rationale is not None and not isinstance(rationale, str):
        raise RowError("rationale", "is no text", value=rationale, remedy="name another column")
    return [
        {
            "id": _read_id(found["id"], context),
            "question": with_context(found["context"], name_marks(question, count=len(images))),
            "choices": choices,
            "target": target,
            "rationale": (rationale or "").strip(),
            "scoring": "choice" if choices else "exact",
            "images": images,
            "skills": _read_skills(found["skills"]),
            "metadata": _read_metadata(row, context),
        }
    ]


def _look_up(row: Mapping[str, Any], name: str, fields: Mapping[str, str | tuple[str, ...]]) -> Any:
    given = fields.get(name)
    if given is None:
        present = [column for column in USUAL[name] if row.get(column) is not None]
        lettered = [letter for letter in LETTERS if letter in row]
        if not present and name == "choices" and lettered[:2] == ["A", "B"]:
            return _without_tail([row[letter] for letter in lettered])
        return row[present[0]] if present else None
    if isinstance(given, str):
        value = read_column(row, given)
        if value is MISSING:
            columns = ", ".join(map(str, list(row)[:12]))
            raise RowError(name, f"no column {given}", value=columns, remedy=f"mend fields.{name}")
        return value
    values = [read_column(row, column) for column in given]
    for column, value in zip(given, values, strict=True):
        if value is MISSING:
            raise RowError(name, f"no column {column}", value=column, remedy=f"mend fields.{name}")
    return _without_tail(values)


def _without_tail(values: Sequence[Any]) -> list[Any]:
    """Columns of choices or pictures of which the last ones are empty in this row."""
    kept = list(values)
    while kept and (kept[-1] is None or kept[-1] == ""):
        kept.pop()
    return kept


def read_column(row: Mapping[str, Any], column: str) -> Any:
    """The value of a column, or within nested rows where the name has dots; MISSING where there is none."""
    if column in row:
        return row[column]
    value: Any = row
    for part in column.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return MISSING
        value = value[part]
    return value


def _from_text(value: Any) -> Any:
    """A list that a table holds as the text of a JSON list."""
    if isinstance(value, str) and value.strip().startswith("["):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def _read_choices(value: Any) -> tuple[str, ...]:
    value = _from_text(value)
    if isinstance(value, Mapping) and isinstance(value.get("text"), list):
        value = value["text"]
    if value is None or value == "":
        return ()
    if isinstance(value, Mapping) and list(value) == list(LETTERS[: len(value)]):
        value = list(value.values())
    return check_choices(value)


def _read_target(value: Any, choices: Sequence[str], *, first: int) -> str:
    text = value.strip() if isinstance(value, str) else value
    if choices and isinstance(text, str) and text not in choices and text.isdecimal() and len(text) < 4:
        text = int(text)
    if isinstance(text, float) and text.is_integer():
        text = int(text)
    if choices and isinstance(text, int) and not isinstance(text, bool):
        text = text - first
    return resolve_target(text, choices, field="target")


def _read_id(value: Any, context: RowContext) -> str:
    if value is None or value == "":
        return context.name
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise RowError("id", "is neither text nor whole number", value=value, remedy="name another column")
    return str(value).strip() or context.name


def _read_images(value: Any) -> list[Any]:
    value = _from_text(value)
    if value is None or value == "":
        return []
    if isinstance(value, list):
        return [picture for picture in value if picture is not None]
    return [value]


def _read_skills(value: Any) -> tuple[str, ...]:
    value = _from_text(value)
    if value is None or value == "":
        return ()
    skills = [value] if isinstance(value, str) else value
    if not isinstance(skills, list) or not all(isinstance(skill, str) for skill in skills):
        raise RowError("skills", "neither a text nor a list of texts", value=value, remedy="name another column")
    return tuple(skill.strip() for skill in skills if skill.strip())


def _read_metadata(row: Mapping[str, Any], context: RowContext) -> dict[str, Any]:
    given = context.options.fields.get("metadata", ())
    kept: dict[str, Any] = {}
    for column in (given,) if isinstance(given, str) else given:
        value = read_column(row, column)
        if value is MISSING:
            raise RowError("metadata", f"no column {column}", value=column, remedy="mend fields.metadata")
        kept[column] = value if isinstance(value, (str, bool, int, float, type(None))) else str(value)
    return kept
