"""One training in a process of its own: `python -m errata.tools.train.worker FOLDER`.

Reads FOLDER/job.json and samples.jsonl, says its progress as JSON lines, saves its state every N steps, and writes the
trained weights and, last of all, finished.json. Started again in the same folder it goes on where it was: on CPU the
weights are bitwise those of an undisturbed training. The order of the samples follows from the seed and the epoch
alone.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from errata.tools.errors import OperatorError
from errata.tools.student.checks import check_mask, check_packing, check_passes, check_pictures, check_prompt
from errata.tools.student.features import add_features
from errata.tools.student.load import open_source
from errata.tools.train.checks import check_coverage, check_loss
from errata.tools.train.feature_store import FeatureStore, enough_space
from errata.tools.train.fit import FEW, choose_micro
from errata.tools.train.job import TrainJob, read_job
from errata.tools.train.ranks import Rank, run_ranks
from errata.tools.train.samples import SAMPLES, SampleFile
from errata.tools.train.stream import SampleStream
from errata.tools.train.training import Training

Emit = Callable[[dict[str, Any]], None]
CHECKED = 16
"""Samples that are checked before the first step: each batch is checked by the model itself as well."""


def run_training(folder: Path, emit: Emit) -> None:
    """Do the job in `folder`, or what is left of it. Raises `OperatorError`."""
    job = read_job(folder)
    torch.set_num_threads(1)
    asked: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _frame: asked.append(number))

    def work(rank: Rank) -> None:
        training = _prepare(job, folder=folder, rank=rank)
        _loop(training, emit=emit if rank.first else _say_nothing, asked=asked)

    run_ranks(job.recipe.processes, folder, work)


def _say_nothing(_body: dict[str, Any]) -> None:
    """What a process other than the first one says."""


def _prepare(job: TrainJob, *, folder: Path, rank: Rank) -> Training:
    """The training, checked and where it was left."""
    recipe = job.recipe
    student = open_source(job.base, device=recipe.device, quantized=recipe.method == "qlora")
    on_cpu = student.device.type == "cpu"
    if on_cpu or recipe.deterministic:
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    file = SampleFile(folder / SAMPLES)
    if len(file) != job.samples:
        raise OperatorError(
            f"{len(file)} samples for a job of {job.samples}",
            where=str(folder / SAMPLES),
            remedy="delete the folder and resume",
        )
    stream = SampleStream(file, student=student, source=job.base)
    measured = stream.measure(recipe)
    numbers = [int(number) for number in measured.numbers[:CHECKED]]
    _check_samples(stream, numbers, job=job)
    training = Training(job, folder=folder, student=student, stream=stream, measured=measured, rank=rank)
    check_coverage(training.attached)
    check_loss(training.attached, stream.encode(numbers[0]), student=student)
    if training.fit.packs:
        check_packing([stream.encode(number) for number in numbers[:3]], student=student)
    if recipe.checkpointing == "on":
        _checkpoint_activations(training)
    training.load_state()
    _cache_features(training)
    if training.fit.measures:
        _measure_memory(training)
    return training


def _check_samples(stream: SampleStream, numbers: Sequence[int], *, job: TrainJob) -> None:
    """Pictures, masks and prompts of the first samples, and that training sees what answering sees."""
    student = stream.student
    samples = [stream.encode(number) for number in numbers]
    check_pictures(samples, student=student)
    how: Any = {"student": student, "prompt": job.base.prompt, "image_first": job.base.image_first}
    for number, sample in zip(numbers, samples, strict=True):
        check_mask(sample, stream.problem(number), student=student)
    check_prompt(samples[0], stream.problem(numbers[0]), **how)
    check_passes(samples[0], stream.problem(numbers[0]), **how)


def _cache_features(training: Training) -> None:
    """Put the picture features on disk where the recipe wants it and the picture encoder is frozen."""
    recipe, numbers = training.recipe, training.measured.numbers
    if recipe.cache_features == "off" or recipe.target_modules != "text":
        return
    folder = training.folder.parent / "features"
    sample = add_features([training.stream.encode(int(numbers[0]))], student=training.student)[0]
    needed = len(numbers) * sum(value.nbytes for value in sample.extras.values())
    if recipe.cache_features == "auto" and (recipe.epochs == 1 or not enough_space(folder, needed, share=0.1)):
        return
    if not enough_space(folder, needed, share=1.0):
        raise OperatorError(
            f"{needed / 2**30:.1f} GiB of picture features do not fit the disk",
            where=str(folder),
            remedy="free space there, or set train.cache_features: off",
        )
    first = training.rank.first
    if not first:
        training.rank.wait()
    added = training.stream.read_from(FeatureStore(folder, source=training.job.base), [int(n) for n in numbers])
    if first:
        training.rank.wait()
        training.fit.notes.append(f"picture features of {added} samples computed, {len(numbers) - added} found on disk")


def _checkpoint_activations(training: Training) -> None:
    training.attached.model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    training.fit.notes.append("activations are computed twice instead of kept")


def _measure_memory(training: Training) -> None:
    """Set samples per forward pass by what the longest samples take, and keep fewer activations where few fit."""
    longest = training.measured.tokens.argsort()[::-1][:2]
    samples = [training.stream.encode(int(training.measured.numbers[i])) for i in longest]
    held = torch.cuda.memory_allocated()
    optimizer = 8 * training.trainable

    def peak(count: int) -> int:
        torch.cuda.reset_peak_memory_stats()
        training.optimizer.zero_grad(set_to_none=True)
        training.share_loss((samples * count)[:count], tokens=1)
        return torch.cuda.max_memory_allocated() - held

    def choose() -> int:
        free = torch.cuda.mem_get_info()[0] + torch.cuda.memory_reserved() - held - optimizer
        try:
            return choose_micro(peak, free=free, share=training.fit.share)
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
            return 1

    micro = choose()
    if training.recipe.checkpointing == "auto" and micro < min(FEW, training.fit.share):
        _checkpoint_activations(training)
        micro = choose()
    training.fit.micro = micro
    training.fit.notes.append(f"{micro} samples per forward pass, measured")
    training.optimizer.zero_grad(set_to_none=True)


def _loop(training: Training, *, emit: Emit, asked: list[int]) -> None:
    recipe, started = training.recipe, time.monotonic()
    for samples in training.batches():
        late = recipe.max_seconds is not None and time.monotonic() - started > recipe.max_seconds
        stop, late = training.rank.agree(stop=bool(asked), late=late)
        if stop:
            if training.rank.first:
                training.save_state()
            emit({"stopped": training.step})
            return
        if late:
            break
        progress = training.take_step(samples)
        if training.rank.first and training.step % recipe.save_every == 0 and training.step < len(training.plan):
            training.save_state()
        emit({"progress": progress.model_dump()})
    if training.rank.first:
        emit({"finished": training.finish().model_dump()})


def main(arguments: Sequence[str]) -> int:
    """The command line: one folder. Exit code 2 and one line for what a person has to mend."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m errata.tools.train.worker FOLDER\n")
        return 2

    def emit(body: dict[str, Any]) -> None:
        sys.stdout.write(json.dumps(body) + "\n")
        sys.stdout.flush()

    try:
        run_training(Path(arguments[0]), emit)
    except OperatorError as error:
        emit({"error": str(error)})
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
