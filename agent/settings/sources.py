"""The rows of one split, read as the settings say; used by the run itself and by everything that reads a run."""

from __future__ import annotations

from pathlib import Path

from errata.agent.settings.data import DataSettings, SourceSettings
from errata.tools.data.check import Verify
from errata.tools.data.read import ReadResult, read_problems
from errata.tools.records import Split, digest

PICTURES = ".pictures"
"""Folder beside the runs for pictures that rows hold as bytes; named by content, shared by all runs."""


def read_source(
    data: DataSettings, source: SourceSettings, *, split: Split, runs: Path, verify: Verify | None = None
) -> ReadResult:
    """The problems within offset and limit, and all rows that are not used. Raises OperatorError.

    `runs`: the folder that the runs lie in.
    """
    share = data.max_bad_share if source.max_bad_share is None else source.max_bad_share
    found = read_problems(
        Path(source.path),
        split=split,
        format=source.format,
        images=source.images,
        max_bad_share=share,
        verify=verify,
        options=source,
        pictures=runs / PICTURES,
    )
    problems = found.problems
    if source.shuffle:
        problems = sorted(problems, key=lambda problem: digest("order", problem.id))
    return ReadResult(problems[source.offset :][: source.limit], found.skipped)
