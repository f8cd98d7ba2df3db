"""Options of `errata index`. Only argparse is imported here, so that `errata --help` is there at once."""

from __future__ import annotations

import argparse
from pathlib import Path

from errata.agent.cli.options.data import KNOWN, add_reading_options, share

EMBEDDINGS = ("none", "hashing", "encoder", "endpoint", "chroma")
ROWS = "Rows that have a column of skills are taken as they are; all others are read as questions."


def add_index(parser: argparse.ArgumentParser) -> None:
    """The four commands and their options."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name, text in (
        ("build", "index a file of samples; replaces what is there"),
        ("add", "add a file of samples to an index"),
        ("search", "find samples for a skill, and say why"),
        ("stats", "what an index holds"),
    ):
        sub = actions.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        sub.add_argument("folder", type=Path, metavar="FOLDER", help="where the index lies")
        sub.add_argument("--json", action="store_true", help="one JSON object on stdout")
        if name in ("build", "add"):
            sub.add_argument("source", type=Path, metavar="FILE", help="rows with an id and skills, or questions")
            sub.add_argument("--max-bad-share", type=share, default=0.02, metavar="X", help="default: 0.02")
            known = "id" if name == "build" else "as in the index"
            sub.add_argument("--id", metavar="FIELD", help=f"column of the sample's id (default: {known})")
            known = "skills" if name == "build" else "as in the index"
            sub.add_argument("--skills", metavar="FIELD", help=f"column of its skills (default: {known})")
            add_reading_options(sub)
            sub.description = f"{sub.description} {ROWS} {KNOWN}"
        if name == "build":
            _add_build(sub)
        if name == "search":
            _add_search(sub)


def _add_build(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--keep", action="append", default=[], metavar="FIELD", help="metadata to filter by; repeatable")
    sub.add_argument("--embedding", choices=EMBEDDINGS, default="none", help="for dense search (default: none)")
    sub.add_argument("--model", metavar="NAME", help="folder of the encoder, or the endpoint's model")
    sub.add_argument("--url", metavar="URL", help="the endpoint, e.g. http://127.0.0.1:8000/v1")
    sub.add_argument("--key-env", metavar="NAME", help="environment variable that holds the endpoint's key")
    sub.add_argument("--chroma", metavar="URL", help="a Chroma server instead of a folder")


def _add_search(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("query", metavar="SKILL", help="what is looked for, in words")
    sub.add_argument("-k", type=_positive, default=10, metavar="N", help="samples (default: 10)")
    sub.add_argument("--mode", choices=("bm25", "dense", "hybrid"), default="bm25", help="default: bm25")
    sub.add_argument("--where", action="append", default=[], metavar="FIELD=VALUE", help="filter; repeatable")


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return value
