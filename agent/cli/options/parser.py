"""All commands and their options. Only argparse is imported, so that `errata --help` is there at once."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import NoReturn

from errata import __version__
from errata.agent.cli.options.data import add_data_commands
from errata.agent.cli.options.evaluate import add_eval
from errata.agent.cli.options.export import add_export
from errata.agent.cli.options.index import add_index
from errata.agent.cli.options.init import add_init
from errata.agent.cli.options.locate import add_locate
from errata.agent.cli.options.matrices import add_matrices
from errata.agent.cli.options.run import add_start
from errata.agent.cli.options.train import add_train
from errata.agent.cli.options.values import positive
from errata.agent.settings.places import find_runs

SHOW_WHAT = "summary, errors, skills, lessons, decisions, or the id of any record (a beginning is enough)"


class Parser(argparse.ArgumentParser):
    """Reports a wrong command line in one line, or as JSON where --json is on it."""

    def error(self, message: str) -> NoReturn:
        remedy = f"see: {self.prog} --help"
        line = f"{message}; {remedy}"
        print_error(message, line=line, where="command line", remedy=remedy, as_json="--json" in sys.argv)
        sys.exit(2)


def print_error(
    what: str,
    *,
    as_json: bool,
    line: str = "",
    where: str = "",
    value: str | None = None,
    remedy: str = "",
    code: int = 2,
) -> None:
    """One line on stderr that begins with `errata: `, or one JSON object with the same parts."""
    if as_json:
        error = {"error": what, "where": where, "value": value, "remedy": remedy, "exit_code": code}
        print(json.dumps(error), file=sys.stderr)
    else:
        print(f"errata: {line or what}", file=sys.stderr)


def build_parser() -> Parser:
    """All commands and their options."""
    parser = Parser(prog="errata", description="A vision-language model gets better from its own mistakes.")
    parser.add_argument("--version", action="version", version=f"errata {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def command(name: str, text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        sub.add_argument("--json", action="store_true", help="machine-readable output on stdout, events on stderr")
        return sub

    def run_of(sub: argparse.ArgumentParser, *names: str) -> None:
        for name in names:
            sub.add_argument(name, metavar="RUN", help="name of a run, its folder, or `last`")

    add_start(command("demo", "the whole loop in the embedded world, on this machine"), config=False)
    add_start(command("run", "a run from a settings file"), config=True)
    add_init(command("init", "look at your model, data, pool and endpoint, and write errata.yaml"))
    run_of(command("resume", "go on where a run stopped; nothing is done or paid twice"), "run")
    command("runs", "list all runs")
    run_of(command("status", "where a run stands"), "run")
    show = command("show", "what a run found, and where any record came from")
    run_of(show, "run")
    show.add_argument("what", nargs="?", default="errors", metavar="WHAT", help=SHOW_WHAT)
    show.add_argument("--limit", type=positive, metavar="N", help="rows to print (all with --json; else 40)")
    run_of(command("compare", "paired difference of two runs on the same questions"), "before", "after")
    run_of(command("cost", "what a run paid to endpoints, by stage, iteration, role and model"), "run")
    add_train(command("train", "one training by itself: samples, a base, a recipe"))
    export = command("export", "write a checkpoint with its model card, for transformers, PEFT, and the hub")
    run_of(export, "run")
    add_export(export)
    add_eval(command("eval", "evaluate a student on a file of questions"))
    add_index(command("index", "an index of samples by the skills that they need: build, add, search, stats"))
    add_matrices(command("matrices", "abstract-reasoning matrices: make them, or import an I-RAVEN pack"))
    add_locate(command("locate", "where rationales went wrong, and how the method is set"))
    add_data_commands(command("data", "check, convert and describe data of your own"))
    doctor = command("doctor", "what this machine has, and whether the settings files are sound")
    doctor.add_argument("--teacher", type=Path, metavar="CONFIG", help="instead, what its endpoint can do")
    doctor.add_argument("--student", type=Path, metavar="FOLDER", help="instead, a model: its parts, speed and memory")
    doctor.add_argument("--prompt", default="student_cot", metavar="NAME", help="with --student: file in prompts/")
    doctor.add_argument("--image-first", action="store_true", help="with --student: pictures before the question")
    for name, sub in commands.choices.items():
        if name not in ("eval", "train", "doctor", "data", "index", "init", "locate", "matrices"):
            sub.add_argument(
                "--runs-dir",
                type=Path,
                default=find_runs(),
                metavar="FOLDER",
                help="where runs lie (default: ERRATA_RUNS, or runs/ of the clone or of the current folder)",
            )
    return parser
