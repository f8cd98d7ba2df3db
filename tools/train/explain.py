"""What a training will do, before it starts: what trains, how fast it learns, how long it takes and what it needs.

The student is built without its weights, so this takes seconds for any size. Memory is a formula and is measured anew
on the GPU before the first step; time is a formula over the rate that this device reaches in a matrix product.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from errata.tools.errors import OperatorError
from errata.tools.records import Problem, Record
from errata.tools.student.source import StudentSource
from errata.tools.train.recipe import Recipe

if TYPE_CHECKING:
    from errata.tools.student.load import Student

ORIGINS = {
    "learning_rate": "P1 appendix H",
    "batch_size": "P1 appendix H",
    "epochs": "inferred from LLaVA's public recipe",
    "lora_rank": "inferred from LLaVA's public recipe",
    "lora_alpha": "inferred from LLaVA's public recipe",
    "warmup": "inferred from LLaVA's public recipe",
    "schedule": "inferred from LLaVA's public recipe",
    "replay": "P3, 10 %",
}
"""Where a default comes from; all others are Errata's own."""
SAMPLED = 64
"""Samples whose length is measured."""
UTILISATION = 0.4
"""Share of the rate of a large matrix product that a training reaches."""
GIB = 2**30


class PartTrained(Record):
    """One part of the student."""

    part: str
    parameters: int
    trained: int
    """Of the part itself, or of the adapters on it."""
    layers: int
    """Layers with an adapter."""


class Setting(Record):
    """One value of the recipe and why it is that."""

    name: str
    value: object
    origin: str


class Explanation(Record):
    """A training, before it starts."""

    family: str
    parts: tuple[PartTrained, ...]
    parameters: int
    trained: int
    samples: int
    tokens: int
    """Of a sample, mean of those measured, pictures included."""
    answer_tokens: int
    steps: int
    warmup_steps: int
    batch: int
    device: str
    memory_gib: float
    """Weights, trained weights with their optimiser, and the activations of one sample."""
    sample_gib: float
    """Activations of one sample, kept."""
    seconds: float
    settings: tuple[Setting, ...]


def explain_training(problems: Sequence[Problem], *, base: StudentSource, recipe: Recipe) -> Explanation:
    """Raises `OperatorError` for a base, a sample or a recipe that a training would refuse."""
    from errata.tools.student.load import open_blueprint, pick_device

    if not problems:
        raise OperatorError("there are no samples to train on", remedy="give a file with at least one")
    student = open_blueprint(base.base, trust_remote_code=base.trust_remote_code)
    parts = count_parts(student, recipe=recipe)
    tokens, answers = measure_lengths(problems, student=student, base=base)
    steps = recipe.epochs * math.ceil(len(problems) / recipe.batch_size)
    steps = min(steps, recipe.max_steps or steps)
    place = pick_device(recipe.device)
    whole, trained = sum(p.parameters for p in parts), sum(p.trained for p in parts)
    on_gpu = place.type == "cuda"
    each = activation_bytes(student.model.config.get_text_config(), tokens=tokens, width=2 if on_gpu else 4)
    weights = whole * (0.55 if recipe.method == "qlora" else 2.0 if on_gpu else 4.0)
    seen = min(len(problems) * recipe.epochs, steps * recipe.batch_size)
    work = (6 if recipe.method == "full" else 4) * whole * tokens * seen
    return Explanation(
        family=student.family.name,
        parts=parts,
        parameters=whole,
        trained=trained,
        samples=len(problems),
        tokens=tokens,
        answer_tokens=answers,
        steps=steps,
        warmup_steps=math.ceil(steps * recipe.warmup),
        batch=recipe.batch_size,
        device=place.type,
        memory_gib=(weights + 16 * trained + each) / GIB,
        sample_gib=each / GIB,
        seconds=work / (UTILISATION * product_rate(place)),
        settings=tuple(list_settings(recipe)),
    )


def count_parts(student: Student, *, recipe: Recipe) -> tuple[PartTrained, ...]:
    """Parameters of each part, and how many of them, or of adapters on them, are trained."""
    from errata.tools.student.families import part_of
    from errata.tools.student.layers import linear_names, parameter_names

    model, family = student.model, student.family
    parameters: Counter[str] = Counter()
    trained: Counter[str] = Counter()
    layers: Counter[str] = Counter()
    for name, weight in model.named_parameters():
        parameters[part_of(name, family)] += weight.numel()
    if recipe.method == "full":
        wanted = set(parameter_names(model, targets=recipe.target_modules))
        for name, weight in model.named_parameters():
            trained[part_of(name, family)] += weight.numel() if name in wanted else 0
    else:
        modules = dict(model.named_modules())
        for name in linear_names(model, targets=recipe.target_modules):
            layer = modules[name]
            extra = layer.out_features if recipe.method == "dora" else 0
            trained[part_of(name, family)] += recipe.lora_rank * (layer.in_features + layer.out_features) + extra
            layers[part_of(name, family)] += 1
    return tuple(
        PartTrained(part=part, parameters=count, trained=trained[part], layers=layers[part])
        for part, count in sorted(parameters.items())
    )


def measure_lengths(problems: Sequence[Problem], *, student: Student, base: StudentSource) -> tuple[int, int]:
    """Mean tokens of a sample and of its answer, over evenly spaced samples."""
    from errata.tools.student.encode import IGNORED, encode_sample

    step = max(1, len(problems) // SAMPLED)
    samples = [
        encode_sample(problem, student=student, prompt=base.prompt, image_first=base.image_first)
        for problem in problems[::step][:SAMPLED]
    ]
    tokens = sum(len(sample.ids) for sample in samples) / len(samples)
    answers = sum(int((sample.labels != IGNORED).sum()) for sample in samples) / len(samples)
    return round(tokens), round(answers)


def activation_bytes(config: Any, *, tokens: int, width: int) -> float:
    """What a decoder keeps of one sample for its backward pass: 8 states and 4 inner states a layer and token."""
    inner = getattr(config, "intermediate_size", None) or 4 * config.hidden_size
    return float(config.num_hidden_layers * tokens * width * (8 * config.hidden_size + 4 * inner))


def product_rate(place: Any) -> float:
    """Operations a second of a large matrix product on this device."""
    import time

    import torch

    size, kind = (8192, torch.bfloat16) if place.type == "cuda" else (768, torch.float32)
    left, right = (torch.randn(size, size, device=place, dtype=kind) for _ in range(2))
    best = math.inf
    for _ in range(5):
        started = time.perf_counter()
        product = left @ right
        if place.type == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - started)
    del product
    return 2 * size**3 / best


def list_settings(recipe: Recipe) -> list[Setting]:
    """Every value of the recipe: given, or a default and where it comes from."""
    settings = []
    for name, field in type(recipe).model_fields.items():
        value = getattr(recipe, name)
        given = value != field.default
        origin = "given" if given else ORIGINS.get(name, "Errata's default")
        settings.append(Setting(name=name, value=value, origin=origin))
    return settings
