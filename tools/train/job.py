"""Input and output of a training: the files of one checkpoint folder. Nothing here imports torch."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import ValidationError

from errata.tools.errors import OperatorError
from errata.tools.records import Problem, Record, digest
from errata.tools.student.source import ADAPTER, PARTS, StudentSource
from errata.tools.train.recipe import Recipe

JOB, STATE, FINISHED = "job.json", "state.pt", "finished.json"


class TrainJob(Record):
    """One training."""

    key: str
    """Digest of samples, recipe and prompt; a state of another key is not resumed."""
    base: StudentSource
    recipe: Recipe
    samples: int
    """How many problems stand in samples.jsonl beside the job."""


class TrainProgress(Record):
    """After one optimiser step."""

    step: int
    steps: int
    epoch: int
    loss: float
    """Mean over the answer tokens of this batch."""
    learning_rate: float
    samples: int
    """Samples seen so far, repeats counted."""
    micro_batch: int
    """Samples per forward pass."""


class Finished(Record):
    """The marker of a finished training, written last."""

    key: str
    loss: float
    """Mean over the answer tokens of the last epoch."""
    steps: int
    samples: int
    skipped: int
    """Samples left out as too long."""
    unknown: float
    """Share of the answers' tokens that the student's vocabulary does not know."""
    adapter: str
    """Digest of the trained weights."""
    notes: tuple[str, ...] = ()
    """What was changed on the way, e.g. a smaller micro batch when memory ran out."""


def write_atomic(path: Path, body: bytes) -> None:
    """All of `body` or nothing, flushed to disk. Raises `OperatorError` on a full or read-only disk."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with draft.open("wb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        raise OperatorError(
            f"cannot write: {error.strerror}",
            where=str(path),
            remedy="free space or rights on that disk, then resume",
        ) from error
    finally:
        if path.parent.is_dir():
            draft.unlink(missing_ok=True)


def make_job(problems: tuple[Problem, ...], *, base: StudentSource, recipe: Recipe, prompt: str) -> TrainJob:
    """The job with its key; `prompt` is the digest of the prompt's text."""
    key = digest(
        "train",
        [p.model_dump(mode="json") for p in problems],
        recipe.digest,
        base.checkpoint,
        prompt,
        base.image_first,
    )
    return TrainJob(key=key, base=base, recipe=recipe, samples=len(problems))


def read_job(folder: Path) -> TrainJob:
    """Raises `OperatorError` for a missing or foreign file."""
    path = folder / JOB
    try:
        return TrainJob.model_validate_json(path.read_bytes())
    except OSError as error:
        raise OperatorError(f"cannot read: {error.strerror}", where=str(path), remedy="start the run again") from error
    except ValidationError as error:
        raise OperatorError(
            f"not a training job: {error.errors()[0]['msg']}",
            where=str(path),
            remedy="delete the folder and resume",
        ) from error


def read_finished(folder: Path, *, key: str) -> Finished | None:
    """The marker of this very job, if it is finished with its adapter in place."""
    path = folder / FINISHED
    if not path.is_file() or not any((folder / name).is_file() for name in (ADAPTER, PARTS)):
        return None
    try:
        done = Finished.model_validate_json(path.read_bytes())
    except ValidationError:
        return None
    return done if done.key == key else None
