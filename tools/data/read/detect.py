"""Which format a file is in, by its name and its first row."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from errata.tools.data.read.layout import SourceOptions
from errata.tools.data.read.tables import read_rows
from errata.tools.errors import OperatorError

SAVED = ("state.json", "dataset_dict.json")


class Guess(NamedTuple):
    """A format and what it was told by."""

    format: str
    by: str


def detect_format(path: Path) -> Guess:
    """The format by its files or its first row; raises OperatorError where they do not say."""
    if path.is_dir() and any((path / name).is_file() for name in SAVED):
        return Guess("huggingface", next(name for name in SAVED if (path / name).is_file()))
    if path.is_dir() or not path.exists():
        what = "no such file" if not path.exists() else "a folder: its format has to be said"
        raise OperatorError(what, where=str(path), remedy="name a file, or give --format (docs/data.md lists them)")
    row = _first_row(path)
    found = _by_columns(row, name=path.name.removesuffix(".gz")) if row else None
    if found is None:
        columns = ", ".join(map(str, list(row)[:12])) if row else "none"
        remedy = "name its columns with --field, or give --format (docs/data.md lists them)"
        raise OperatorError("the format is not clear from the first row", where=str(path), value=columns, remedy=remedy)
    return found


def _first_row(path: Path) -> dict[str, Any] | None:
    """The first row that can be read; raises OperatorError for a file that is broken before there is one."""
    broken = None
    for raw in read_rows(path, SourceOptions(), None):
        if raw.row:
            return raw.row
        if raw.error is not None:
            broken = broken or raw.error.located(path, raw.number)
            if raw.fatal:
                break
        else:
            return {}
    raise broken or OperatorError("the file holds no questions", where=str(path), remedy="check the path")


def _by_columns(row: dict[str, Any], *, name: str) -> Guess | None:
    """The first format whose columns are all there."""
    columns = set(map(str, row))
    asked = {"question", "query", "prompt", "problem"} & columns

    def told(format: str, *by: str) -> Guess:
        return Guess(format, f"the column{'s' * (len(by) > 1)} {', '.join(by)}")

    if "problem" in columns and "candidate" in columns:
        return told("lessons", "problem", "candidate")
    if "conversations" in columns:
        images = "images" in columns
        return told("sharegpt", "conversations", "images") if images else told("llava", "conversations")
    if "messages" in columns:
        return told("sharegpt" if _is_sharegpt(row) else "messages", "messages")
    if "texts" in columns and "images" in columns:
        return told("messages", "images", "texts")
    if {"index", "question", "A", "B"} <= columns and name.endswith(".tsv"):
        return told("mmbench", "index", "question", "A", "B")
    if {"question", "choices", "answer", "split", "image"} <= columns and name.endswith(".json"):
        return told("scienceqa_json", "question", "choices", "answer", "split", "image")
    if {"id", "question", "target"} <= columns:
        return told("errata", "id", "question", "target")
    return told("table", *sorted(asked)) if asked else None


def _is_sharegpt(row: dict[str, Any]) -> bool:
    """Texts with marks for pictures; typed parts and bare texts are `messages`."""
    turns = row["messages"] if isinstance(row["messages"], list) else []
    texts = [turn.get("content", turn.get("value")) for turn in turns if isinstance(turn, dict)]
    return any(isinstance(text, str) and "<image>" in text for text in texts)
