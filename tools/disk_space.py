"""Room on a disk, asked for before something large is written to it."""

from __future__ import annotations

import shutil
from pathlib import Path

from errata.tools.errors import OperatorError


def free_bytes(path: Path) -> int:
    """Bytes that this user may still write on the disk of `path`, which need not exist yet."""
    there = next(p for p in (path.absolute(), *path.absolute().parents) if p.exists())
    return shutil.disk_usage(there).free


ELSEWHERE = "make room, or choose a folder on another disk"


def check_space(path: Path, *, need: int, what: str, remedy: str = ELSEWHERE) -> None:
    """Raise OperatorError if fewer than `need` bytes are free on the disk of `path`; `what` takes them."""
    free = free_bytes(path)
    if free < need:
        said = f"{what} needs {say_bytes(need)} and {say_bytes(free)} are free"
        raise OperatorError(said, where=str(path), remedy=remedy)


def say_bytes(count: int) -> str:
    """Bytes in the largest unit of 1000 that gives at least 1, e.g. `14.1 GB`."""
    value, units = float(count), ("B", "kB", "MB", "GB", "TB")
    unit = 0
    while value >= 1000 and unit < len(units) - 1:
        value, unit = value / 1000, unit + 1
    return f"{value:.1f} {units[unit]}" if unit else f"{count} B"
