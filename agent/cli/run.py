"""`errata demo`, `errata run` and `errata resume`: from a settings file to the table at the end."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

from errata.agent.run.find import find_run, make_run
from errata.agent.run.folder import RunFolder
from errata.agent.run.outcome import cost_by_stage, read_outcome
from errata.agent.run.result import result_object, worked_seconds
from errata.agent.run.sentences import chance_of
from errata.agent.settings.file import DATA_VARIABLE, dump_settings, load_settings
from errata.agent.settings.places import CONFIGS, OWN_SETTINGS, find_runs
from errata.agent.settings.tree import Settings
from errata.agent.show.progress.reporters import ClosableReporter, make_reporter
from errata.tools.errors import OperatorError, StopRequested

Loop = Callable[[ClosableReporter], object]


def start_run(arguments: argparse.Namespace) -> int:
    """A new run folder, and the loop in it."""
    config = choose_config(arguments)
    settings = load_settings(config, collect_overrides(arguments), data_root=os.environ.get(DATA_VARIABLE))
    from errata.agent.loop.checks import check_parts, find_parts

    check_parts(settings)
    if arguments.dry_run:
        return print_plan(settings, json_lines=arguments.json)
    parts = find_parts(settings)
    folder = make_run(arguments.runs_dir, settings.run.name)
    from errata.agent.loop.driver import run_loop

    def loop(reporter: ClosableReporter) -> object:
        return run_loop(settings, folder=folder, reporter=reporter, parts=parts)

    try:
        return run_to_end(folder, loop, json_lines=arguments.json)
    except OperatorError:
        discard_unbegun(folder)
        raise


def resume_run(arguments: argparse.Namespace) -> int:
    """Go on with a run."""
    folder = find_run(arguments.runs_dir, arguments.run)
    settings = load_settings(folder.path / "settings.yaml", saved=True)
    from errata.agent.loop.checks import check_parts, find_parts

    check_parts(settings)
    parts = find_parts(settings)
    from errata.agent.loop.driver import resume_loop

    def loop(reporter: ClosableReporter) -> object:
        return resume_loop(folder, reporter=reporter, parts=parts)

    return run_to_end(folder, loop, json_lines=arguments.json)


def choose_config(arguments: argparse.Namespace) -> Path:
    """The settings file of the demo, the one that was named, or the current folder's own. Raises OperatorError."""
    if arguments.command == "demo":
        return CONFIGS / "demo.yaml"
    named: Path | None = arguments.config
    if named is not None and "=" in named.name and not named.exists():
        arguments.overrides.insert(0, str(named))  # `errata run budget.iterations=1`: no file was named
        named = None
    if named is None and not OWN_SETTINGS.is_file():
        remedy = f"name a settings file, or write {OWN_SETTINGS} with: errata init"
        raise OperatorError("no settings file here", where=str(Path.cwd()), value=str(OWN_SETTINGS), remedy=remedy)
    return named or OWN_SETTINGS


def collect_overrides(arguments: argparse.Namespace) -> list[str]:
    """key=value pairs, the named options last."""
    named = {"run.seed": arguments.seed, "run.name": arguments.name, "control": arguments.control}
    return [*arguments.overrides, *(f"{key}={value}" for key, value in named.items() if value is not None)]


def run_to_end(folder: RunFolder, loop: Loop, *, json_lines: bool) -> int:
    """Run with a reporter, then write the report and print the result; 130 when the user stopped it."""
    began, earlier = time.monotonic(), worked_seconds(folder.events())
    reporter = make_reporter(json_lines=json_lines)
    code = 0
    try:
        loop(reporter)
    except StopRequested:
        code = 130
    except KeyboardInterrupt:
        reporter.close()
        print(f"errata: interrupted; go on with: {resume_command(folder)}", file=sys.stderr)
        return 130
    except OperatorError as error:
        if not folder.begun():
            raise
        remedy = "; then ".join(filter(None, [error.remedy, f"go on with: {resume_command(folder)}"]))
        raise OperatorError(error.what, where=error.where, value=error.value, remedy=remedy) from error
    finally:
        reporter.close()
    seconds = earlier + time.monotonic() - began
    finish(folder, json_lines=json_lines, seconds=seconds)
    if code:
        print(f"stopped; everything is saved; go on with: {resume_command(folder)}", file=sys.stderr)
    return code


def finish(folder: RunFolder, *, json_lines: bool, seconds: float) -> None:
    """Write the report; print the table, or one JSON object as the last line."""
    from errata.agent.run.questions import validation_problems
    from errata.agent.show.report import write_report

    problems = validation_problems(folder)
    outcome = read_outcome(folder)
    path = write_report(folder, problems=problems)
    if json_lines:
        print(json.dumps(result_object(outcome, seconds=seconds)), flush=True)
        return
    from errata.agent.show.outcome_lines import outcome_lines

    chance = chance_of(p for p in problems.values() if p.split == outcome.final_split)
    costs = cost_by_stage(folder.ledger())
    print("\n".join(outcome_lines(outcome, costs=costs, chance=chance, report=path)), flush=True)


def resume_command(folder: RunFolder) -> str:
    """The command that continues the run."""
    plain = folder.path.parent == find_runs().resolve()
    return f"errata resume {folder.id}" if plain else f"errata resume {folder.path}"


def discard_unbegun(folder: RunFolder) -> None:
    """Delete the folder of a run that failed before student or teacher did anything."""
    if not folder.begun():
        shutil.rmtree(folder.path, ignore_errors=True)


def print_plan(settings: Settings, *, json_lines: bool) -> int:
    """The resolved settings, and what would be done with them."""
    from errata.agent.decide.plan import plan_of

    plan = plan_of(settings)
    if json_lines:
        print(json.dumps({"settings": settings.model_dump(mode="json"), "plan": plan}))
        return 0
    print(dump_settings(settings))
    for key, value in plan.items():
        print(f"# {key}: {value}")
    return 0
