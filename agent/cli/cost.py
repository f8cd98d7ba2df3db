"""`errata cost RUN`: what a run's endpoints were paid, by stage, iteration, role and model."""

from __future__ import annotations

import argparse
import json
from typing import Any

from errata.agent.run.cost import GROUP, SUMS, cost_of
from errata.agent.run.find import find_run


def run_cost(arguments: argparse.Namespace) -> int:
    """Print the sums; an unknown figure is a dash, and null in JSON."""
    cost = cost_of(find_run(arguments.runs_dir, arguments.run))
    if arguments.json:
        print(json.dumps(cost))
        return 0
    if not cost["rows"]:
        print("nothing was asked of an endpoint in this run; what its stages took: errata status")
        return 0
    from errata.agent.show.tables import fill_table, make_console, make_table

    columns = ["stage", ">iteration", "role", "model", *(f">{name.removeprefix('tokens_')}" for name in SUMS)]
    rows = [[show(row[name]) for name in (*GROUP, *SUMS)] for row in cost["rows"]]
    rows.append(["total", "", "", "", *(show(cost["total"][name]) for name in SUMS)])
    make_console().print(fill_table(make_table("Paid to endpoints (in, out and cached are tokens)", *columns), rows))
    for line in lines_below(cost):
        print(line)
    return 0


def lines_below(cost: dict[str, Any]) -> list[str]:
    """Lines below the table: inexact amounts, requests in flight, caps."""
    lost, held, caps = cost["lost"], cost["held"], cost["caps"]
    lines = []
    if cost["unpriced"]:
        lines.append(f"money is not known for {cost['unpriced']} sendings (no price, or no count of tokens)")
    if lost["calls"]:
        tokens = f"up to {lost['tokens']} tokens"
        lines.append(f"{lost['calls']} requests were in flight when a process was killed: {tokens}")
    limits = [f"{name} {held[name]:g} of {limit:g}" for name, limit in caps.items() if limit is not None]
    return [*lines, *([f"counted against the caps: {', '.join(limits)}"] if limits else [])]


def show(value: object) -> str:
    """A dash for what is not known."""
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
