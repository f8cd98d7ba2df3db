"""Options of `errata data`, and those by which `eval` and `index` read rows too.

Only argparse is imported here, so that `errata --help` is there at once.
"""

from __future__ import annotations

import argparse
from pathlib import Path

FORMATS = "errata, llava, sharegpt, messages, scienceqa_json, mmbench, table, huggingface, lessons"
KNOWN = f"Formats: {FORMATS}. Without --format it is found out from the first row."


def add_data_commands(parser: argparse.ArgumentParser) -> None:
    """`check`, `convert` and `stats` under `errata data`."""
    commands = parser.add_subparsers(dest="action", metavar="ACTION", required=True)

    def action(name: str, text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}. {KNOWN}")
        sub.add_argument("path", type=Path, metavar="PATH", help="file, folder, or name of a dataset on the hub")
        sub.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="machine-readable output")
        add_reading_options(sub)
        return sub

    check = action("check", "a verdict for every row; exit code 2 when one has an error")
    check.add_argument("--limit", type=int, default=20, metavar="N", help="errors to print in full (default: 20)")
    convert = action("convert", "write the data in another format, pictures beside it")
    convert.add_argument("out", type=Path, metavar="OUT", help="file to write, e.g. out/train.json")
    convert.add_argument(
        "--to",
        required=True,
        choices=("llava", "sharegpt", "messages", "errata"),
        help="format to write",
    )
    convert.add_argument(
        "--max-bad-share", type=share, default=0.0, metavar="X", help="bad rows to leave out (default: 0, none)"
    )
    convert.add_argument("--force", action="store_true", help="write over a file that is there")
    stats = action("stats", "skills, sources, sizes of pictures, lengths of texts")
    stats.add_argument("--tokenizer", type=Path, metavar="FOLDER", help="count in tokens of this model, not in words")
    stats.add_argument("--sheet", type=Path, metavar="FILE", help="draw a sheet of pictures as PNG")


def share(text: str) -> float:
    """A part of the rows, 0 to 1."""
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return value


def add_reading_options(sub: argparse.ArgumentParser) -> None:
    """How the rows of a source are read: the same for every command that reads questions."""
    sub.add_argument("--format", metavar="NAME", help="how the rows lie there (default: found out)")
    sub.add_argument("--images", type=Path, metavar="FOLDER", help="where paths of pictures start")
    sub.add_argument(
        "--field",
        action="append",
        default=[],
        metavar="FIELD=COLUMN",
        help="which column is which; several columns with commas, e.g. choices=A,B,C,D",
    )
    sub.add_argument(
        "--leave-out",
        action="append",
        default=[],
        metavar="COLUMN[=VALUE]",
        help="rows to leave out: where the column says something, or has this value",
    )
    sub.add_argument("--part", metavar="NAME", help="part of the dataset, e.g. validation")
    sub.add_argument("--subset", metavar="NAME", help="configuration of a dataset of the hub")
    sub.add_argument("--first-index", type=int, choices=(0, 1), default=0, help="numeric answers count from this")
