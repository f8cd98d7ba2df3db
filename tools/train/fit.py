"""How a batch fits into memory: samples per forward pass, packing, checkpointing, and what to do when it does not."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence

import torch

from errata.tools.errors import OperatorError
from errata.tools.student.encode import Encoded
from errata.tools.student.load import Student
from errata.tools.train.recipe import Recipe

FEW = 4
"""With fewer samples per forward pass than this, activations are computed twice instead of kept."""
HEADROOM = 0.9
"""Share of the free memory that is planned with."""


class Fit:
    """The choices that depend on the machine. `micro` may shrink while a training runs."""

    def __init__(self, recipe: Recipe, *, student: Student, share: int) -> None:
        on_gpu = student.device.type == "cuda"
        self.share = share
        self.micro = min(recipe.micro_batch or share, share)
        self.measures = on_gpu and recipe.micro_batch is None
        self.notes: list[str] = []
        flash = str(getattr(student.model.config, "_attn_implementation", "")).startswith("flash")
        self.packs = student.family.packs and (recipe.packing == "on" or (recipe.packing == "auto" and flash))
        if recipe.packing == "on" and not student.family.packs:
            raise OperatorError(
                f"{student.family.name} cannot be packed: {student.family.note}",
                where="train.packing",
                value="on",
                remedy="set it to auto: samples of like length are then padded together",
            )
        cores = os.cpu_count() or 1
        default = min(8, max(0, cores - 1)) if on_gpu else 0
        self.loader_workers = default if recipe.loader_workers is None else recipe.loader_workers

    def split(self, samples: Sequence[Encoded]) -> Iterator[Sequence[Encoded]]:
        """The samples of each forward pass."""
        for start in range(0, len(samples), self.micro):
            yield samples[start : start + self.micro]

    def halve(self, error: torch.OutOfMemoryError) -> None:
        """Half as many samples per forward pass. Raises `OperatorError` when one alone does not fit."""
        torch.cuda.empty_cache()
        if self.micro == 1:
            raise OperatorError(
                "out of memory with one sample per forward pass",
                where="train",
                value=" ".join(str(error).split())[:160],
                remedy="set train.checkpointing: on, lower train.lora_rank or train.max_tokens, "
                "set train.method: qlora, or take a larger GPU",
            ) from error
        self.micro = (self.micro + 1) // 2
        self.notes.append(f"out of memory: {self.micro} samples per forward pass from here, the batch stays the same")


def choose_micro(peak: Callable[[int], int], *, free: int, share: int) -> int:
    """Largest number of samples per forward pass that fits, from the peaks of one and of two samples, in bytes.

    `peak(n)` runs n samples forward and backward and returns the memory above what the model itself holds.
    """
    one = peak(1)
    if share == 1 or 2 * one > free:
        return 1
    each = max(1, peak(2) - one)
    return max(1, min(share, 1 + int((free * HEADROOM - one) // each)))
