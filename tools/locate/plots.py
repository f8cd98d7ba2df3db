"""Pictures of a calibration as plain SVG: the grid of delta and lambda, and the gap around the labelled step."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from statistics import mean, quantiles

from errata.tools.locate.calibrate import Cell
from errata.tools.locate.curves import Gap

CELL_W, CELL_H = 34, 22
LEFT, TOP = 64, 54
WIDTH, HEIGHT = 640, 320
REACH = 8
"""Prefixes shown on either side of the labelled step."""


def heat_map(cells: Sequence[Cell], *, title: str) -> str:
    """Accuracy in percent by delta (rows) and lambda (columns); the best cells are framed."""
    deltas = sorted({c.delta for c in cells})
    windows = sorted({c.window for c in cells})
    low, high = min(c.accuracy for c in cells), max(c.accuracy for c in cells)
    parts = [_text(LEFT, 20, title, size=14), _text(LEFT, TOP - 22, "lambda (prefixes after the switch)", size=11)]
    parts += [_text(LEFT + (i + 0.5) * CELL_W, TOP - 6, str(w), middle=True) for i, w in enumerate(windows)]
    parts += [_text(8, TOP + (i + 0.7) * CELL_H, f"delta {d:.1f}") for i, d in enumerate(deltas)]
    for cell in cells:
        x, y = LEFT + windows.index(cell.window) * CELL_W, TOP + deltas.index(cell.delta) * CELL_H
        share = (cell.accuracy - low) / (high - low) if high > low else 1.0
        frame = ' stroke="#111" stroke-width="2"' if cell.accuracy == high else ""
        fill = f"hsl(210,60%,{94 - 50 * share:.0f}%)"
        parts.append(
            f'<rect x="{x}" y="{y}" width="{CELL_W - 2}" height="{CELL_H - 2}" fill="{fill}"{frame}>'
            f"<title>delta {cell.delta:.1f}, lambda {cell.window}: {cell.accuracy:.3f}</title></rect>"
        )
        colour = "#fff" if share > 0.6 else "#222"
        text = f"{100 * cell.accuracy:.0f}"
        parts.append(_text(x + CELL_W / 2 - 1, y + CELL_H * 0.66, text, middle=True, colour=colour))
    return _frame(parts, width=LEFT + len(windows) * CELL_W + 10, height=TOP + len(deltas) * CELL_H + 10)


def gap_plot(curves: Sequence[Sequence[Gap]], *, gold: Sequence[int], delta: float, title: str) -> str:
    """Mean gap and its quartiles by place relative to the labelled step (0: just before that step is read)."""
    columns: dict[int, list[float]] = {}
    for curve, step in zip(curves, gold, strict=True):
        for prefix, gap in enumerate(curve):
            if step >= 0 and gap is not None and abs(prefix - step) <= REACH:
                columns.setdefault(prefix - step, []).append(gap)
    places = sorted(columns)
    parts = [_text(LEFT, 20, title, size=14), _line(-REACH, delta, REACH, delta, dash=True)]
    parts += [_line(-REACH, 0, REACH, 0), _text(8, _y(delta) + 4, f"delta {delta:.1f}")]
    parts += [_text(_x(p), HEIGHT - 8, f"{p:+d}", middle=True) for p in range(-REACH, REACH + 1)]
    parts += [_text(20, _y(v) + 4, f"{v:+.1f}") for v in (-1.0, 1.0)]
    points = []
    for place in places:
        first, _, third = quantiles(columns[place] * 2, n=4, method="inclusive")
        parts.append(_line(place, first, place, third))
        centre = mean(columns[place])
        points.append(f"{_x(place):.1f},{_y(centre):.1f}")
        parts.append(
            f'<circle cx="{_x(place):.1f}" cy="{_y(centre):.1f}" r="4" fill="#2a6fb0">'
            f"<title>{place:+d}: mean {centre:.3f} of {len(columns[place])}</title></circle>"
        )
    parts.append(f'<polyline points="{" ".join(points)}" fill="none" stroke="#2a6fb0" stroke-width="2"/>')
    return _frame(parts, width=WIDTH, height=HEIGHT)


def _x(place: float) -> float:
    return LEFT + (place + REACH) * (WIDTH - LEFT - 24) / (2 * REACH)


def _y(gap: float) -> float:
    return 40 + (1 - gap) * (HEIGHT - 80) / 2


def _line(x1: float, y1: float, x2: float, y2: float, *, dash: bool = False) -> str:
    style = ' stroke-dasharray="4 3"' if dash else ""
    return (
        f'<line x1="{_x(x1):.1f}" y1="{_y(y1):.1f}" x2="{_x(x2):.1f}" y2="{_y(y2):.1f}" '
        f'stroke="#999" stroke-width="1.5"{style}/>'
    )


def _text(x: float, y: float, text: str, *, size: int = 10, middle: bool = False, colour: str = "#222") -> str:
    anchor = ' text-anchor="middle"' if middle else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{colour}"{anchor}>{escape(text)}</text>'


def _frame(parts: Sequence[str], *, width: int, height: int) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="sans-serif">'
    )
    return "\n".join([head, f'<rect width="{width}" height="{height}" fill="#fff"/>', *parts, "</svg>", ""])
