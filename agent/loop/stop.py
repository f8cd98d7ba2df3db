"""Signals that ask a run to stop in order: the current step ends, everything is saved, and the run can go on."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from errata.agent.run.folder import RunFolder


@contextlib.contextmanager
def stop_on_signal(folder: RunFolder) -> Iterator[None]:
    """Ctrl-C and SIGTERM ask for a stop in order; a second Ctrl-C is Python's own KeyboardInterrupt."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ask(number: int, _: FrameType | None) -> None:
        signal.signal(number, before[number])
        Path(folder.path / "stop").touch()

    before: dict[int, Any] = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        for number in before:
            signal.signal(number, ask)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
