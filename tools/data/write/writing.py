"""Write problems into a file, with their pictures beside it, so that the folder can be carried elsewhere."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from errata.tools.data.check import RowError, check_problem
from errata.tools.data.write.rows import WRITERS, WriteFormat
from errata.tools.errors import OperatorError
from errata.tools.records import ImageRef, Problem

PICTURES = "images"
DATASET_INFO = "dataset_info.json"
ENDINGS: dict[WriteFormat, str] = {"llava": ".json", "sharegpt": ".json", "messages": ".jsonl", "errata": ".jsonl"}
"""A list of rows, or one row per line."""


class WriteResult(NamedTuple):
    """What was written."""

    file: Path
    rows: int
    copied: int
    """Pictures that were copied; those that lay there already are not counted."""
    info: Path | None
    """LlamaFactory's register of datasets, where one was written."""


def write_problems(problems: Sequence[Problem], *, file: Path, format: WriteFormat) -> WriteResult:
    """One row per problem. Pictures outside the file's folder are copied to `images/` beside it, by content.

    JSON for LLaVA and ShareGPT, lines of JSON for `messages` and `errata`. The file takes its place in one
    step. With ShareGPT, `dataset_info.json` beside it gets an entry named after the file. Raises
    OperatorError for what cannot be written.
    """
    if format not in WRITERS:
        remedy = f"use one of {', '.join(WRITERS)}"
        raise OperatorError("no such format to write", where=str(file), value=format, remedy=remedy)
    if file.suffix != ENDINGS[format]:
        remedy = f"name it {file.with_suffix(ENDINGS[format])}: what is in a file is told by its ending"
        raise OperatorError(f"the format {format} is written to a {ENDINGS[format]}", where=str(file), remedy=remedy)
    for problem in problems:
        _check_readable(problem, file=file)
    shelf = _Shelf(file.absolute().parent.resolve())
    try:
        shelf.folder.mkdir(parents=True, exist_ok=True)
        lists = any(len(problem.images) > 1 for problem in problems)
        rows = (
            WRITERS[format](problem, [shelf.place(image) for image in problem.images], lists=lists)
            for problem in problems
        )
        _write_whole(file, _lines(rows, format=format))
        info = _register(file, folder=shelf.folder) if format == "sharegpt" else None
    except OSError as error:
        what = f"cannot be written ({error.strerror})"
        raise OperatorError(what, where=str(error.filename or file), remedy="make room, or mend the rights") from error
    return WriteResult(file, len(problems), shelf.copied, info)


def _check_readable(problem: Problem, *, file: Path) -> None:
    """What a reader would refuse is not written."""
    try:
        check_problem(problem)
    except RowError as error:
        what = f"problem {problem.id!r} could not be read back: {error}"
        raise OperatorError(what, where=str(file), remedy=error.remedy) from error


class _Shelf:
    """The folder of pictures beside the file."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.copied = folder, 0

    def place(self, image: ImageRef) -> str:
        """The picture's path relative to the folder; copied there first when it lies elsewhere."""
        source = Path(image.path)
        source = source if source.is_absolute() else self.folder / source
        if source.is_relative_to(self.folder):
            return source.relative_to(self.folder).as_posix()
        name = f"{PICTURES}/{image.sha256}{source.suffix.lower()}"
        target = self.folder / name
        if not target.is_file():
            target.parent.mkdir(exist_ok=True)
            part = target.with_name(f".{target.name}.{os.getpid()}")
            shutil.copyfile(source, part)
            part.replace(target)
            self.copied += 1
        return name


def _lines(rows: Iterator[dict[str, Any]], *, format: WriteFormat) -> Iterator[str]:
    """The text of the file, piece by piece."""
    listed = ENDINGS[format] == ".json"
    between = "[\n" if listed else ""
    for row in rows:
        yield between + json.dumps(row, ensure_ascii=False)
        between = ",\n" if listed else "\n"
    yield ("\n]\n" if between.startswith(",") else "[]\n") if listed else "\n"


def _write_whole(file: Path, pieces: Iterator[str]) -> None:
    part = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        with part.open("w", encoding="utf-8", newline="\n") as handle:
            handle.writelines(pieces)
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)


def _register(file: Path, *, folder: Path) -> Path:
    """Add the file to LlamaFactory's register, and leave the other entries as they are."""
    info = folder / DATASET_INFO
    entries: dict[str, Any] = {}
    if info.is_file():
        try:
            entries = json.loads(info.read_text(encoding="utf-8"))
        except ValueError:
            raise OperatorError("not JSON", where=str(info), remedy="mend it or move it away") from None
        if not isinstance(entries, dict):
            raise OperatorError("no register of datasets", where=str(info), remedy="mend it or move it away")
    entries[file.stem] = {
        "file_name": file.name,
        "formatting": "sharegpt",
        "columns": {"messages": "conversations", "images": "images"},
    }
    _write_whole(info, iter([json.dumps(entries, indent=2, ensure_ascii=False) + "\n"]))
    return info
