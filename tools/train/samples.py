"""The samples of a training on disk, read one by one: memory does not grow with their number."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from errata.tools.errors import OperatorError
from errata.tools.records import Problem

SAMPLES = "samples.jsonl"


def write_samples(folder: Path, problems: Iterable[Problem]) -> Path:
    """One problem per line into `folder`. Raises `OperatorError` on a full or read-only disk."""
    path = folder / SAMPLES
    try:
        with path.open("w", encoding="utf-8") as file:
            for problem in problems:
                file.write(problem.model_dump_json() + "\n")
    except OSError as error:
        raise OperatorError(
            f"cannot write: {error.strerror}",
            where=str(path),
            remedy="free space or rights on that disk, then resume",
        ) from error
    return path


def read_trained(folder: Path) -> list[Problem] | None:
    """The samples that a checkpoint was trained on; None where they are not there (or in an older form)."""
    path = folder / SAMPLES
    if not path.is_file():
        return None
    file = SampleFile(path)
    return [file[number] for number in range(len(file))]


class SampleFile:
    """Problems of a file by number; 8 bytes of memory for each."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            with path.open("rb") as file:
                lengths = np.fromiter((len(line) for line in file), dtype=np.int64)
        except OSError as error:
            raise OperatorError(
                f"cannot read: {error.strerror}", where=str(path), remedy="start the training again"
            ) from error
        self._ends = np.cumsum(lengths)

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, number: int) -> Problem:
        start = int(self._ends[number - 1]) if number else 0
        with self._path.open("rb") as file:
            file.seek(start)
            line = file.read(int(self._ends[number]) - start)
        try:
            return Problem.model_validate_json(line)
        except ValidationError as error:
            raise OperatorError(
                f"not a problem: {error.errors()[0]['msg']}",
                where=f"{self._path}:{number + 1}",
                remedy="delete the folder and resume",
            ) from error
