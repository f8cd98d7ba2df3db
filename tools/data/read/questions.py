"""Rows that are questions with an answer: Errata's own, ScienceQA as published, MMBench, lessons."""

from __future__ import annotations

import os
from typing import Any

from errata.tools.data.check import RowError, check_choices, require_text, resolve_target
from errata.tools.data.read.layout import Fields, RowContext, SkipRow
from errata.tools.data.read.pictures import decode_base64

RUN_MARK = "run:/"
"""How the records of a run begin a path within its folder."""
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def parse_errata(row: dict[str, Any], context: RowContext) -> list[Fields]:
    """Rows are Problem records; a picture may be a bare path, and sha256, scoring and split may be left out."""
    if context.split not in (None, "test") and row.get("split") == "test":
        raise RowError("split", f"a test row read as {context.split}", value="test", remedy="keep test apart")
    fields = dict(row)
    fields["id"] = require_text(row, "id")
    fields["question"] = require_text(row, "question")
    fields["choices"] = choices = check_choices(row.get("choices") or ())
    fields["target"] = resolve_target(row.get("target"), choices, field="target")
    fields.setdefault("scoring", "choice" if choices else "exact")
    pictures = row.get("images") or ()
    if not isinstance(pictures, (list, tuple)):
        raise RowError("images", "not a list", value=pictures, remedy='write [{"path": "images/a.png"}]')
    fields["images"] = [{"path": p} if isinstance(p, str) else p for p in pictures]
    for picture in fields["images"]:
        if not isinstance(picture, dict) or not isinstance(picture.get("path") or picture.get("bytes"), str):
            raise RowError("images", "a picture without a path", value=picture, remedy='give it a "path"')
    return [fields]


def parse_lesson(row: dict[str, Any], context: RowContext) -> list[Fields]:
    """Rows are the lessons of a run (`lessons.jsonl`): what was selected or made, with route and skill."""
    problem = row.get("problem")
    if not isinstance(problem, dict):
        raise RowError("problem", "is missing", value=problem, remedy="name the lessons.jsonl of a run")
    (fields,) = parse_errata(problem, context)
    kept = fields.get("metadata")
    if kept is not None and not isinstance(kept, dict):
        raise RowError("metadata", "is no object", value=kept, remedy="see tools/records.py")
    result = {"lesson": row.get("id"), "route": row.get("route"), "iteration": row.get("iteration")}
    for picture in fields["images"]:
        path = str(picture["path"])
        inside = path.startswith(RUN_MARK)
        picture["path"] = os.path.join(context.folder, path[len(RUN_MARK) :]) if inside else path
    return [fields | {"metadata": {**(kept or {}), **{k: v for k, v in result.items() if v is not None}}}]


SCIENCEQA_PARTS = {"pool": "train", "diagnosis": "val", "gate": "val", "test": "test"}


def parse_scienceqa_json(row: dict[str, Any], context: RowContext) -> list[Fields]:
    """ScienceQA's own problems.json: one object per id; `image` lies in images/PART/ID/ beside it."""
    name, part = str(row.get("id")), row.get("split")
    wanted = context.options.part or SCIENCEQA_PARTS.get(context.split or "")
    if not isinstance(part, str):
        raise RowError("split", "is no text", value=part, remedy="train, val or test")
    if wanted and part != wanted:
        raise SkipRow(f"row of the part {part[:40]}")
    choices = row.get("choices")
    if isinstance(choices, list) and choices and all(c in ("", None) for c in choices):
        raise SkipRow("choices are pictures")
    question = with_context(row.get("hint"), require_text(row, "question"))
    fields = _with_answer({**row, "rationale": row.get("solution")}, question=question, gold="")
    skills = row.get("skill") or row.get("topic")
    if skills is not None and not isinstance(skills, str):
        raise RowError("skill", "is no text", value=skills, remedy="write it as a text")
    picture = row.get("image")
    if picture is not None and not isinstance(picture, str):
        raise RowError("images", "image is no name of a file", value=picture, remedy='write "image.png"')
    kept = {k: row[k] for k in ("subject", "category", "grade", "topic", "task") if row.get(k)}
    return [
        fields
        | {
            "skills": (skills,) if skills else (),
            "images": [os.path.join("images", part, name, picture)] if picture else [],
            "metadata": {"pid": name, **kept, "skill_source": "skill" if row.get("skill") else "topic"},
        }
    ]


def parse_mmbench(row: dict[str, Any], context: RowContext) -> list[Fields]:
    """MMBench's TSV: index, question, hint, A to D (or more), answer, category, image in base64.

    An `image` that is the index of an earlier row means the picture of that row.
    """
    part = row.get("split")
    if context.options.part and part != context.options.part:
        raise SkipRow(f"row of the part {str(part)[:40]}")
    texts = [_cell(row.get(letter)) for letter in LETTERS if letter in row]
    while texts and not texts[-1]:
        texts.pop()
    choices = check_choices(texts)
    question = with_context(_cell(row.get("hint")), require_text(row, "question"))
    answer = _cell(row.get("answer"))
    if not answer:
        raise RowError("answer", "is missing or empty", value=answer, remedy="take a part that has answers, e.g. dev")
    name = _cell(row.get("index")) or context.name
    image = _cell(row.get("image"))
    if not image:
        raise RowError("images", "is missing", value=image, remedy="every row of MMBench has a picture, or its index")
    data = context.earlier[image] if image in context.earlier else decode_base64(image)
    context.earlier[name] = data
    kept = {k: row[k] for k in ("category", "l2-category", "source", "split", "comment") if _cell(row.get(k))}
    category = _cell(row.get("category"))
    return [
        {
            "id": name,
            "question": question,
            "choices": choices,
            "target": resolve_target(answer, choices, field="answer"),
            "scoring": "choice" if choices else "exact",
            "skills": (category.replace("_", " "),) if category else (),
            "images": [data],
            "metadata": kept,
        }
    ]


def _cell(value: object) -> str:
    """The text of a cell; a missing value is written as nothing or nan."""
    text = "" if value is None else str(value).strip()
    return "" if text in ("nan", "NaN") else text


def with_context(context: object, question: str) -> str:
    """Context first, on lines of its own; raises RowError for one that is no text."""
    if context is not None and not isinstance(context, str):
        raise RowError("context", "is no text", value=context, remedy="write it as a text")
    text = (context or "").strip()
    return f"{text}\n{question}" if text else question


def _with_answer(row: dict[str, Any], *, question: str, gold: str) -> Fields:
    choices = check_choices(row.get("choices") or ())
    target = resolve_target(row.get("answer"), choices, field="answer")
    text = choices[ord(target) - ord("A")] if choices else target
    expected = target if gold == "answer_letter" else text
    if gold and row.get(gold) and " ".join(str(row[gold]).split()) != expected:
        raise RowError(gold, "does not agree with answer", value=row[gold], remedy="mend one of the two")
    rationale = row.get("rationale")
    if rationale is not None and not isinstance(rationale, str):
        raise RowError("rationale", "is no text", value=rationale, remedy="write it as a text")
    return {
        "id": require_text(row, "id"),
        "question": question,
        "choices": choices,
        "target": target,
        "rationale": (rationale or "").strip(),
        "scoring": "choice" if choices else "exact",
    }
