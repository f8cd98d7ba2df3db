"""Train a student on its lessons, in a process of its own, from the base (methods.md section 7)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from errata.prompts import PromptMissing, prompt_digest
from errata.tools.errors import OperatorError
from errata.tools.records import Checkpoint, Lesson, Problem
from errata.tools.student.source import StudentSource
from errata.tools.train.host import StudentHost
from errata.tools.train.job import (
    JOB,
    Finished,
    TrainJob,
    TrainProgress,
    make_job,
    read_finished,
    write_atomic,
)
from errata.tools.train.mixture import mix_samples
from errata.tools.train.recipe import Recipe
from errata.tools.train.samples import write_samples

__all__ = ["StudentSource", "TrainProgress", "train_student"]


def train_student(
    lessons: Sequence[Lesson],
    *,
    base: StudentSource,
    recipe: Recipe,
    folder: Path,
    checkpoint_id: str,
    on_progress: Callable[[TrainProgress], None] | None = None,
    replay: Sequence[Problem] = (),
    host: StudentHost | None = None,
) -> Checkpoint:
    """A LoRA adapter in `folder`, trained from `base` on all lessons and the replay share.

    The same call again in the same folder resumes an interrupted training exactly, and returns at once when
    it was finished. When `on_progress` raises, the worker saves its state before it ends. Without `host` one
    is started for this call (about 7 s of imports). Raises `OperatorError` for what a person has to mend.
    """
    mixture = mix_samples(lessons, replay=replay, share=recipe.replay, seed=recipe.seed)
    finished = train_problems(
        mixture.problems, base=base, recipe=recipe, folder=folder, on_progress=on_progress, host=host
    )
    return Checkpoint(
        id=checkpoint_id,
        parent=base.checkpoint,
        folder=f"{folder.parent.name}/{folder.name}",
        lessons=mixture.lessons,
        recipe=recipe.digest,
        loss=finished.loss,
    )


def train_problems(
    problems: tuple[Problem, ...],
    *,
    base: StudentSource,
    recipe: Recipe,
    folder: Path,
    on_progress: Callable[[TrainProgress], None] | None = None,
    host: StudentHost | None = None,
) -> Finished:
    """Train on these problems as they are; resumes and raises as `train_student` does."""
    check_folder(base.base)
    job = make_job(problems, base=base, recipe=recipe, prompt=digest_of(base.prompt))
    finished = read_finished(folder, key=job.key)
    if finished is not None:
        return finished
    if host is not None:
        return _train(job, problems, folder=folder, on_progress=on_progress, host=host)
    with StudentHost() as own:
        return _train(job, problems, folder=folder, on_progress=on_progress, host=own)


def check_folder(base: str) -> None:
    """Raise `OperatorError` when the base's folder is missing, before any process is started for it."""
    if not Path(base).is_dir():
        raise OperatorError("no such folder", where="student base", value=base, remedy="give the model's folder")


def digest_of(prompt: str) -> str:
    """Version of a prompt. Raises `OperatorError` when there is none of that name."""
    try:
        return prompt_digest(prompt)
    except PromptMissing as error:
        raise OperatorError(str(error), where="prompt", value=prompt, remedy="name a file of prompts/") from error


def _train(
    job: TrainJob,
    problems: Sequence[Problem],
    *,
    folder: Path,
    on_progress: Callable[[TrainProgress], None] | None,
    host: StudentHost,
) -> Finished:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OperatorError(
            f"cannot create: {error.strerror}",
            where=str(folder),
            remedy="free space or rights on that disk, then resume",
        ) from error
    write_samples(folder, problems)
    write_atomic(folder / JOB, job.model_dump_json().encode())
    finished: Finished | None = None
    for event in host.events([host.start("train", folder)]):
        if "progress" in event.body and on_progress is not None:
            on_progress(TrainProgress.model_validate(event.body["progress"]))
        elif "finished" in event.body:
            finished = Finished.model_validate(event.body["finished"])
    if finished is None:
        raise OperatorError("the training was stopped before its end", where=str(folder), remedy="resume")
    return finished
