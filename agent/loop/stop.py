"""Signals that ask a run to stop in order: the current step ends, everything is saved, and the run can go on.

SIGINT is Ctrl-C, SIGTERM what `kill` and batch systems send, SIGHUP what a closed terminal or ssh connection sends,
SIGUSR1 what Slurm sends before the time limit where it is asked to (`--signal`, docs/clusters.md).
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from errata.agent.run.folder import RunFolder

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)


@contextlib.contextmanager
def stop_on_signal(folder: RunFolder) -> Iterator[None]:
    """Let the signals of `STOPPING` ask for a stop; a second Ctrl-C is Python's own KeyboardInterrupt.

    A signal that was ignored before stays ignored: `nohup` keeps its meaning.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    terminals = [descriptor for descriptor in (1, 2) if os.isatty(descriptor)]

    def ask(number: int, _: FrameType | None) -> None:
        if number == signal.SIGINT:
            signal.signal(number, before[number])
        if number == signal.SIGHUP:
            _let_go_of(terminals)
        Path(folder.path / "stop").touch()

    found: dict[int, Any] = {number: signal.getsignal(number) for number in STOPPING}
    before = {number: handler for number, handler in found.items() if handler is not signal.SIG_IGN}
    try:
        for number in before:
            signal.signal(number, ask)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _let_go_of(terminals: list[int]) -> None:
    """Send further output to /dev/null: a write to a closed terminal would end the run before it is saved."""
    if terminals:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for descriptor in terminals:
            os.dup2(nowhere, descriptor)
        os.close(nowhere)
