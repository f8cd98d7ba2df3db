"""Two processes that train one model: each takes half of every batch, and both add the two gradients.

Shared memory and two pipes, no network. Addition of two numbers does not depend on the order, so both
processes hold bitwise equal weights after every step, and every run gives the same ones.
"""

from __future__ import annotations

import mmap
import os
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from errata.tools.errors import OperatorError
from errata.tools.train.parent_death import die_with_parent

Flat = npt.NDArray[np.float32]


class Pair(NamedTuple):
    """One process's end. `buffers` has shape (2 turns, 2 ranks, size)."""

    rank: int
    buffers: npt.NDArray[np.float32]
    hear: int
    tell: int
    other: int
    """Pid of the other process."""

    def add(self, flat: Flat, *, turn: int) -> Flat:
        """Sum of this vector and the other process's. Raises `OperatorError` when the other one died.

        Two buffers take turns, so that no process overwrites what the other still reads.
        """
        shared = self.buffers[turn % 2]
        shared[self.rank] = flat
        try:
            os.write(self.tell, b".")
            heard = os.read(self.hear, 1)
        except BrokenPipeError:
            heard = b""
        if not heard:
            raise OperatorError("the other half of the training died", remedy="resume")
        return np.asarray(shared[0] + shared[1])


def split_in_two(size: int) -> Pair:
    """Fork; returns in both processes. `size` is the number of float32 values that are added in a step."""
    block = mmap.mmap(-1, 2 * 2 * size * 4)
    buffers = np.frombuffer(block, dtype=np.float32).reshape(2, 2, size)
    first_hears, second_tells = os.pipe()
    second_hears, first_tells = os.pipe()
    me = os.getpid()
    pid = os.fork()
    if pid == 0:
        die_with_parent()
        os.close(first_hears)
        os.close(first_tells)
        return Pair(1, buffers, second_hears, second_tells, me)
    os.close(second_hears)
    os.close(second_tells)
    return Pair(0, buffers, first_hears, first_tells, pid)
