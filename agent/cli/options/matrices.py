"""Options of `errata matrices`. Only argparse is imported here, so that `errata --help` is there at once."""

from __future__ import annotations

import argparse
from pathlib import Path

CONFIGURATIONS = ("centre", "grid2", "grid3", "left-right", "up-down", "out-in", "out-in-grid")


def add_matrices(parser: argparse.ArgumentParser) -> None:
    """`make` and `import`."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    text = "make matrices with pictures, proofs, rationales and questions about what is seen (docs/matrices.md)"
    make = actions.add_parser("make", help=text, description=f"{text[0].upper()}{text[1:]}.")
    make.add_argument("--number", "--n", type=int, required=True, metavar="N", help="matrices")
    make.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="a folder that is not there yet")
    make.add_argument("--seed", type=int, default=0, metavar="S", help="default: 0")
    make.add_argument(
        "--configuration",
        action="append",
        dest="configurations",
        metavar="NAME",
        help=f"repeatable; default: all of {', '.join(CONFIGURATIONS)}",
    )
    make.add_argument("--pixels", "--size", type=int, default=512, metavar="PX", help="width (default: 512)")
    make.add_argument("--workers", type=int, default=1, metavar="N", help="processes (default: 1); same bytes")
    make.add_argument("--split", default="pool", choices=("pool", "diagnosis", "gate", "test"), help="default: pool")
    _add_difficulty(make)
    _add_questions(make)
    text = "read an I-RAVEN pack of JSON lines with rule labels into rows of Errata"
    read = actions.add_parser("import", help=text, description=f"{text[0].upper()}{text[1:]}.")
    read.add_argument("file", type=Path, metavar="FILE", help="e.g. iraven.jsonl; pictures lie where its rows say")
    read.add_argument("--out", type=Path, required=True, metavar="FILE", help="rows to write, ending in .jsonl")
    for sub in (make, read):
        sub.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="one JSON object on stdout")


def _add_difficulty(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--columns", type=int, default=3, metavar="N", help="panels in a row, 3 to 10 (default: 3)")
    sub.add_argument(
        "--levels", type=int, default=0, metavar="N", help="number of sizes and of colours (default: RAVEN's 6 and 10)"
    )
    sub.add_argument(
        "--noise", type=float, default=0.25, metavar="X", help="share of grids with an attribute without a rule"
    )
    sub.add_argument(
        "--confounders", type=int, default=1, metavar="N", help="0 to 4 of turn, outline, shift, ground (default: 1)"
    )
    sub.add_argument(
        "--uncertainty", type=float, default=0.0, metavar="X", help="0 to 0.8: how far values are blurred (default: 0)"
    )
    sub.add_argument(
        "--candidates",
        choices=("bisection", "raven"),
        default="bisection",
        help="raven gives the answer away: for contrast only",
    )


def _add_questions(sub: argparse.ArgumentParser) -> None:
    sub.add_argument(
        "--kind", choices=("picture", "symbols"), default="picture", help="symbols: values in the question, no picture"
    )
    sub.add_argument(
        "--prefix", choices=("regular", "irregular", "none"), default="regular", help="first words of the rationale"
    )
    sub.add_argument(
        "--order", choices=("shuffled", "grid"), default="shuffled", help="of fine questions; grid is a trap"
    )
    for name, count, text in (
        ("coarse", 3, "questions about the whole picture"),
        ("fine", 5, "questions about single panels"),
        ("rules", 1, "questions about the rule of one attribute"),
    ):
        help_text = f"{text}, a matrix (default: {count})"
        sub.add_argument(f"--{name}", type=int, metavar="N", help=help_text)
