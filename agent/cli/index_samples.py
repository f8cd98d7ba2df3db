"""The file of samples of `errata index build|add`: how it is read, and its state when it was read."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from errata.agent.cli.options.reading import choose_format, read_options
from errata.tools.errors import OperatorError
from errata.tools.retrieve.index_source import Source, describe_source
from errata.tools.retrieve.sources import QuestionFile, SampleFile, SampleSource, holds_column


def open_samples(
    arguments: argparse.Namespace, *, names: tuple[str, str], fields: Sequence[str]
) -> tuple[SampleSource, Callable[[], Source]]:
    """The samples, and a function that describes their source once they are read; raises OperatorError.

    Rows that have the column of skills are taken as they are; all others are read as questions.
    """
    path: Path = arguments.source
    finish = _describe(path, folder=arguments.folder / "lexical")
    file = _choose_reader(path, arguments, names=names, fields=fields)
    return file, lambda: finish(file)


def _choose_reader(
    path: Path, arguments: argparse.Namespace, *, names: tuple[str, str], fields: Sequence[str]
) -> SampleSource:
    how: dict[str, Any] = {
        "fields": fields,
        "max_bad_share": arguments.max_bad_share,
        "every_field": arguments.action == "build",  # an addition may lack what the index keeps
    }
    plain = arguments.format is None and not arguments.field and path.is_file()
    if plain and holds_column(path, names[1]):
        return SampleFile(path, id_field=names[0], skills_field=names[1], **how)
    options = read_options(arguments)
    try:
        format = choose_format(path, arguments)
    except OperatorError as error:
        if arguments.format is not None or error.value is None:
            raise
        remedy = "name the column with --skills, or say with --format how questions lie there (docs/data.md)"
        what = f"no column {names[1]!r}"
        raise OperatorError(what, where=str(path), value=error.value, remedy=remedy) from None
    return QuestionFile(path, format=format, options=options, **how)


def _describe(path: Path, *, folder: Path) -> Callable[[SampleSource], Source]:
    """Description of the source with the counts of `file` after reading. Raises OperatorError if the file changed."""
    before = describe_source(path, folder=folder)

    def finish(file: SampleSource) -> Source:
        if describe_source(path, folder=folder) != before:
            raise OperatorError("the file changed while it was read", where=str(path), remedy="begin again")
        counts = {"samples": file.samples, "empty": file.empty, "skipped": file.skipped}
        return before.model_copy(update=counts)

    return finish
