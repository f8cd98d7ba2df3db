"""The graph as a picture, made from the compiled graph: `python -m agent.loop.graph_picture FILE` writes it as SVG.

Nodes stand in a row in the order in which they were added. Edges to the right pass above, edges to the left below;
an edge that is taken only under a condition is dashed.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple, cast

from errata.agent.loop import nodes
from errata.agent.loop.graph import build_graph
from errata.agent.run.context import Context

STEP, BOX, HEIGHT, EDGE, LANE = 112, 92, 34, 12, 24
"""Pixels between nodes, width and height of a node, room at the border, and between edges that run side by side."""
ENDS = {"__start__": "start", "__end__": "end"}


class Arrow(NamedTuple):
    """An edge by the places of its nodes in the row."""

    start: int
    end: int
    conditional: bool

    @property
    def low(self) -> int:
        return min(self.start, self.end)

    @property
    def high(self) -> int:
        return max(self.start, self.end)


def draw_graph() -> str:
    """The SVG of the loop's graph."""
    context = cast(Context, None)  # only drawn: no node is called
    graph = build_graph(context).get_graph()
    names = list(graph.nodes)
    arrows = [Arrow(names.index(e.source), names.index(e.target), e.conditional) for e in graph.edges]
    return draw_arrows(names, arrows)


def draw_arrows(names: Sequence[str], arrows: Sequence[Arrow]) -> str:
    """SVG of nodes in a row, and of the edges between them."""
    above = _lanes([a for a in arrows if a.end > a.start + 1])
    below = _lanes([a for a in arrows if a.end < a.start])
    middle = EDGE + LANE * (max(above.values(), default=0) + 1) + HEIGHT // 2
    height = middle + HEIGHT // 2 + LANE * (max(below.values(), default=0) + 1) + EDGE
    width = STEP * (len(names) - 1) + BOX + 2 * EDGE
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
        ' font-family="sans-serif" font-size="13">',
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0,0 L8,4 L0,8 z" fill="#555"/></marker></defs>',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
    ]
    parts += [_draw_arrow(a, above.get(a), below.get(a), middle) for a in sorted(arrows)]
    parts += [_draw_node(name, place, middle) for place, name in enumerate(names)]
    return "\n".join([*parts, "</svg>", ""])


def _lanes(arrows: Sequence[Arrow]) -> dict[Arrow, int]:
    """A lane for each, from 1, so that two which share a stretch of the row never share a lane; short ones inside."""
    lanes: dict[Arrow, int] = {}
    for arrow in sorted(arrows, key=lambda a: (a.high - a.low, a)):
        taken = {lane for other, lane in lanes.items() if other.low < arrow.high and arrow.low < other.high}
        lanes[arrow] = next(lane for lane in range(1, len(arrows) + 1) if lane not in taken)
    return lanes


def _draw_arrow(arrow: Arrow, above: int | None, below: int | None, middle: int) -> str:
    dashed = ' stroke-dasharray="5 4"' if arrow.conditional else ""
    style = f'fill="none" stroke="#555" stroke-width="1.4" marker-end="url(#tip)"{dashed}'
    if above is None and below is None:
        left = EDGE + BOX + STEP * arrow.start
        return f'<path d="M{left},{middle} H{left + STEP - BOX}" {style}/>'
    side = -1 if above is not None else 1
    start, end = (EDGE + BOX // 2 + STEP * place for place in (arrow.start, arrow.end))
    shift = 14 if above is not None else -14
    edge = middle + side * HEIGHT // 2
    lane = edge + side * LANE * (above or below or 1)
    return f'<path d="M{start + shift},{edge} V{lane} H{end - shift} V{edge}" {style}/>'


def _draw_node(name: str, place: int, middle: int) -> str:
    left, top = EDGE + STEP * place, middle - HEIGHT // 2
    fill, round_ = ("#eee", HEIGHT // 2) if name in ENDS else ("#dfe9f5", 5)
    step = getattr(nodes, name, None)
    says = " ".join((step.__doc__ or "").split()) if step else ""
    title = f"<title>{escape(says)}</title>" if says else ""
    return (
        f'<g>{title}<rect x="{left}" y="{top}" width="{BOX}" height="{HEIGHT}" rx="{round_}" fill="{fill}"'
        f' stroke="#456"/><text x="{left + BOX // 2}" y="{middle + 5}" text-anchor="middle">'
        f"{escape(ENDS.get(name, name))}</text></g>"
    )


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(draw_graph(), encoding="utf-8")
