"""The switch in a curve of gaps: the definition (full scan), and the skip scan that asks for less (P1 3.3).

Gaps are p(wrong) - p(gold) after 0..T steps, None where a prefix is unscored; the rule and the statuses are in
`errata.tools.locate.answer_switch`. Nothing here knows a teacher or a record of an attempt.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from functools import partial
from typing import NamedTuple

from errata.tools.records import Status

TOLERANCE = 1e-9
"""Gaps are compared with delta up to this much, in probability."""

Gap = float | None
Scan = Generator[int, Gap, "Switch"]


class Switch(NamedTuple):
    """What a scan of one curve found; both scans agree in all but `run_length`, `gaps` and `probes`."""

    status: Status
    prefix: int
    """The switch as a number of steps read, 1..T; -1 when there is none."""
    confidence: float
    """Mean gap over the confirming window."""
    run_length: int
    """Probed prefixes in a row, from the switch on, that stay at or above delta."""
    gaps: tuple[Gap, ...]
    """Index 0..T; None where not probed or not scored."""
    probes: int


UNASKED = Switch("format_error", -1, 0.0, 0, (), 0)
"""For a response without an answer: there is no wrong option to follow."""


def find_switch(gaps: Sequence[Gap], *, delta: float, window: int, strict: bool = False) -> Switch:
    """Full scan of a complete curve of T + 1 gaps, None where unscored: the definition, read word by word."""
    first = partial(_first_switch, gaps, delta=delta, window=window, strict=strict)
    prefix, possible = first(favourable=False), first(favourable=True)
    status = _status(prefix, possible=possible > 0, first=gaps[0], delta=delta)
    return _switch(status, prefix, gaps=gaps, probes=len(gaps), delta=delta, window=window)


def skip_scan(
    probe: Callable[[int], Gap], *, length: int, delta: float, window: int, strict: bool = False
) -> Switch:
    """Skip scan of a curve over 0..`length` steps, asking `probe(i)` for gap_i at most once each."""
    scan = scan_steps(length, delta=delta, window=window, strict=strict)
    asked = next(scan)
    while True:
        try:
            asked = scan.send(probe(asked))
        except StopIteration as stop:
            switch: Switch = stop.value
            return switch


def scan_steps(length: int, *, delta: float, window: int, strict: bool) -> Scan:
    """The skip scan as a generator: yields the prefix it wants, is sent the gap, returns the `Switch`.

    It probes each window from its right end; on the first prefix p that is not above, no window that contains
    p can confirm, so it starts again at p + 1. What was probed is kept. When nothing was found and an
    unscored prefix was met, a second pass reads unscored prefixes favourably (above inside a window, below
    before it) to tell `unscored` from the rest.
    """
    known: dict[int, Gap] = {}
    known[0] = yield 0
    prefix = yield from _pass(known, length, delta=delta, window=window, strict=strict, favourable=False)
    possible = prefix
    if prefix < 0 and None in known.values():
        possible = yield from _pass(known, length, delta=delta, window=window, strict=strict, favourable=True)
    status = _status(prefix, possible=possible > 0, first=known[0], delta=delta)
    gaps = [known.get(i) for i in range(length + 1)]
    return _switch(status, prefix, gaps=gaps, probes=len(known), delta=delta, window=window)


def _above(gap: Gap, delta: float, *, unscored: bool = False) -> bool:
    return unscored if gap is None else gap >= delta - TOLERANCE


def _below(gap: Gap, delta: float, *, unscored: bool) -> bool:
    return unscored if gap is None else gap < delta - TOLERANCE


def _first_switch(gaps: Sequence[Gap], *, delta: float, window: int, strict: bool, favourable: bool) -> int:
    keeps = partial(_above, delta=delta, unscored=favourable)
    precedes = partial(_below, delta=delta, unscored=favourable)
    for i in range(1, len(gaps) - (window if strict else 0)):
        if all(keeps(gap) for gap in gaps[i : i + window + 1]) and any(precedes(gap) for gap in gaps[:i]):
            return i
    return -1


def _pass(
    known: dict[int, Gap], length: int, *, delta: float, window: int, strict: bool, favourable: bool
) -> Generator[int, Gap, int]:
    """The first switch, or -1, probing into `known` only what it must."""
    keeps = partial(_above, delta=delta, unscored=favourable)
    precedes = partial(_below, delta=delta, unscored=favourable)
    start = 1
    while start <= (length - window if strict else length):
        end = min(length, start + window)
        for place in range(end, start - 1, -1):
            if place not in known:
                known[place] = yield place
            if not keeps(known[place]):
                start = place + 1
                break
        else:
            if any(precedes(gap) for place, gap in known.items() if place < start):
                return start
            for place in range(start - 1, 0, -1):
                if place not in known:
                    known[place] = yield place
                if precedes(known[place]):
                    return start
            start = next((k + 1 for k in range(start, end + 1) if precedes(known[k])), end + 1)
    return -1


def _status(prefix: int, *, possible: bool, first: Gap, delta: float) -> Status:
    if prefix > 0:
        return "found"
    if possible or first is None:
        return "unscored"
    return "no_switch" if _above(first, delta) else "none"


def _switch(
    status: Status, prefix: int, *, gaps: Sequence[Gap], probes: int, delta: float, window: int
) -> Switch:
    """Add the evidence: the mean gap over the window, and how far the run is known to go."""
    if prefix < 0:
        return Switch(status, -1, 0.0, 0, tuple(gaps), probes)
    confirming = [gap for gap in gaps[prefix : prefix + window + 1] if gap is not None]
    run = next((k for k, gap in enumerate(gaps[prefix:]) if not _above(gap, delta)), len(gaps) - prefix)
    return Switch(status, prefix, sum(confirming) / len(confirming), run, tuple(gaps), probes)
