"""The folder of runs: make a new run, find one by name, list all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from errata.agent.run.disk import disk_faults
from errata.agent.run.folder import RunFolder
from errata.tools.errors import OperatorError


class RunSummary(NamedTuple):
    """One line of the list of runs."""

    id: str
    path: Path
    state: str
    """running, finished, stopped (can be resumed) or new."""
    stop_reason: str
    iteration: int


def make_run(root: Path, name: str) -> RunFolder:
    """A new folder `<name>-<n>` under `root`, n counting from 1; two processes never get the same one."""
    number = 1
    with disk_faults(root):
        root.mkdir(parents=True, exist_ok=True)
        while True:
            path = root / f"{name}-{number}"
            try:
                path.mkdir()
            except FileExistsError:
                number += 1
            else:
                return RunFolder(path)


def find_run(root: Path, name: str) -> RunFolder:
    """The run called `name` under `root`, or at the path `name`; `last` is the newest. Raises OperatorError."""
    runs = list_runs(root)
    if name == "last" and runs:
        return RunFolder(max(runs, key=lambda run: (run.path / "settings.yaml").stat().st_mtime).path)
    for path in (root / name, Path(name)):
        if os.path.isfile(path / "settings.yaml"):  # False for a name that is too long
            return RunFolder(path)
    known = ", ".join(run.id for run in runs[-8:])
    remedy = f"there are {known}" if known else "start one with: errata demo"
    raise OperatorError("no such run", where=str(root), value=name[:80], remedy=remedy)


def list_runs(root: Path) -> list[RunSummary]:
    """All runs under `root` by name, numbers in their order."""
    found = [p.parent for p in root.glob("*/settings.yaml")] if root.is_dir() else []

    def order(path: Path) -> tuple[str, int]:
        stem, _, number = path.name.rpartition("-")
        return (stem, int(number)) if number.isdigit() else (path.name, 0)

    return [summarize_run(RunFolder(path)) for path in sorted(found, key=order)]


def summarize_run(folder: RunFolder) -> RunSummary:
    """State of one run from its files alone."""
    result = folder.read_json("result.json")
    state = (
        "running" if folder.holder() else "finished" if result else "stopped" if folder.events() else "new"
    )
    iteration = max((int(e.get("iteration", 0)) for e in folder.events()), default=0)
    return RunSummary(folder.id, folder.path, state, result.get("stop_reason", "") if result else "", iteration)
