"""Options of `errata demo` and `errata run`."""

from __future__ import annotations

import argparse
from pathlib import Path

CONTROLS = ("random", "uniform", "insta", "superfiltering", "full", "validation-only")


def add_start(sub: argparse.ArgumentParser, *, config: bool) -> None:
    """Add the settings file (if `config`), overrides, and the named options."""
    if config:
        sub.add_argument(
            "config", type=Path, nargs="?", metavar="CONFIG", help="a YAML file (default: errata.yaml in this folder)"
        )
    sub.add_argument(
        "overrides", nargs="*", metavar="key=value", help="changes to the settings, e.g. budget.iterations=2"
    )
    sub.add_argument("--seed", type=int, metavar="N", help="the same as run.seed=N")
    sub.add_argument("--name", metavar="NAME", help="the same as run.name=NAME")
    sub.add_argument(
        "--control", choices=CONTROLS, metavar="METHOD", help=f"spend the same budget by: {', '.join(CONTROLS)}"
    )
    sub.add_argument("--dry-run", action="store_true", help="check the settings, print them and the plan, and stop")
