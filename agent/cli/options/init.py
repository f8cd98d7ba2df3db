"""Options of `errata init`."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_init(sub: argparse.ArgumentParser) -> None:
    """Add model, data, pool and teacher; each is optional and is asked for at a terminal."""
    sub.add_argument("--model", type=Path, metavar="FOLDER", help="the student: a vision-language model")
    sub.add_argument("--data", type=Path, metavar="FILE", help="labelled questions, some hundreds, in any format")
    sub.add_argument("--pool", type=Path, metavar="FILE", help="training samples to choose from, in any format")
    sub.add_argument("--teacher", metavar="URL", help="an OpenAI-compatible endpoint, e.g. http://127.0.0.1:8000/v1")
    sub.add_argument("--teacher-model", metavar="NAME", help="its model (default: the first that the endpoint lists)")
    sub.add_argument("--out", type=Path, metavar="FILE", help="default: errata.yaml in this folder")
    sub.add_argument("--force", action="store_true", help="write over a file that is there")
