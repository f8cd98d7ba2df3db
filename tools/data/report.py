"""The verdicts of a whole dataset: every row counted once, and each error with its place, cause and remedy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from pydantic import Field

from errata.tools.data.check import RowError
from errata.tools.data.read import SourceOptions, Verdict, scan_rows
from errata.tools.data.read.reading import find_file
from errata.tools.records import Record


class Finding(Record):
    """One row that cannot be used, for the person who mends it."""

    file: str
    row: int
    """From 1: the line of the file, or the place in a list, a table or a dataset."""
    id: str
    """Empty where the row has none that can be read."""
    field: str
    value: str
    cause: str
    remedy: str

    @property
    def line(self) -> str:
        """All of it in one line."""
        value = f" (got {self.value})" if self.value else ""
        remedy = f"; {self.remedy}" if self.remedy else ""
        return " ".join(f"{self.file}:{self.row}: {self.field}: {self.cause}{value}{remedy}".split())


class CheckReport(Record):
    """rows == accepted + sum(skipped) + sum(errors)."""

    path: str
    format: str
    rows: int
    accepted: int
    problems: int
    """A conversation of several questions gives several."""
    skipped: dict[str, int]
    """Rows that the format leaves out, by reason, most frequent first."""
    errors: dict[str, int]
    """Rows that cannot be used, by cause, most frequent first."""
    findings: tuple[Finding, ...]
    converted: dict[str, int] = Field(default_factory=dict)
    """Pictures that are converted to be shown, by how, most frequent first."""

    @property
    def ok(self) -> bool:
        """Whether no row has an error."""
        return not self.errors


def check_dataset(path: Path, *, format: str, options: SourceOptions) -> CheckReport:
    """Read every row as a run would, with all pictures decoded; nothing is written.

    Raises OperatorError for a file that cannot be read at all.
    """
    file = find_file(path, split=None, format=format)
    accepted, problems = 0, 0
    skipped: Counter[str] = Counter()
    errors: Counter[str] = Counter()
    findings: list[Finding] = []
    converted: Counter[str] = Counter()
    for verdict in scan_rows(path, format=format, options=options, converted=converted):
        if verdict.error is not None:
            errors[verdict.error.reason] += 1
            findings.append(make_finding(verdict, verdict.error, file=file))
        elif verdict.skip is not None:
            skipped[verdict.skip] += 1
        else:
            accepted += 1
            problems += len(verdict.problems)
    return CheckReport(
        path=str(path),
        format=format,
        rows=accepted + sum(skipped.values()) + len(findings),
        accepted=accepted,
        problems=problems,
        skipped=dict(_ordered(skipped)),
        errors=dict(_ordered(errors)),
        findings=tuple(findings),
        converted=dict(_ordered(converted)),
    )


def make_finding(verdict: Verdict, error: RowError, *, file: Path) -> Finding:
    """The error of one row with its place."""
    value = "" if error.value is None else ascii(error.value)
    return Finding(
        file=str(file),
        row=verdict.number,
        id=verdict.id.encode("utf-8", "replace").decode(),
        field=error.field,
        value=value,
        cause=error.what,
        remedy=error.remedy,
    )


def _ordered(counts: Counter[str]) -> Iterator[tuple[str, int]]:
    yield from sorted(counts.items(), key=lambda item: (-item[1], item[0]))
