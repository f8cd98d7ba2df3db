"""From the options of the command line (`options.data`) to the format and options of a source."""

from __future__ import annotations

import argparse
from pathlib import Path

import yaml

from errata.tools.data.read import FORMATS, SourceOptions
from errata.tools.data.read.detect import SAVED, detect_format
from errata.tools.errors import OperatorError


def read_options(arguments: argparse.Namespace) -> SourceOptions:
    """The options of the command line as those of a source."""
    fields: dict[str, str | tuple[str, ...]] = {}
    for pair in arguments.field:
        field, equals, column = pair.partition("=")
        if not equals or not field or not column:
            remedy = "write FIELD=COLUMN, e.g. question=Question"
            raise OperatorError("no field and column", where="--field", value=pair, remedy=remedy)
        columns = tuple(part.strip() for part in column.split(","))
        fields[field] = columns if len(columns) > 1 else columns[0]
    leave_out: dict[str, bool | int | float | str | tuple[int | float | str, ...]] = {}
    for pair in arguments.leave_out:
        column, equals, value = pair.partition("=")
        leave_out[column] = yaml.safe_load(value) if equals else True
    if arguments.images is not None and not arguments.images.is_dir():
        remedy = "name the folder that the pictures lie in"
        raise OperatorError("no such folder", where="--images", value=str(arguments.images), remedy=remedy)
    return SourceOptions(
        image_root=str(arguments.images.resolve()) if arguments.images else None,
        fields=fields,
        leave_out=leave_out,
        first_index=arguments.first_index,
        part=arguments.part,
        subset=arguments.subset,
    )


def choose_format(path: Path, arguments: argparse.Namespace, *, of_folder: str | None = None) -> str:
    """The format that was given, or the one that the first row shows; `of_folder` is that of a folder of splits."""
    if arguments.format is None:
        if of_folder and path.is_dir() and not any((path / name).is_file() for name in SAVED):
            return of_folder
        if arguments.field and path.is_file():
            return "table"
        guess = detect_format(path)
        arguments.guessed_by = guess.by
        return guess.format
    if arguments.format not in FORMATS:
        remedy = f"use one of {', '.join(FORMATS)}"
        raise OperatorError("unknown data format", where="--format", value=arguments.format, remedy=remedy)
    return str(arguments.format)
