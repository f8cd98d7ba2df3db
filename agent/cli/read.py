"""The commands that only read: `runs`, `status`, `show` and `compare`."""

from __future__ import annotations

import argparse
import json
from typing import Any

from errata.agent.run.checkpoints import describe_pruned
from errata.agent.run.comparison import compare_best
from errata.agent.run.find import find_run, list_runs
from errata.agent.run.folder import RunFolder
from errata.agent.run.lineage import Archive
from errata.agent.run.outcome import cost_by_stage, read_outcome, read_settings
from errata.agent.run.questions import validation_problems
from errata.agent.run.sentences import chance_of, percent, spread
from errata.agent.show.records import LISTS, rows_of, tree_lines
from errata.tools.records import Split

ROWS = 40
"""Rows of a list that are printed unless --limit says otherwise."""


def list_all(arguments: argparse.Namespace) -> int:
    """`errata runs`."""
    runs = list_runs(arguments.runs_dir)
    if arguments.json:
        print(json.dumps([{**run._asdict(), "path": str(run.path)} for run in runs]))
        return 0
    from errata.agent.show.tables import make_console, runs_table

    if runs:
        make_console().print(runs_table(runs))
    else:
        print(f"no runs in {arguments.runs_dir}; start one with: errata demo")
    return 0


def show_status(arguments: argparse.Namespace) -> int:
    """`errata status RUN`."""
    folder = find_run(arguments.runs_dir, arguments.run)
    status = status_of(folder)
    if arguments.json:
        print(json.dumps(status))
        return 0
    for key, value in status.items():
        if value not in (None, "", []):
            print(f"{key.replace('_', ' '):<14} {value}")
    return 0


def status_of(folder: RunFolder) -> dict[str, Any]:
    """State, stage, accuracy and budget of a run, from its files alone."""
    from errata.agent.cli.run import resume_command
    from errata.agent.decide.budget import measure_spent

    outcome, caps = read_outcome(folder), read_settings(folder).budget.total
    spent, events = measure_spent(folder), folder.events()
    stages = [e for e in events if e["event"] == "stage_started"]

    def accuracy(checkpoint: str, split: Split) -> float | None:
        card = outcome.scorecard(checkpoint, split)
        return None if card is None else card.accuracy.value

    return {
        "run": folder.id,
        "path": str(folder.path),
        "state": outcome.state,
        "pid": folder.holder(),
        "stop_reason": outcome.stop_reason,
        "iteration": stages[-1]["iteration"] if stages else 0,
        "stage": stages[-1]["stage"] if stages else "",
        "gate_before": accuracy(outcome.base, "gate"),
        "gate_after": accuracy(outcome.best, "gate"),
        "accepted": outcome.accepted,
        "samples": spent.samples,
        "samples_limit": caps.samples,
        "seconds": round(spent.seconds, 1),
        "seconds_limit": caps.seconds,
        "teacher_calls": spent.teacher_calls,
        "teacher_calls_limit": caps.teacher_calls,
        "removed": describe_pruned(outcome.pruned),
        "go_on_with": resume_command(folder) if outcome.state == "stopped" else "",
    }


def show_records(arguments: argparse.Namespace) -> int:
    """`errata show RUN [summary|errors|skills|lessons|decisions|ID]`."""
    folder = find_run(arguments.runs_dir, arguments.run)
    if arguments.what == "summary":
        return show_summary(folder, as_json=arguments.json)
    archive = Archive(folder, problems=validation_problems(folder))
    if arguments.what in LISTS:
        return _show_list(archive, arguments)
    kind, name = archive.find(arguments.what)
    node = archive.trace(kind, name)
    if arguments.json:
        print(json.dumps(node.as_json(), ensure_ascii=False))
    else:
        print("\n".join(tree_lines(node, archive)))
    return 0


def show_summary(folder: RunFolder, *, as_json: bool) -> int:
    """All that a run came to, in tables: accuracy, skills, decisions, samples, cost."""
    outcome = read_outcome(folder)
    if as_json:
        print(json.dumps(status_of(folder)))
        return 0
    from errata.agent.show.tables import make_console, print_outcome

    problems = validation_problems(folder)
    chance = chance_of(p for p in problems.values() if p.split == outcome.final_split)
    print_outcome(make_console(), outcome, costs=cost_by_stage(folder.ledger()), chance=chance, report=None)
    return 0


def _show_list(archive: Archive, arguments: argparse.Namespace) -> int:
    rows = rows_of(archive, arguments.what)
    if arguments.json:
        print(json.dumps(rows[: arguments.limit], ensure_ascii=False))
        return 0
    from errata.agent.show.tables import make_console, records_table

    limit = arguments.limit or ROWS
    if not rows:
        print(f"no {arguments.what} in {archive.folder.id}")
        return 0
    make_console().print(records_table("", rows[:limit]))
    if len(rows) > limit:
        print(f"{limit} of {len(rows)}; more with --limit N or --json")
    return 0


def compare_runs(arguments: argparse.Namespace) -> int:
    """`errata compare RUN RUN`: the best checkpoints of both on the same questions, second minus first."""
    folders = [find_run(arguments.runs_dir, name) for name in (arguments.before, arguments.after)]
    outcomes = [read_outcome(folder) for folder in folders]
    comparison = compare_best(folders, outcomes)
    if arguments.json:
        runs = {"run_before": folders[0].id, "run_after": folders[1].id}
        print(json.dumps({**runs, **comparison.model_dump(mode="json", exclude={"accepted"})}))
        return 0
    for folder, outcome in zip(folders, outcomes, strict=True):
        card = outcome.scorecard(outcome.best, comparison.split)
        control = "" if outcome.control == "none" else f" (control: {outcome.control})"
        print(
            f"{folder.id}{control}: {spread(card.accuracy) if card else 'not measured'}, {len(outcome.lessons)} samples"
        )
    gain = comparison.gain
    bounds = f"95 % interval {100 * gain.low:+.1f} to {100 * gain.high:+.1f}"
    noise = "" if gain.low > 0 or gain.high < 0 else "; this is within noise"
    print(
        f"{folders[1].id} minus {folders[0].id} on {comparison.total} {comparison.split} questions: "
        f"{percent(gain.value, sign=True)} points ({bounds}), {comparison.fixed} better, "
        f"{comparison.broken} worse, p = {comparison.p_value:.2g}{noise}"
    )
    return 0
