"""The entry of the command line: find the command, run it, and turn its errors into exit codes.

Exit codes: 0 done, 1 a check of `doctor` failed, 2 something that a person has to mend (one line on stderr),
130 stopped by Ctrl-C with everything saved.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from errata.agent.cli.options.parser import build_parser, print_error

COMMANDS = {
    "demo": "errata.agent.cli.run:start_run",
    "run": "errata.agent.cli.run:start_run",
    "init": "errata.agent.cli.init:run_init",
    "resume": "errata.agent.cli.run:resume_run",
    "runs": "errata.agent.cli.read:list_all",
    "status": "errata.agent.cli.read:show_status",
    "show": "errata.agent.cli.read:show_records",
    "compare": "errata.agent.cli.read:compare_runs",
    "cost": "errata.agent.cli.cost:run_cost",
    "train": "errata.agent.cli.train:run_train",
    "export": "errata.agent.cli.export:run_export",
    "eval": "errata.agent.cli.evaluate:run_eval",
    "index": "errata.agent.cli.index:run_index",
    "data": "errata.agent.cli.data:run_data",
    "matrices": "errata.agent.cli.matrices:run_matrices",
    "locate": "errata.agent.cli.locate:run_calibrate",
    "doctor": "errata.agent.cli.doctor.machine:run_doctor",
}
"""Module and function of each command; a module is imported when its command is typed."""


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
    from errata.tools.errors import OperatorError

    as_json = bool(getattr(parsed, "json", False))
    try:
        check_names(parsed)
        return _run(parsed)
    except OperatorError as error:
        value = None if error.value is None else str(error.value)
        print_error(error.what, line=str(error), where=error.where, value=value, remedy=error.remedy, as_json=as_json)
        return 2
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    except KeyboardInterrupt:
        print_error("interrupted", code=130, as_json=as_json)
        return 130


def check_names(parsed: argparse.Namespace) -> None:
    """Raise OperatorError for a file name that this locale cannot read: no record could hold it."""
    named = [str(value) for value in vars(parsed).values() if isinstance(value, str | Path)]
    for name in (*named, os.getcwd()):
        try:
            name.encode("utf-8")
        except UnicodeEncodeError:
            from errata.tools.errors import OperatorError

            remedy = "set PYTHONUTF8=1, or a locale of UTF-8 such as LC_ALL=C.UTF-8"
            shown = name.encode("utf-8", "backslashreplace").decode("utf-8")
            what = "the name cannot be read in this locale"
            raise OperatorError(what, where="command line", value=shown, remedy=remedy) from None


def _run(parsed: argparse.Namespace) -> int:
    module, function = COMMANDS[parsed.command].split(":")
    code: int = getattr(importlib.import_module(module), function)(parsed)
    return code
