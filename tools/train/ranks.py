"""Several processes that train one model: each takes its share of every batch, and gradients are added over all.

torch.distributed with gloo on a CPU and NCCL on GPUs, one GPU each; they meet through a file in the training's folder.
With two processes on a CPU the sum does not depend on the order, so every run gives bitwise the same weights.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple, NoReturn

import torch
from torch import distributed

from errata.tools.errors import OperatorError
from errata.tools.student.load import first_line
from errata.tools.train.parent_death import die_with_parent

MEETING = "meeting"
WAIT = timedelta(minutes=10)
"""How long a process waits for the others within one step."""


class OtherDiedError(OperatorError):
    """Another process of this training is gone; the first process knows whether it left word why."""


@contextmanager
def _others_alive(doing: str = "") -> Iterator[None]:
    """torch's own errors about a broken connection, as one line; with `doing`, what torch said stands in it."""
    try:
        yield
    except RuntimeError as error:
        said = f" while {doing}: {first_line(error)}" if doing else ""
        raise OtherDiedError(f"another process of the training died{said}", remedy="resume") from error


class Rank(NamedTuple):
    """This process among those of one training."""

    number: int = 0
    total: int = 1
    others: tuple[int, ...] = ()
    """Process ids of the others; known to the first one only."""

    @property
    def first(self) -> bool:
        """Whether this one speaks and writes for all."""
        return self.number == 0

    def share(self, batch: Sequence[int]) -> list[int]:
        """This process's samples of a batch."""
        return list(batch[self.number :: self.total])

    def add(self, weights: Sequence[torch.nn.Parameter], extra: Sequence[float]) -> list[float]:
        """Add the gradients of all processes in place; returns the sums of `extra`.

        Raises `OperatorError` when another process died.
        """
        if self.total == 1:
            return list(extra)
        grads = [w.grad if w.grad is not None else torch.zeros_like(w) for w in weights]
        flat = torch.cat([*(g.reshape(-1) for g in grads), torch.tensor(extra, device=grads[0].device)])
        with _others_alive():
            distributed.all_reduce(flat)
        start = 0
        for weight in weights:
            weight.grad = flat[start : start + weight.numel()].view_as(weight)
            start += weight.numel()
        return [float(value) for value in flat[start:]]

    def agree(self, *, stop: bool, late: bool) -> tuple[bool, bool]:
        """Whether the first process was asked to stop, and whether its time is over: all act on its word."""
        if self.total == 1:
            return stop, late
        said = torch.tensor([float(stop), float(late)])
        said = said.cuda() if distributed.get_backend() == "nccl" else said
        with _others_alive():
            distributed.broadcast(said, src=0)
        return bool(said[0]), bool(said[1])

    def wait(self) -> None:
        """Until all processes are here."""
        if self.total > 1:
            with _others_alive():
                distributed.barrier()

    def stop_others(self) -> None:
        """End the other processes at once."""
        for pid in self.others:
            os.kill(pid, signal.SIGKILL)

    def wait_for_others(self) -> None:
        """Until the other processes have ended."""
        for pid in self.others:
            os.waitpid(pid, 0)


def run_ranks(count: int, folder: Path, work: Callable[[Rank], None]) -> None:
    """Do `work` in `count` processes that meet in `folder`; returns in this one alone when its own is done.

    What a person has to mend in another process is said here; what else fails there shows as one that died. Must be
    called before the accelerator is touched.
    """
    if count == 1:
        work(Rank())
        return
    meeting = folder / MEETING
    for left in folder.glob(f"{MEETING}*"):
        left.unlink()
    others = []
    for number in range(1, count):
        pid = os.fork()
        if pid == 0:
            _follow(meeting, Rank(number, count), work)
        others.append(pid)
    rank = Rank(0, count, tuple(others))
    whole = False
    try:
        _meet(meeting, rank)
        work(rank)
        rank.wait_for_others()
        whole = True
    except OperatorError as error:
        said = sorted(folder.glob(f"{MEETING}.*"))
        raise OperatorError(said[0].read_text(encoding="utf-8")) if said else error from None
    finally:
        if not whole:
            rank.stop_others()
        for left in folder.glob(f"{MEETING}*"):
            left.unlink()


def _follow(meeting: Path, rank: Rank, work: Callable[[Rank], None]) -> NoReturn:
    """The life of a process that is not the first. What a person has to mend is left in a file for the first one."""
    code = 1
    try:
        die_with_parent()
        _meet(meeting, rank)
        work(rank)
        code = 0
    except OtherDiedError:
        raise
    except OperatorError as error:
        meeting.with_name(f"{meeting.name}.{rank.number}").write_text(str(error), encoding="utf-8")
    finally:
        if sys.exc_info()[0] is not None:
            traceback.print_exc()
        sys.stderr.flush()
        os._exit(code)


def _meet(meeting: Path, rank: Rank) -> None:
    kind = "nccl" if torch.cuda.is_available() else "gloo"
    if kind == "nccl":
        if torch.cuda.device_count() < rank.total:
            raise OperatorError(
                f"{rank.total} processes but {torch.cuda.device_count()} GPUs",
                where="train.processes",
                value=rank.total,
                remedy="one process a GPU",
            )
        torch.cuda.set_device(rank.number)
    # An address that cannot be used fails here too, and is only told from a death by torch's words.
    with _others_alive("they connected"):
        distributed.init_process_group(
            kind, init_method=meeting.resolve().as_uri(), rank=rank.number, world_size=rank.total, timeout=WAIT
        )
