"""A look at a student before a run: what it is, whether its parts belong together, how fast a step is and what is slow.

One sample of the recipe's usual length goes forward and backward, with the recipe's adapters, on the device that a
training would use. Times are of the second pass. Nothing is saved.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from errata.tools.errors import OperatorError
from errata.tools.records import ImageRef, Problem, Record
from errata.tools.student.checks import check_mask, check_packing, check_passes, check_pictures, check_prompt
from errata.tools.student.collate import collate
from errata.tools.student.encode import Encoded, encode_sample
from errata.tools.student.load import Student, open_student
from errata.tools.student.loss import answer_loss
from errata.tools.train.attach import Attached, attach, low_precision
from errata.tools.train.explain import product_rate
from errata.tools.train.recipe import Recipe

SIDE = 336
"""Pixels of the picture's sides."""
SENTENCE = "The north pole of the first magnet faces the south pole of the second one, so they pull on each other."
SLOW = 10.0
"""A layer is slow when its share of the time is this many times its share of the work."""
GIB = 2**30


class SlowLayer(Record):
    """A layer that takes more time than its work explains."""

    name: str
    kind: str
    time_share: float
    work_share: float


class StudentProbe(Record):
    """What was found."""

    family: str
    note: str
    parameters: int
    trained: int
    dtype: str
    device: str
    tokens: int
    """Of the sample, picture included."""
    faults: tuple[str, ...]
    """Checks of data and passes that failed, one line each."""
    forward_s: float
    backward_s: float
    share: float
    """Of the device's rate in a large matrix product."""
    slow: tuple[SlowLayer, ...]
    held_gib: float
    """Model, trained weights and their optimiser."""
    sample_gib: float | None
    """Of one sample in a forward pass; measured on a GPU, None on a CPU."""
    free_gib: float | None


def probe_student(base: str, *, prompt: str, image_first: bool, recipe: Recipe) -> StudentProbe:
    """Raises `OperatorError` for a folder that is no student, or a sample that does not go through."""
    torch.set_num_threads(1)
    student = open_student(base, adapter=None, device=recipe.device)
    how: dict[str, Any] = {"prompt": prompt, "image_first": image_first}
    with tempfile.TemporaryDirectory() as folder:
        problems = make_problems(Path(folder))
        samples = [encode_sample(problem, student=student, **how) for problem in problems]
        faults = list(find_faults(student, samples, problems, how=how))
        work = count_work(student, samples[0])
        parameters = sum(p.numel() for p in student.model.parameters())
        attached = attach(student, recipe)
        attached.model.train()
        forward, backward, sample = time_step(attached, student, samples[0])
        slow = find_slow_layers(attached, student, samples[0])
    trained = sum(w.numel() for w in attached.weights)
    on_gpu = student.device.type == "cuda"
    return StudentProbe(
        family=student.family.name,
        note=student.family.note,
        parameters=parameters,
        trained=trained,
        dtype=str(student.model.dtype).removeprefix("torch."),
        device=torch.cuda.get_device_name(0) if on_gpu else "processor, one thread",
        tokens=len(samples[0].ids),
        faults=tuple(faults),
        forward_s=forward,
        backward_s=backward,
        share=2 * work / (forward + backward) / product_rate(student.device),
        slow=tuple(slow),
        held_gib=(parameters * student.model.dtype.itemsize + 12 * trained) / GIB,
        sample_gib=sample / GIB if on_gpu else None,
        free_gib=torch.cuda.mem_get_info()[0] / GIB if on_gpu else None,
    )


def make_problems(folder: Path) -> list[Problem]:
    """Two questions of different lengths with a picture of noise each."""
    problems = []
    for i, times in enumerate((3, 6)):
        path = folder / f"{i}.png"
        noise = np.random.default_rng(i).integers(0, 255, (SIDE, SIDE - 64 * i, 3), dtype=np.uint8)
        Image.fromarray(noise).save(path)
        problems.append(
            Problem(
                id=f"sample-{i}",
                question=" ".join([SENTENCE] * times),
                choices=("attract", "repel"),
                target="A",
                rationale=" ".join([SENTENCE] * 3),
                images=(ImageRef(path=str(path), sha256=str(i)),),
            )
        )
    return problems


def find_faults(
    student: Student, samples: Sequence[Encoded], problems: Sequence[Problem], *, how: dict[str, Any]
) -> list[str]:
    """What the checks before a training say, one line for each that fails."""
    checks: list[Callable[[], object]] = [
        lambda: check_pictures(samples, student=student),
        lambda: check_mask(samples[0], problems[0], student=student),
        lambda: check_prompt(samples[0], problems[0], student=student, **how),
        lambda: check_passes(samples[0], problems[0], student=student, **how),
    ]
    if student.family.packs:
        checks.append(lambda: check_packing(samples, student=student))
    faults = []
    for check in checks:
        try:
            check()
        except OperatorError as error:
            faults.append(str(error))
    return faults


def count_work(student: Student, sample: Encoded) -> float:
    """Multiplications of a forward pass, counted by hooks on linear layers and convolutions."""
    total = 0.0

    def count(module: Any, _inputs: Any, output: torch.Tensor) -> None:
        nonlocal total
        total += layer_work(module, output)

    hooks = [m.register_forward_hook(count) for m in student.model.modules() if hasattr(m, "weight") and _counts(m)]
    batch = collate([sample], student=student)
    batch.pop("labels")
    with torch.inference_mode():
        student.model(**batch, use_cache=False)
    for hook in hooks:
        hook.remove()
    return 2 * total


def layer_work(module: Any, output: torch.Tensor) -> float:
    """Multiplications of one layer: each output number sums over the layer's inputs."""
    return float(output.numel() * module.weight[0].numel())


def _counts(module: Any) -> bool:
    return isinstance(module, (torch.nn.Linear, torch.nn.Conv2d, torch.nn.Conv3d))


def time_step(attached: Attached, student: Student, sample: Encoded) -> tuple[float, float, int]:
    """Seconds forward and backward of the second pass, and bytes of the sample's activations (0 on a CPU)."""
    on_gpu = student.device.type == "cuda"
    times = [0.0, 0.0]
    peak = 0
    for _ in range(2):
        batch = collate([sample], student=student)
        labels = batch.pop("labels")
        if on_gpu:
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
            held = torch.cuda.memory_allocated()
        started = time.perf_counter()
        with low_precision(attached, student.device):
            loss = answer_loss(attached.inner, batch, labels)
        if on_gpu:
            torch.cuda.synchronize()
        between = time.perf_counter()
        loss.backward()  # type: ignore[no-untyped-call]
        if on_gpu:
            torch.cuda.synchronize()
            peak = torch.cuda.max_memory_allocated() - held
        times = [between - started, time.perf_counter() - between]
        for weight in attached.weights:
            weight.grad = None
    return times[0], times[1], peak


def find_slow_layers(attached: Attached, student: Student, sample: Encoded) -> list[SlowLayer]:
    """Layers whose share of the forward pass is far beyond their share of its work."""
    seconds: dict[str, float] = {}
    work: dict[str, float] = {}
    kinds: dict[str, str] = {}
    started: dict[str, float] = {}
    hooks = []

    def wait() -> None:
        if student.device.type == "cuda":
            torch.cuda.synchronize()

    def watch(name: str, module: Any) -> None:
        def before(_module: Any, _inputs: Any) -> None:
            wait()
            started[name] = time.perf_counter()

        def after(layer: Any, _inputs: Any, output: torch.Tensor) -> None:
            wait()
            seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - started[name]
            work[name] = work.get(name, 0.0) + layer_work(layer, output)
            kinds[name] = type(layer).__name__

        hooks.extend([module.register_forward_pre_hook(before), module.register_forward_hook(after)])

    for name, module in attached.inner.named_modules():
        if _counts(module) and "lora_" not in name:
            watch(name.removesuffix(".base_layer"), module)
    batch = collate([sample], student=student)
    batch.pop("labels")
    with torch.inference_mode():
        for _ in range(2):
            seconds.clear()
            work.clear()
            attached.inner(**batch, use_cache=False)
    for hook in hooks:
        hook.remove()
    all_seconds, all_work = sum(seconds.values()), sum(work.values())
    found = [
        SlowLayer(name=n, kind=kinds[n], time_share=seconds[n] / all_seconds, work_share=work[n] / all_work)
        for n in seconds
    ]
    slow = [layer for layer in found if layer.time_share > max(0.05, SLOW * layer.work_share)]
    return sorted(slow, key=lambda layer: -layer.time_share)[:3]
