"""`errata data check|convert|stats`: what is wrong with data of one's own, what is in it, and another format of it."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from errata.agent.cli.options.reading import choose_format, read_options
from errata.agent.show.tables import fill_table, make_console, make_table
from errata.tools.data.read import scan_rows
from errata.tools.data.read.reading import find_file
from errata.tools.data.report import CheckReport, Finding, check_dataset, make_finding
from errata.tools.data.stats import DatasetStats, Spread, describe_dataset
from errata.tools.errors import OperatorError
from errata.tools.records import Problem

DOUBTFUL = 0.9
"""Share of bad rows from which on a guessed format is in doubt."""
TOP = 20
"""Rows of a table of skills or sources; all of them with --json."""


def run_data(arguments: argparse.Namespace) -> int:
    """Run the action; returns 2 if `check` finds an error."""
    actions = {"check": run_check, "convert": run_convert, "stats": run_stats}
    return actions[arguments.action](arguments)


def run_check(arguments: argparse.Namespace) -> int:
    """A verdict for every row; with --json one object with all findings."""
    format = choose_format(arguments.path, arguments)
    report = check_dataset(arguments.path, format=format, options=read_options(arguments))
    if report.rows == 0:
        remedy = "check the path, or give --format"
        raise OperatorError("the file holds no rows", where=str(arguments.path), remedy=remedy)
    guessed_by = getattr(arguments, "guessed_by", None)
    doubt = guessed_by is not None and len(report.findings) >= DOUBTFUL * report.rows
    if arguments.json:
        told = {"guessed_by": guessed_by, "doubtful": doubt}
        print(json.dumps({"ok": report.ok, **told, **report.model_dump(mode="json")}))
    else:
        _print_report(report, limit=arguments.limit)
        if guessed_by is not None:
            print(f"the format {report.format} was guessed by {guessed_by}")
        if doubt:
            print("nearly all rows fail under it: name another with --format, or the columns with --field FIELD=COLUMN")
    return 0 if report.ok else 2


def _print_report(report: CheckReport, *, limit: int) -> None:
    console = make_console()
    shown = report.findings[: max(0, limit)]
    for finding in shown:
        print(finding.line)
    if len(shown) < len(report.findings):
        print(f"and {len(report.findings) - len(shown)} more; all of them with --json, or --limit N")
    if report.errors:
        console.print(fill_table(make_table("Errors", ">rows", "cause"), [(n, r) for r, n in report.errors.items()]))
    if report.skipped:
        table = make_table("Left out by the format", ">rows", "reason")
        console.print(fill_table(table, [(n, r) for r, n in report.skipped.items()]))
    if report.converted:
        table = make_table("Pictures that are converted to be shown", ">pictures", "how")
        console.print(fill_table(table, [(n, how) for how, n in report.converted.items()]))
    print(
        f"{report.path} ({report.format}): {report.rows} rows = {report.accepted} good "
        f"+ {sum(report.skipped.values())} left out + {len(report.findings)} with errors; "
        f"{report.problems} questions"
    )


class Source:
    """All good problems of the data that the command line names, and what is wrong with the rest."""

    def __init__(self, arguments: argparse.Namespace, *, pictures: Path) -> None:
        self.format = choose_format(arguments.path, arguments)
        self.problems: list[Problem] = []
        self.findings: list[Finding] = []
        self.skipped: dict[str, int] = {}
        file = find_file(arguments.path, split=None, format=self.format)
        options = read_options(arguments)
        for verdict in scan_rows(arguments.path, format=self.format, options=options, pictures=pictures):
            self.problems += verdict.problems
            if verdict.error is not None:
                self.findings.append(make_finding(verdict, verdict.error, file=file))
            elif verdict.skip is not None:
                self.skipped[verdict.skip] = self.skipped.get(verdict.skip, 0) + 1
        if not self.problems:
            first = self.findings[0].line if self.findings else "there are no rows"
            raise OperatorError(f"no usable row: {first}", where=str(arguments.path), remedy="see: errata data check")

    def tell(self) -> None:
        """Print on stderr what was left out."""
        for reason, number in self.skipped.items():
            print(f"errata: left out {number} x {reason}", file=sys.stderr)
        if self.findings:
            more = f"{len(self.findings)} bad rows are left out; the first: {self.findings[0].line}"
            print(f"errata: {more}", file=sys.stderr)


def run_convert(arguments: argparse.Namespace) -> int:
    """Write all good rows in another format; refuses when more rows are bad than allowed."""
    from errata.tools.data.write import write_problems

    out: Path = arguments.out
    if out.is_dir() or (out.exists() and not arguments.force):
        what = "a folder, not a file" if out.is_dir() else "there is a file already"
        remedy = f"name a file, e.g. {out / 'train.json'}" if out.is_dir() else "name another, or give --force"
        raise OperatorError(what, where=str(out), remedy=remedy)
    if out.exists() and out.samefile(arguments.path):
        raise OperatorError("this would write over what it reads", where=str(out), remedy="name another file")
    source = Source(arguments, pictures=out.absolute().parent / "images")
    rows = len(source.problems) + len(source.findings)
    if len(source.findings) > arguments.max_bad_share * rows:
        what = f"{len(source.findings)} bad rows; the first: {source.findings[0].line}"
        remedy = "mend them (errata data check), or allow a share with --max-bad-share"
        raise OperatorError(what, where=str(arguments.path), remedy=remedy)
    result = write_problems(source.problems, file=out, format=arguments.to)
    summary = {
        "from": source.format,
        "to": arguments.to,
        "out": str(out),
        "problems": result.rows,
        "pictures_copied": result.copied,
        "left_out": source.skipped,
        "bad": len(source.findings),
        "dataset_info": str(result.info) if result.info else None,
    }
    source.tell()
    if arguments.json:
        print(json.dumps(summary))
    else:
        info = f", {result.info}" if result.info else ""
        print(f"{out}: {result.rows} problems as {arguments.to}, {result.copied} pictures copied{info}")
    return 0


def run_stats(arguments: argparse.Namespace) -> int:
    """Describe the good rows, and draw a sheet of pictures where asked."""
    with tempfile.TemporaryDirectory(prefix="errata-stats-") as folder:
        source = Source(arguments, pictures=Path(folder))
        stats = describe_dataset(source.problems, tokenizer=arguments.tokenizer)
        if arguments.sheet is not None:
            from errata.tools.data.sheet import draw_sheet

            draw_sheet(source.problems, file=arguments.sheet)
    source.tell()
    if arguments.json:
        left = {"left_out": source.skipped, "bad": len(source.findings)}
        print(json.dumps({"format": source.format, **stats.model_dump(mode="json"), **left}))
    else:
        _print_stats(stats)
        if arguments.sheet is not None:
            print(f"sheet: {arguments.sheet}")
    return 0


def _print_stats(stats: DatasetStats) -> None:
    console = make_console()
    for title, counts in (("Skills", stats.skills), ("Sources", stats.sources)):
        rows = [(number, name) for name, number in counts.items()]
        more = f" ({TOP} of {len(rows)})" if len(rows) > TOP else ""
        if rows:
            console.print(fill_table(make_table(f"{title}{more}", ">problems", ""), rows[:TOP]))
    spreads = {
        "picture width": stats.widths,
        "picture height": stats.heights,
        f"question, {stats.unit}": stats.question_length,
        f"answer, {stats.unit}": stats.answer_length,
    }
    table = make_table("Sizes", "", *(f">{name.replace('_', ' ')}" for name in Spread.model_fields))
    console.print(fill_table(table, [(n, *_points(s)) for n, s in spreads.items() if s is not None]))
    print(f"choices: {_listed(stats.choices)}; right answers: {_listed(stats.answers)}")
    print(f"pictures per problem: {_listed(stats.pictures_per_problem)}; distinct pictures: {stats.distinct_pictures}")
    print(
        f"{stats.problems} problems, {stats.with_rationale} with a rationale, "
        f"{stats.without_skill} without a skill of their own"
    )


def _points(spread: Spread) -> list[str]:
    return [f"{value:g}" for value in spread.model_dump().values()]


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} x {number}" for name, number in counts.items()) or "none"
