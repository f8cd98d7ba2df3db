"""What a training does when, decided before it starts: the order of samples, the learning rate."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

from errata.tools.records import seed_of


def plan_epoch(lengths: Sequence[int], *, batch_size: int, seed: int, epoch: int) -> list[list[int]]:
    """Batches of sample numbers: shuffled, then sorted by length within stretches of 8 batches to save padding."""
    rng = random.Random(seed_of("epoch", seed, epoch))
    order = rng.sample(range(len(lengths)), len(lengths))
    stretch = 8 * batch_size
    batches = []
    for start in range(0, len(order), stretch):
        part = sorted(order[start : start + stretch], key=lambda i: lengths[i])
        batches += [part[i : i + batch_size] for i in range(0, len(part), batch_size)]
    rng.shuffle(batches)
    return batches


def learning_rate_at(step: int, *, steps: int, warmup: float, schedule: str) -> float:
    """Factor on the learning rate for step 0..steps-1: linear warm-up, then the schedule down towards 0."""
    rise = math.ceil(steps * warmup)
    if step < rise:
        return (step + 1) / rise
    done = (step - rise) / max(1, steps - rise)
    return {"constant": 1.0, "linear": 1 - done, "cosine": 0.5 * (1 + math.cos(math.pi * done))}[schedule]
