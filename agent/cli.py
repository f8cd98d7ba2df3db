"""The command line. Only argparse is imported here (and by `data_arguments`), so that `errata --help` is there at once.

Exit codes: 0 done, 1 a check of `doctor` failed, 2 something that a person has to mend (one line on stderr),
130 stopped by Ctrl-C with everything saved.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from agent.data_arguments import KNOWN, add_data_commands, add_reading_options
from agent.index_arguments import add_index
from agent.matrices_arguments import add_matrices

HOUSE = Path(__file__).resolve().parent.parent
RUNS = HOUSE / "runs"
CONTROLS = ("random", "uniform", "insta", "superfiltering", "full", "validation-only")
SHOW_WHAT = "errors, skills, lessons, decisions, or the id of any record (a beginning is enough)"


class Parser(argparse.ArgumentParser):
    """Complains in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"errata: {message}; see: {self.prog} --help\n")


def build_parser() -> Parser:
    """All commands and their options."""
    parser = Parser(prog="errata", description="A vision-language model gets better from its own mistakes.")
    parser.add_argument("--version", action="version", version="errata 0.1.0")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def command(name: str, text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        sub.add_argument(
            "--json", action="store_true", help="machine-readable output on stdout, events on stderr"
        )
        return sub

    def run_of(sub: argparse.ArgumentParser, *names: str) -> None:
        for name in names:
            sub.add_argument(name, metavar="RUN", help="name of a run, its folder, or `last`")

    _add_start(command("demo", "the whole loop in the embedded world, on this machine"), config=False)
    _add_start(command("run", "a run from a settings file"), config=True)
    run_of(command("resume", "go on where a run stopped; nothing is done or paid twice"), "run")
    command("runs", "list all runs")
    run_of(command("status", "where a run stands"), "run")
    show = command("show", "what a run found, and where any record came from")
    run_of(show, "run")
    show.add_argument("what", nargs="?", default="errors", metavar="WHAT", help=SHOW_WHAT)
    show.add_argument("--limit", type=_positive, metavar="N", help="rows to print (all with --json; else 40)")
    run_of(command("compare", "paired difference of two runs on the same questions"), "before", "after")
    run_of(command("cost", "what a run paid to endpoints, by stage, iteration, role and model"), "run")
    _add_eval(command("eval", "evaluate a student on a file of questions"))
    add_index(command("index", "an index of samples by the skills that they need: build, add, search, stats"))
    add_matrices(command("matrices", "abstract-reasoning matrices: make them, or import an I-RAVEN pack"))
    _add_locate(command("locate", "where rationales went wrong, and how the method is set"))
    add_data_commands(command("data", "check, convert and describe data of your own"))
    doctor = command("doctor", "what this machine has, and whether the settings files are sound")
    doctor.add_argument("--teacher", type=Path, metavar="CONFIG", help="instead, what its endpoint can do")
    for name, sub in commands.choices.items():
        if name not in ("eval", "doctor", "data", "index", "locate", "matrices"):
            sub.add_argument(
                "--runs-dir",
                type=Path,
                default=RUNS,
                metavar="FOLDER",
                help="where runs lie (default: runs/ of the repository)",
            )
    return parser


def _add_start(sub: argparse.ArgumentParser, *, config: bool) -> None:
    if config:
        sub.add_argument(
            "config", type=Path, metavar="CONFIG", help="a YAML file, e.g. runs/configs/demo.yaml"
        )
    sub.add_argument(
        "overrides", nargs="*", metavar="key=value", help="changes to the settings, e.g. budget.iterations=2"
    )
    sub.add_argument("--seed", type=int, metavar="N", help="the same as run.seed=N")
    sub.add_argument("--name", metavar="NAME", help="the same as run.name=NAME")
    sub.add_argument(
        "--control", choices=CONTROLS, metavar="METHOD", help=f"spend the same budget by: {', '.join(CONTROLS)}"
    )
    sub.add_argument(
        "--dry-run", action="store_true", help="check the settings, print them and the plan, and stop"
    )


def _add_eval(sub: argparse.ArgumentParser) -> None:
    sub.add_argument(
        "questions", type=Path, metavar="FILE", help="questions in any format (docs/data.md), or a folder of splits"
    )
    sub.add_argument("--model", type=Path, required=True, metavar="FOLDER", help="model with its processor")
    sub.add_argument(
        "--adapter", type=Path, metavar="FOLDER", help="LoRA adapter, e.g. runs/NAME/checkpoints/ID"
    )
    sub.description = f"{sub.description} {KNOWN}"
    add_reading_options(sub)
    sub.add_argument(
        "--split",
        default="test",
        choices=("pool", "diagnosis", "gate", "test"),
        help="part of a dataset folder (default: test)",
    )
    sub.add_argument(
        "--prompt", default="student_cot", metavar="NAME", help="file in prompts/ (default: student_cot)"
    )
    sub.add_argument("--image-first", action="store_true", help="pictures before the text of the question")
    sub.add_argument("--limit", type=_positive, metavar="N", help="only the first N questions")
    sub.add_argument("--workers", type=_positive, default=1, metavar="N", help="processes (default: 1)")
    sub.add_argument(
        "--batch", type=_positive, default=64, metavar="N", help="questions per batch (default: 64)"
    )
    sub.add_argument(
        "--max-new-tokens", type=_positive, default=256, metavar="N", help="longest answer (default: 256)"
    )
    sub.add_argument(
        "--out", type=Path, metavar="FILE", help="write every answer as JSONL; a second call goes on from it"
    )


def _add_locate(sub: argparse.ArgumentParser) -> None:
    actions = sub.add_subparsers(dest="action", metavar="ACTION", required=True)
    text = "delta and lambda on annotated errors"
    calibrate = actions.add_parser("calibrate", help=text, description=text[0].upper() + text[1:] + ".")
    calibrate.add_argument("labels", type=Path, metavar="LABELS", help="JSONL of labelled errors (docs/locate.md)")
    calibrate.add_argument(
        "--config",
        type=Path,
        default=RUNS / "configs" / "demo.yaml",
        metavar="CONFIG",
        help="settings file whose teacher is asked for labels without gaps (default: the demo's)",
    )
    calibrate.add_argument(
        "overrides", nargs="*", metavar="key=value", help="changes to the settings, e.g. teacher.kind=local"
    )
    calibrate.add_argument("--folds", type=_positive, default=5, metavar="N", help="of the split (default: 5)")
    calibrate.add_argument("--strict", action="store_true", help="whole windows only")
    calibrate.add_argument("--out", type=Path, metavar="FOLDER", help="default: LABELS.calibration")
    calibrate.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="result on stdout as JSON")


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return value


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Options and key=value pairs may come in any order."""
    parser = build_parser()
    parsed, rest = parser.parse_known_args(arguments)
    if rest:
        if not hasattr(parsed, "overrides") or any(word.startswith("-") for word in rest):
            known = next(word for word in rest if word.startswith("-") or not hasattr(parsed, "overrides"))
            parser.error(f"{parsed.command}: unknown argument {known!r}")
        parsed.overrides += rest
    return parsed


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry of the console script; returns the exit code."""
    parsed = parse_arguments(sys.argv[1:] if arguments is None else arguments)
    from tools.errors import OperatorError

    try:
        return _run(parsed)
    except OperatorError as error:
        print(f"errata: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    except KeyboardInterrupt:
        print("errata: interrupted", file=sys.stderr)
        return 130


def _run(parsed: argparse.Namespace) -> int:
    if parsed.command in ("demo", "run", "resume"):
        from agent.starting import resume_run, start_run

        return resume_run(parsed) if parsed.command == "resume" else start_run(parsed)
    if parsed.command == "doctor":
        from agent.doctor import run_doctor

        return run_doctor(parsed)
    if parsed.command == "data":
        from agent.data_commands import run_data

        return run_data(parsed)
    if parsed.command == "index":
        from agent.index_commands import run_index

        return run_index(parsed)
    if parsed.command == "matrices":
        from agent.matrices_commands import run_matrices

        return run_matrices(parsed)
    if parsed.command == "eval":
        from agent.evaluation import run_eval

        return run_eval(parsed)
    if parsed.command == "cost":
        from agent.cost import run_cost

        return run_cost(parsed)
    if parsed.command == "locate":
        from agent.locate_commands import run_calibrate

        return run_calibrate(parsed)
    from agent import reading

    commands = {
        "runs": reading.list_all,
        "status": reading.show_status,
        "show": reading.show_records,
        "compare": reading.compare_runs,
    }
    return commands[parsed.command](parsed)
