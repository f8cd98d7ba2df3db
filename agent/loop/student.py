"""The student of a real run: a transformers model, answering and training in processes of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

from errata.agent.run.folder import RunFolder
from errata.agent.settings.tree import Settings
from errata.tools.evaluate.student import evaluate_student
from errata.tools.records import Attempt, Checkpoint, Lesson, Problem
from errata.tools.student.source import StudentSource
from errata.tools.train.host import StudentHost
from errata.tools.train.job import TrainProgress
from errata.tools.train.run import train_student


class LocalStudent:
    """Implements `Student`. Its host starts to import torch in the background when it is created."""

    def __init__(self, settings: Settings, *, folder: RunFolder) -> None:
        self._settings, self._folder = settings, folder
        self._host = StudentHost()

    def __enter__(self) -> LocalStudent:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._host.close()

    def evaluate(
        self,
        problems: Sequence[Problem],
        *,
        checkpoint: Checkpoint,
        store: Path,
        on_answer: Callable[[int, int, int], None],
    ) -> list[Attempt]:
        """See `Student`."""
        return evaluate_student(
            problems,
            model=self._source(checkpoint),
            options=self._settings.student.generate,
            workers=self._settings.student.workers,
            on_answer=on_answer,
            store=store,
            host=self._host,
            certificate=self._certificate(checkpoint),
        )

    def train(
        self,
        lessons: Sequence[Lesson],
        *,
        checkpoint_id: str,
        folder: Path,
        replay: Sequence[Problem],
        max_seconds: float | None,
        on_progress: Callable[[int, int, float | None], None],
    ) -> Checkpoint:
        """See `Student`. The run's seed is added to the recipe's, so that another seed gives another training."""
        recipe = self._settings.train
        caps = [cap for cap in (recipe.max_seconds, max_seconds) if cap is not None]
        changes = {"seed": recipe.seed + self._settings.run.seed, "max_seconds": min(caps) if caps else None}

        def advance(progress: TrainProgress) -> None:
            on_progress(progress.step, progress.steps, progress.loss)

        return train_student(
            lessons,
            base=self._source(base_checkpoint(self._settings)),
            recipe=recipe.model_copy(update=changes),
            folder=folder,
            checkpoint_id=checkpoint_id,
            on_progress=advance,
            replay=replay,
            host=self._host,
        )

    def _certificate(self, checkpoint: Checkpoint) -> Path | None:
        """Beside the checkpoint, or in the run folder for the base; None where transformers answers itself."""
        if self._settings.student.generate.backend == "transformers":
            return None
        base = checkpoint.parent is None
        return (self._folder.path if base else self._folder.path / checkpoint.folder) / "parity.json"

    def _source(self, checkpoint: Checkpoint) -> StudentSource:
        student = self._settings.student
        return StudentSource(
            base=student.base,
            adapter=None if checkpoint.parent is None else str(self._folder.path / checkpoint.folder),
            checkpoint=checkpoint.id,
            prompt=student.prompt,
            image_first=student.image_first,
            trust_remote_code=student.trust_remote_code,
        )


def base_checkpoint(settings: Settings) -> Checkpoint:
    """Record of the base student, before any training."""
    return Checkpoint(id="base", parent=None, folder=settings.student.base, lessons=0, recipe="", loss=None)
