"""The graph's picture in the documents is the graph that runs."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

from errata.agent.loop.graph import build_graph
from errata.agent.loop.graph_picture import Arrow, draw_arrows, draw_graph

PICTURE = Path(__file__).resolve().parents[3] / "docs" / "graph.svg"


def test_the_picture_in_the_documents_is_current() -> None:
    remedy = "write it anew: python -m agent.loop.graph_picture docs/graph.svg"
    assert PICTURE.read_text(encoding="utf-8") == draw_graph(), remedy


def test_every_node_and_edge_is_drawn() -> None:
    graph = build_graph(None).get_graph()  # type: ignore[arg-type]
    root = ET.fromstring(draw_graph())
    texts = [node.text for node in root.iter("{http://www.w3.org/2000/svg}text")]
    assert texts == [{"__start__": "start", "__end__": "end"}.get(name, name) for name in graph.nodes]
    assert draw_graph().count("marker-end") == len(graph.edges)


def test_edges_over_the_same_stretch_keep_apart() -> None:
    arrows = [Arrow(0, 2, False), Arrow(1, 3, True), Arrow(3, 0, False)]
    drawn = draw_arrows(["a", "b", "c", "d"], arrows)
    heights = {height for height in re.findall(r"V(-?\d+) H", drawn)}
    assert len(heights) == 3
    assert drawn.count("stroke-dasharray") == 1
