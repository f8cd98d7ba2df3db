"""The questions of a run, for commands that only read it: nothing is generated, and the pool is not read."""

from __future__ import annotations

import sys
from pathlib import Path

from errata.agent.run.folder import RunFolder
from errata.agent.run.outcome import read_settings
from errata.agent.settings.data import DataSettings, SourceSettings
from errata.agent.settings.sources import read_source
from errata.tools.errors import OperatorError
from errata.tools.records import Problem, Split

VALIDATION: tuple[Split, ...] = ("diagnosis", "gate", "test")


def validation_problems(folder: RunFolder, *, required: bool = False) -> dict[str, Problem]:
    """Diagnosis, gate and test questions by id; empty, and said on stderr, when they cannot be read any more.

    Raises OperatorError instead where they are `required`.
    """
    data = read_settings(folder).data
    problems: dict[str, Problem] = {}
    try:
        for split in VALIDATION:
            source = find_source(data, split=split, worlds=folder.path.parent / ".worlds")
            found = read_source(data, source, split=split, runs=folder.path.parent, verify="exists")
            problems |= {p.id: p for p in found.problems}
    except OperatorError as error:
        if required:
            raise
        print(f"errata: the questions are left out, they cannot be read: {error}", file=sys.stderr)
        return {}
    return problems


def find_source(data: DataSettings, *, split: Split, worlds: Path) -> SourceSettings:
    """Where the questions of a split lie; those of the embedded world as `prepare` left them."""
    if data.world is not None:
        from errata.tools.world.generate import world_name

        name = world_name(seed=data.world.seed, sizes=data.world.sizes)
        return SourceSettings(path=str(worlds / name / f"{split}.jsonl"))
    source = getattr(data, split)
    assert isinstance(source, SourceSettings), f"settings without data.{split}"
    return source
