"""Options of `errata export`."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_export(sub: argparse.ArgumentParser) -> None:
    """Which checkpoint, where to, in which form, and whether it is uploaded."""
    text = "id of a checkpoint (default: the best that was accepted)"
    sub.add_argument("--checkpoint", metavar="ID", help=text)
    sub.add_argument("--out", type=Path, metavar="FOLDER", help="a new folder (default: RUN/export/ID)")
    sub.add_argument("--merged", action="store_true", help="also the base's weights with the adapter added into them")
    sub.add_argument("--base", metavar="OWNER/NAME", help="the base's name on the hub, where its folder does not tell")
    sub.add_argument("--push", metavar="OWNER/NAME", help="upload to this repository of the Hugging Face hub")
    sub.add_argument("--public", action="store_true", help="with --push: a new repository is public, not private")
