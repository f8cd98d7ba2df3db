"""Which reporter fits: a live display on a terminal, plain lines elsewhere, JSON lines for machines.

All write to stderr, so that stdout holds the result alone. The loop calls them from several threads at once.
"""

from __future__ import annotations

import sys
from typing import Protocol, TextIO

from errata.agent.run.reporter import Reporter
from errata.agent.show.progress.json_lines import JsonReporter
from errata.agent.show.progress.plain_lines import PlainReporter


class ClosableReporter(Reporter, Protocol):
    """A reporter that may hold the terminal."""

    def close(self) -> None:
        """Release the terminal."""
        ...


def make_reporter(*, json_lines: bool, stream: TextIO | None = None) -> ClosableReporter:
    """The reporter that fits: JSON lines if asked for, live on a terminal, else plain lines."""
    stream = stream or sys.stderr
    if json_lines:
        return JsonReporter(stream)
    if not stream.isatty():
        return PlainReporter(stream)
    from errata.agent.show.progress.terminal import LiveReporter

    return LiveReporter()
