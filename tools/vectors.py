"""What an embedding function is: texts in, unit vectors out. Every kind of embedding imports this and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
"""float32[texts, size]."""


class Embedding(Protocol):
    """Turns texts into unit vectors, float32[texts, size]; the same for the same."""

    @property
    def name(self) -> str:
        """Differs for functions that differ."""
        ...

    def __call__(self, texts: Sequence[str]) -> Vectors:
        """The vectors, in the order of the texts."""
        ...


def make_unit(vectors: Vectors) -> Vectors:
    """Rows of length 1; a row of zeros stays."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: Vectors = np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0)
    return unit
