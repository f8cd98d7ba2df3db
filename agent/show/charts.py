"""Inline SVG for the report. Horizontal positions are percentages, so that a chart fills a phone or a desk
without its text changing size; colours and fonts come from the page's style sheet by class.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from itertools import pairwise
from typing import NamedTuple

from errata.tools.records import Interval

LEFT, RIGHT = 12.0, 94.0
"""First and last column of the accuracy chart, in percent of its width."""
TOP, BOTTOM, HEIGHT = 14.0, 222.0, 250
"""Where 100 % and 0 % lie, and the chart's height, in pixels."""
CURVE_TOP, CURVE_BOTTOM, CURVE_HEIGHT = 6.0, 74.0, 96
"""The same for a gap of +1 and -1 in a gap curve."""


class Point(NamedTuple):
    """One measured accuracy; `kind` is `kept` (base or accepted), `refused`, or `test`."""

    column: int
    value: Interval
    kind: str


def accuracy_chart(points: Sequence[Point], *, labels: Sequence[str], chance: float | None) -> str:
    """Accuracy by iteration, whiskers are 95 % intervals; the line joins what was kept."""
    parts = [
        f'<svg class="chart" width="100%" height="{HEIGHT}" role="img" aria-label="accuracy by iteration">'
    ]
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        unit = " %" if tick == 1 else ""
        parts.append(_rule("grid", _y(tick)))
        parts.append(f'<text class="tick" x="0" y="{_y(tick) - 4:.1f}">{100 * tick:.0f}{unit}</text>')
    if chance is not None:
        parts.append(_rule("chance", _y(chance)))
    stride = max(1, -(-len(labels) // 8))
    for column, label in enumerate(labels):
        if column % stride == 0 or column == len(labels) - 1:
            x = _column(column, len(labels))
            parts.append(_tick(x, HEIGHT - 8, escape(label)))
    for kind in ("kept", "test"):
        line = [p for p in points if p.kind == kind]
        parts += [_segment(a, b, columns=len(labels)) for a, b in pairwise(line)]
    parts += [_mark(point, columns=len(labels)) for point in points]
    return "".join([*parts, "</svg>"])


def _y(value: float) -> float:
    return BOTTOM - value * (BOTTOM - TOP)


def _rule(kind: str, y: float) -> str:
    return f'<line class="{kind}" x1="0" x2="100%" y1="{y:.1f}" y2="{y:.1f}"/>'


def _tick(x: float, y: float, label: str) -> str:
    return f'<text class="tick" x="{x:.2f}%" y="{y:.0f}" text-anchor="middle">{label}</text>'


def _column(column: int, columns: int) -> float:
    return LEFT + (RIGHT - LEFT) * (column / (columns - 1) if columns > 1 else 0.5)


def _x(point: Point, columns: int) -> float:
    return _column(point.column, columns) + (1.8 if point.kind == "test" else 0.0)


def _segment(a: Point, b: Point, *, columns: int) -> str:
    return (
        f'<line class="path {a.kind}" x1="{_x(a, columns):.2f}%" y1="{_y(a.value.value):.1f}" '
        f'x2="{_x(b, columns):.2f}%" y2="{_y(b.value.value):.1f}"/>'
    )


def _mark(point: Point, *, columns: int) -> str:
    x, y = _x(point, columns), _y(point.value.value)
    title = f"{100 * point.value.value:.1f} % ({100 * point.value.low:.1f} to {100 * point.value.high:.1f})"
    whisker = (
        f'<line class="whisker {point.kind}" x1="{x:.2f}%" x2="{x:.2f}%" '
        f'y1="{_y(point.value.low):.1f}" y2="{_y(point.value.high):.1f}"/>'
    )
    dot = f'<circle class="dot {point.kind}" cx="{x:.2f}%" cy="{y:.1f}" r="5"><title>{title}</title></circle>'
    side, anchor = (1, "start") if point.kind == "test" else (-1, "end")
    label = (
        f'<text class="value {point.kind}" x="{x:.2f}%" dx="{9 * side}" y="{y + 4:.1f}" '
        f'text-anchor="{anchor}">{100 * point.value.value:.0f}</text>'
    )
    return whisker + dot + label


def change_bar(before: float, after: float) -> str:
    """A skill before (hollow) and after (filled), both in fractions, on a track from 0 to 100 %."""
    kind = "up" if after > before else "down" if after < before else "same"
    a, b = 1.5 + 97 * before, 1.5 + 97 * after
    return (
        '<svg class="change" width="100%" height="16" aria-hidden="true">'
        '<line class="grid" x1="1.5%" x2="98.5%" y1="8" y2="8"/>'
        f'<line class="span {kind}" x1="{a:.2f}%" x2="{b:.2f}%" y1="8" y2="8"/>'
        f'<circle class="was" cx="{a:.2f}%" cy="8" r="4"/>'
        f'<circle class="is {kind}" cx="{b:.2f}%" cy="8" r="5"/></svg>'
    )


def gap_curve(gaps: Sequence[float | None], *, step: int, delta: float) -> str:
    """p(wrong) - p(gold) after 0..T steps; prefixes that were not probed are small ticks on the zero line.

    `step` is the 0-based wrong step (-1: none), whose prefix is `step + 1`; `delta` the threshold.
    """
    columns = max(1, len(gaps) - 1)

    def x(prefix: int) -> float:
        return 4 + 92 * prefix / columns

    def y(gap: float) -> float:
        return CURVE_TOP + (1 - gap) / 2 * (CURVE_BOTTOM - CURVE_TOP)

    parts = [f'<svg class="curve" width="100%" height="{CURVE_HEIGHT}" role="img" aria-label="gap curve">']
    parts += [_rule("grid", y(0)), _rule("chance", y(delta))]
    if step >= 0:
        at = f"{x(step + 1):.2f}%"
        parts.append(f'<line class="found" x1="{at}" x2="{at}" y1="0" y2="{CURVE_BOTTOM}"/>')
    known = [(prefix, gap) for prefix, gap in enumerate(gaps) if gap is not None]
    for (p, a), (q, b) in pairwise(known):
        parts.append(
            f'<line class="path gap" x1="{x(p):.2f}%" y1="{y(a):.1f}" x2="{x(q):.2f}%" y2="{y(b):.1f}"/>'
        )
    for prefix, gap in enumerate(gaps):
        if gap is None:
            parts.append(f'<circle class="unprobed" cx="{x(prefix):.2f}%" cy="{y(0):.1f}" r="1.5"/>')
        else:
            kind = "over" if gap >= delta - 1e-9 else "under"
            parts.append(f'<circle class="probe {kind}" cx="{x(prefix):.2f}%" cy="{y(gap):.1f}" r="4"/>')
        if columns <= 12 or prefix % 5 == 0:
            parts.append(_tick(x(prefix), CURVE_HEIGHT - 6, str(prefix)))
    return "".join([*parts, "</svg>"])
