"""What an index was made of: the file or folder, and whether it is still the same."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import NamedTuple

from errata.tools.errors import OperatorError
from errata.tools.records import Record


class Source(Record):
    """What samples were read from; `path` is empty for samples that were handed over, and is not looked at then."""

    path: str
    """Relative to the folder of the index."""
    sha256: str
    size: int = 0
    modified: int = 0
    """In nanoseconds, with the size: when both are as they were, the content is taken to be. Of a folder, the sum of
    its files and the last of them."""
    samples: int = 0
    empty: int = 0
    """Samples without a skill; they count as documents and are never found."""
    skipped: int = 0
    """Rows that are no samples."""


class _Outside(NamedTuple):
    size: int
    modified: int


def describe_source(path: Path, *, folder: Path) -> Source:
    """Size, time and hash of a file, or of all files of a folder; raises OperatorError when it cannot be read."""
    try:
        found = _look(path)
        sha256 = _hash(path)
    except OSError as error:
        remedy = "give a file of samples, or a folder; a dataset of the hub has to be saved to one first"
        raise OperatorError(
            f"the source cannot be read ({error.strerror})", where=str(path), remedy=remedy
        ) from error
    relative = os.path.relpath(path.resolve(), folder.resolve())
    return Source(path=relative, sha256=sha256, size=found.size, modified=found.modified)


def check_source(source: Source, *, folder: Path) -> None:
    """Raise OperatorError when a source is not what the index in `folder` was made of, or is gone."""
    if not source.path:
        return
    path = Path(os.path.normpath(folder / source.path))
    try:
        found = _look(path)
    except OSError as error:
        remedy = "put it back, or build the index anew"
        raise OperatorError("a source of the index is gone", where=str(path), remedy=remedy) from error
    same = found == (source.size, source.modified)
    if not same and describe_source(path, folder=folder).sha256 != source.sha256:
        remedy = "build the index anew, or put the old file back"
        raise OperatorError("the source changed since the index was built", where=str(path), remedy=remedy)


def _files(path: Path) -> list[Path]:
    return sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]


def _look(path: Path) -> _Outside:
    found = [file.stat() for file in _files(path)]
    return _Outside(sum(one.st_size for one in found), max((one.st_mtime_ns for one in found), default=0))


def _hash(path: Path) -> str:
    """Of a file its sha256; of a folder that of the names and hashes of its files."""
    hashes = []
    for file in _files(path):
        with file.open("rb") as opened:
            hashes.append((file, hashlib.file_digest(opened, "sha256").hexdigest()))
    if not path.is_dir():
        return hashes[0][1]
    return hashlib.sha256("".join(f"{file.relative_to(path)}\0{one}\n" for file, one in hashes).encode()).hexdigest()
