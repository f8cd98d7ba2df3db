"""LESS: samples whose gradient points where the validation questions' does (after Xia et al. 2024).

For small pools: one backward pass per sample. What is kept of the paper: LoRA gradients, a random projection,
cosine, the mean over each validation subtask, the best subtask counts. What is not: no warm-up training and no
sum over its checkpoints (gradients are taken at the base), and no Adam preconditioning of the samples'
gradients, which needs the optimiser's state of that warm-up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from errata.tools.errors import OperatorError
from errata.tools.records import Problem
from errata.tools.retrieve.rivals.request import Means, Request, Selection, require, require_validation, take_best

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LARGEST_POOL = 20_000
"""Samples; beyond it the backward passes cost more than the training that they are to save."""


def less_samples(request: Request, *, means: Means) -> Selection:
    """The samples with the greatest influence on any one validation subtask.

    A subtask is what questions with the same first skill are about; without skills all questions are one.
    """
    remedy = "give the gradients of a student (tools/retrieve/rivals/gradients.py)"
    measure = require(means.gradients, method="less", what="gradients of the student", remedy=remedy)
    validation = require_validation(request, method="less")
    if len(request.pool) > LARGEST_POOL:
        remedy = f"give {LARGEST_POOL} samples or fewer, or choose another method"
        raise OperatorError("the pool is too large for LESS", where="pool", value=len(request.pool), remedy=remedy)
    wanted = subtask_directions(validation, gradients=measure(validation))
    names = sorted(request.pool)
    influence = (unit_rows(measure([request.pool[name] for name in names])) @ wanted.T).max(axis=1)
    scores = {name: float(value) for name, value in zip(names, influence, strict=True)}
    found = take_best(scores, request=request, route="less", reason="cosine {score} to the gradient of a subtask")
    return Selection(found)


def subtask_directions(problems: Sequence[Problem], *, gradients: NDArray[np.float32]) -> NDArray[np.float32]:
    """float32[subtasks, size]: unit mean gradient of each subtask, in order of its name."""
    import numpy as np

    tasks = np.array([p.skills[0] if p.skills else "" for p in problems])
    means = [gradients[tasks == task].mean(axis=0) for task in sorted(set(tasks.tolist()))]
    return unit_rows(np.stack(means))


def unit_rows(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each row divided by its length; rows of zeros stay."""
    import numpy as np

    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    rows: NDArray[np.float32] = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
    return rows
