"""Rows of any shape: a map says which column is which field of a problem.

Without a map a field is looked for under its own name and the usual other ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from errata.tools.data.chat import name_marks
from errata.tools.data.check import RowError, check_choices, resolve_target
from errata.tools.data.marks import MARK, read_tagged
from errata.tools.data.read.conversations import parse_llava, parse_messages, parse_sharegpt, turns_of_texts
from errata.tools.data.read.layout import Fields, RowContext, SkipRow
from errata.tools.data.read.questions import LETTERS, with_context
from errata.tools.data.read.shapes import (
    Answered,
    is_spoken,
    lettered_columns,
    name_numbered,
    numbered_pictures,
    options_in_question,
    read_answer,
    read_list,
)

USUAL: dict[str, tuple[str, ...]] = {
    "id": ("id", "question_id", "uid", "index", "qid"),
    "question": ("question", "query", "prompt", "problem"),
    "choices": ("choices", "options", "candidates"),
    "target": (
        *("target", "answer", "label", "gold", "answers", "correct_answer", "correct_choice_idx"),
        *("multiple_choice_answer", "gt_answer"),
    ),
    "rationale": ("rationale", "solution", "explanation", "rationales"),
    "images": ("images", "decoded_image", "image", "picture", "image_path", "img", "img_path", "image_file"),
    "skills": ("skills", "skill"),
    "context": ("context", "hint"),
    "metadata": (),
    "elsewhere": (),
}
"""Fields that a map may name, and the columns that stand for them without one."""
TOLD = ("metadata", "elsewhere")
"""Fields that are read column by column."""
OR, OPTIONAL = "|", "?"
"""In the name of a column: the first of several that says something; one that a row may lack."""
CROWD = 4
"""Answers from which on a question is scored as VQA does, by how many of a crowd agree."""
MISSING = object()


def parse_dataset(row: dict[str, Any], context: RowContext) -> list[Fields]:
    """A row of a Hugging Face dataset: a conversation where it has one and no map is given, else mapped."""
    if not context.options.fields:
        turns = turns_of_texts(row)
        if turns is not None:
            return parse_messages({**row, "messages": turns}, context)
        if row.get("messages") is not None:
            return parse_messages(row, context)
        if row.get("conversations") is not None:
            return (parse_sharegpt if "images" in row else parse_llava)(row, context)
    return parse_mapped(row, context)


def parse_mapped(row: dict[str, Any], context: RowContext) -> list[Fields]:
    """A row by the field map."""
    _leave_out(row, context)
    found = {name: _look_up(row, name, context.options.fields) for name in USUAL if name not in TOLD}
    if found["target"] is None and "target" not in context.options.fields and is_spoken(row.get("solution")):
        found["target"] = row["solution"]
    choices = _read_choices(found["choices"])
    question = found["question"]
    if not isinstance(question, str) or not question.strip():
        columns = ", ".join(map(str, list(row)[:12]))
        remedy = f"set fields.question to one of: {columns}"
        raise RowError("question", "is missing or empty", value=question, remedy=remedy)
    if not choices:
        question, choices = options_in_question(question, found["target"])
    images = _read_images(found["images"])
    if images:
        question = name_numbered(question, count=len(images))
        choices = tuple(name_numbered(choice, count=len(images)) for choice in choices)
    answered = _read_target(found["target"], choices, context)
    if not images:
        question, tagged = read_tagged(question)
        images = [picture for picture in tagged if picture is not None]
    absent = not images and any(row.get(column) for column in _columns(context.options.fields, "elsewhere"))
    if absent and context.images != "any":
        raise SkipRow("picture is not in the data folder")
    marks = question.count(MARK)
    if marks and marks != len(images):
        what = f"{marks} {MARK} for {len(images)} pictures"
        raise RowError("images", what, value=question[:60], remedy=f"one {MARK} per picture, or none")
    rationale = answered.rationale or found["rationale"]
    if isinstance(rationale, list) and all(isinstance(one, str) for one in rationale):
        rationale = rationale[0] if rationale else None
    if rationale is not None and rationale == found["target"]:
        rationale = None
    if rationale is not None and not isinstance(rationale, str):
        raise RowError("rationale", "is no text", value=rationale, remedy="name another column")
    return [
        {
            "id": _read_id(found["id"], context),
            "question": with_context(found["context"], name_marks(question, count=len(images))),
            "choices": choices,
            "target": answered.answer,
            "rationale": (rationale or "").strip(),
            "scoring": "choice" if choices else "vqa_soft" if len(answered.others) >= CROWD else "exact",
            "images": images,
            "skills": _read_skills(found["skills"]),
            "metadata": _read_metadata(row, context)
            | ({"answers": list(answered.others)} if answered.others and not choices else {})
            | ({"picture_absent": True} if absent else {}),
        }
    ]


def _leave_out(row: Mapping[str, Any], context: RowContext) -> None:
    """Raise SkipRow for a row that the options leave out."""
    for column, unwanted in context.options.leave_out.items():
        value = read_column(row, column)
        wanted = unwanted if isinstance(unwanted, tuple) else (unwanted,)
        if value is not MISSING and (bool(value) if unwanted is True else value in wanted):
            raise SkipRow(f"{column} is {str(value)[:40]}")


def _columns(fields: Mapping[str, str | tuple[str, ...]], name: str) -> tuple[str, ...]:
    """The columns of a field that is read column by column."""
    given = fields.get(name, ())
    return (given,) if isinstance(given, str) else given


def _look_up(row: Mapping[str, Any], name: str, fields: Mapping[str, str | tuple[str, ...]]) -> Any:
    given = fields.get(name)
    if given is None:
        present = [column for column in USUAL[name] if row.get(column) is not None]
        if not present and name == "choices":
            return _without_tail(lettered_columns(row) or [])
        if not present and name == "images":
            return numbered_pictures(row)
        return row[present[0]] if present else None
    if isinstance(given, str):
        if OR in given:
            return row.get(find_source(row, given))
        value = read_column(row, given.removesuffix(OPTIONAL))
        if value is MISSING and given.endswith(OPTIONAL):
            return None
        if value is MISSING:
            columns = ", ".join(map(str, list(row)[:12]))
            raise RowError(name, f"no column {given}", value=columns, remedy=f"mend fields.{name}")
        return value
    values = [read_column(row, column) for column in given]
    for column, value in zip(given, values, strict=True):
        if value is MISSING:
            raise RowError(name, f"no column {column}", value=column, remedy=f"mend fields.{name}")
    return values if name == "target" else _without_tail(values)


def find_source(row: Mapping[str, Any], given: str) -> str:
    """Of the columns `a|b|c` the first that says something; empty where none does."""
    return next((column for column in given.split(OR) if row.get(column)), "")


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


def _read_choices(value: Any) -> tuple[str, ...]:
    value = read_list(value)
    if isinstance(value, Mapping) and isinstance(value.get("text"), list):
        value = value["text"]
    if value is None or value == "":
        return ()
    if isinstance(value, Mapping) and list(value) == list(LETTERS[: len(value)]):
        value = list(value.values())
    return check_choices(value)


def _read_target(value: Any, choices: Sequence[str], context: RowContext) -> Answered:
    """The letter of the answer, or its text without choices; several columns must say the same."""
    columns = _columns(context.options.fields, "target")
    if len(columns) < 2:
        told = read_answer(value, choices)
        answer = _resolve_answer(told.answer, choices, first=context.options.first_index)
        return told._replace(answer=answer)
    known = [(name, one) for name, one in zip(columns, value, strict=True) if one is not None and one != ""]
    if not known:
        raise RowError("target", "is missing or empty", value=value, remedy=f"fill {' or '.join(columns)}")
    answer = _resolve_answer(known[0][1], choices, first=context.options.first_index)
    text = choices[LETTERS.index(answer)] if choices else answer
    for name, one in known[1:]:
        same_text = isinstance(one, str) and " ".join(one.split()) == text  # a choice may read "C" and not be the third
        if not same_text and _resolve_answer(one, choices, first=context.options.first_index) != answer:
            raise RowError(name, f"does not agree with {known[0][0]}", value=one, remedy="mend one of the two")
    return Answered(answer)


def _resolve_answer(value: Any, choices: Sequence[str], *, first: int) -> str:
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
    value = read_list(value)
    if value is None or value == "":
        return []
    if isinstance(value, list):
        return [picture for picture in value if picture is not None]
    return [value]


def _read_skills(value: Any) -> tuple[str, ...]:
    value = read_list(value)
    if value is None or value == "":
        return ()
    skills = [value] if isinstance(value, str) else value
    if not isinstance(skills, list) or not all(isinstance(skill, str) for skill in skills):
        raise RowError("skills", "neither a text nor a list of texts", value=value, remedy="name another column")
    return tuple(skill.strip() for skill in skills if skill.strip())


def _read_metadata(row: Mapping[str, Any], context: RowContext) -> dict[str, Any]:
    """Columns that are kept beside the problem; `name?` may be missing, and is left out where it says nothing."""
    kept: dict[str, Any] = {}
    for given in _columns(context.options.fields, "metadata"):
        column, optional = given.removesuffix(OPTIONAL), given.endswith(OPTIONAL)
        value = read_column(row, column)
        if optional and (value is MISSING or value in (None, "", False, 0)):
            continue
        if value is MISSING:
            raise RowError("metadata", f"no column {column}", value=column, remedy="mend fields.metadata")
        kept[column] = value if isinstance(value, (str, bool, int, float, type(None))) else str(value)
    skills = context.options.fields.get("skills")
    if isinstance(skills, str) and OR in skills:
        kept["skill_source"] = find_source(row, skills) or "none"
    return kept
