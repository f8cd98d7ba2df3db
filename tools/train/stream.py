"""Samples as a training needs them: measured once, then encoded while they are trained on.

Pictures and tokens of a step are made by worker processes shortly before their step and dropped after it. The first
samples are kept encoded, up to `KEPT_BYTES`, so that a small training opens each picture once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from errata.tools.errors import OperatorError
from errata.tools.pictures import PictureFault, read_size
from errata.tools.records import Problem
from errata.tools.student.encode import IGNORED, Encoded, answer_ids, encode_sample, render_text
from errata.tools.student.features import add_features
from errata.tools.student.load import Student
from errata.tools.student.source import StudentSource
from errata.tools.train.feature_store import FeatureStore
from errata.tools.train.recipe import Recipe
from errata.tools.train.samples import SampleFile

FEATURE_BATCH = 16
"""Samples whose pictures are encoded at the same time."""
KEPT_BYTES = 32 * 2**20
"""How much of the encoded samples stays in memory."""


class Measured(NamedTuple):
    """Samples that are trained on, by number in the file, with their lengths in tokens."""

    numbers: npt.NDArray[np.int64]
    tokens: npt.NDArray[np.int64]
    """Of the whole sample, pictures included."""
    answers: npt.NDArray[np.int64]
    """Of the answer."""
    skipped: int


class SampleStream:
    """Encoded samples of one file for one student."""

    def __init__(self, file: SampleFile, *, student: Student, source: StudentSource) -> None:
        self._file, self.student = file, student
        self._how: Any = {"student": student, "prompt": source.prompt, "image_first": source.image_first}
        self._kept: dict[int, Encoded] = {}
        self._bytes = 0
        self._store: FeatureStore | None = None
        self._pictures: dict[tuple[tuple[int, int], ...], int] = {}

    def __len__(self) -> int:
        return len(self._file)

    def problem(self, number: int) -> Problem:
        """The problem of this number."""
        return self._file[number]

    def encode(self, number: int) -> Encoded:
        """Raises `OperatorError` with the row."""
        if self._store is not None:
            return self._store.get(self._store.key_of(self._file[number]))
        kept = self._kept.get(number)
        if kept is None:
            kept = encode_sample(self._file[number], **self._how)
            size = sum(
                value.nbytes for value in (kept.ids, kept.labels, *kept.per_token.values(), *kept.extras.values())
            )
            if self._bytes + size <= KEPT_BYTES:
                self._bytes += size
                self._kept[number] = kept
        return kept

    def read_from(self, store: FeatureStore, numbers: Sequence[int]) -> int:
        """From here samples come from `store` with features instead of pictures; returns how many were added to it.

        Raises `OperatorError` for a picture that cannot be read.
        """
        keys = [(number, store.key_of(self._file[number])) for number in numbers]
        missing = [(number, key) for number, key in keys if key not in store]
        for start in range(0, len(missing), FEATURE_BATCH):
            part = missing[start : start + FEATURE_BATCH]
            samples = add_features([self.encode(number) for number, _ in part], student=self.student)
            store.put([key for _, key in part], samples)
        self._store, self._kept, self._bytes = store, {}, 0
        return len(missing)

    def measure(self, recipe: Recipe) -> Measured:
        """Lengths of all samples. Raises `OperatorError` for a sample that is too long, unless it may be skipped."""
        rows: list[tuple[int, int, int]] = []
        for number in range(len(self._file)):
            tokens, answer = self._measure(number)
            if tokens <= recipe.max_tokens:
                rows.append((number, tokens, answer))
            elif recipe.too_long == "stop":
                raise OperatorError(
                    f"longer than {recipe.max_tokens} tokens",
                    where=f"problem {self._file[number].id}",
                    value=tokens,
                    remedy="raise max_tokens, or set too_long to skip",
                )
        if not rows:
            raise OperatorError(
                "every sample is too long",
                where="max_tokens",
                value=recipe.max_tokens,
                remedy="raise max_tokens",
            )
        table = np.array(rows, dtype=np.int64)
        return Measured(table[:, 0], table[:, 1], table[:, 2], len(self._file) - len(rows))

    def _measure(self, number: int) -> tuple[int, int]:
        """Tokens of the sample and of its answer.

        A sample is encoded whole while there is room to keep it. Later ones are tokenized without their pictures;
        what pictures of these sizes add is learned from the first sample that has such ones.
        """
        if self._bytes < KEPT_BYTES * 0.9:
            return _lengths(self.encode(number))
        problem = self._file[number]
        sizes = tuple(_picture_size(problem, ref.path) for ref in problem.images)
        frame = render_text(problem, **self._how)
        text = len(self.student.tokenizer(frame.before)["input_ids"])
        answer = len(answer_ids(problem, frame, student=self.student))
        if sizes not in self._pictures:
            whole, _ = _lengths(encode_sample(problem, **self._how))
            self._pictures[sizes] = whole - answer - text
        return text + self._pictures[sizes] + answer, answer


def _lengths(sample: Encoded) -> tuple[int, int]:
    return len(sample.ids), int((sample.labels[1:] != IGNORED).sum())


def _picture_size(problem: Problem, path: str) -> tuple[int, int]:
    try:
        return read_size(path)
    except PictureFault as error:
        raise OperatorError(
            f"unreadable picture: {error.what}",
            where=f"problem {problem.id}",
            value=path,
            remedy="mend or remove the file",
        ) from error


class _Steps(torch.utils.data.Dataset[Any]):
    """The samples of each step, for a loader: a list, or the error that stopped it."""

    def __init__(self, stream: SampleStream, steps: Sequence[Sequence[int]]) -> None:
        self._stream, self._steps = stream, steps

    def __len__(self) -> int:
        return len(self._steps)

    def __getitem__(self, step: int) -> list[Encoded] | OperatorError:
        try:
            return [self._stream.encode(number) for number in self._steps[step]]
        except OperatorError as error:
            return error


def stream_steps(stream: SampleStream, steps: Sequence[Sequence[int]], *, workers: int) -> Iterator[list[Encoded]]:
    """The encoded samples of each step, in order. Raises `OperatorError` with the row when its step comes."""
    loader = torch.utils.data.DataLoader(
        _Steps(stream, steps),
        batch_size=None,
        num_workers=workers,
        multiprocessing_context="fork" if workers else None,
        prefetch_factor=2 if workers else None,
        generator=torch.Generator(),  # without one, a loader draws from the generator that dropout uses
    )
    for samples in loader:
        if isinstance(samples, OperatorError):
            raise samples
        yield samples
