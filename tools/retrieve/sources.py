"""Samples for the index from files: an id, a list of skills, and metadata.

Rows are taken as they are (`SampleFile`: JSON lines, a JSON list, CSV, TSV, Parquet) or read as questions in any of the
formats of tools/data/read (`QuestionFile`). Every row is a sample or is reported: a row that is none is skipped,
counted and named with its reason, and more bad rows than the caller's share refuse the file.
"""

from __future__ import annotations

import gzip
import io
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from errata.tools.data.read import SourceOptions, scan_rows
from errata.tools.data.read.tables import is_table, read_rows
from errata.tools.errors import OperatorError
from errata.tools.records import Problem, SkippedRow
from errata.tools.retrieve.segment import Sample

KEPT = 1000
"""Skipped rows that are kept by name; all are counted."""


class SampleSource(ABC):
    """Reads one source row by row; the counts are those of the rows that were read so far."""

    def __init__(
        self, path: Path, *, fields: Sequence[str] = (), max_bad_share: float = 0.02, every_field: bool = False
    ) -> None:
        """`fields` are kept as metadata; a row without one has an empty value there, and with `every_field` each must
        be in some row.
        """
        self.samples = self.empty = self.skipped = self.left_out = 0
        """`skipped` counts `left_out` too: rows that the format leaves out, which are not bad."""
        self.reasons: list[SkippedRow] = []
        self._path, self._fields, self._max_bad_share = path, tuple(fields), max_bad_share
        self._unseen = set(fields) if every_field else set()

    def read(self) -> Iterator[Sample]:
        """Id, skills and metadata of each sample. Raises OperatorError for a file that is none, or too bad."""
        yield from self._read_samples()
        bad = self.skipped - self.left_out
        if bad > self._max_bad_share * (self.samples + bad):
            first = next((row for row in self.reasons if row.bad), self.reasons[0])
            what = f"{bad} of {self.samples + bad} rows are no samples, the first because {first.reason}"
            remedy = "mend the rows, name the fields, or allow more with --max-bad-share"
            raise OperatorError(what, where=f"{self._path}:{first.row}", remedy=remedy)
        if self.samples and self.empty == self.samples:
            remedy = "name their column with --skills, or with --field skills=COLUMN where rows are read as questions"
            raise OperatorError("no sample has a skill", where=str(self._path), value=self.samples, remedy=remedy)
        if self.samples and self._unseen:
            remedy = "name a column of the rows; where they are read as questions, one of their metadata"
            raise OperatorError("no row has this field", where="--keep", value=min(self._unseen), remedy=remedy)

    @abstractmethod
    def _read_samples(self) -> Iterator[Sample]:
        """The samples, counting what is skipped."""

    def _take(self, name: str, skills: list[str], values: Sequence[object]) -> Sample:
        if self._unseen:
            self._unseen -= {field for field, value in zip(self._fields, values, strict=True) if value is not None}
        self.samples += 1
        self.empty += not any(map(str.strip, skills))
        return name, skills, ["" if value is None else str(value) for value in values]

    def _skip(self, row: int, name: str, reason: str, *, bad: bool = True) -> None:
        self.skipped += 1
        self.left_out += not bad
        if len(self.reasons) < KEPT:
            self.reasons.append(SkippedRow(source=str(self._path), row=row, id=name, reason=reason, bad=bad))


class SampleFile(SampleSource):
    """Rows as they are: two of their columns are the id and the skills."""

    def __init__(
        self,
        path: Path,
        *,
        id_field: str = "id",
        skills_field: str = "skills",
        fields: Sequence[str] = (),
        max_bad_share: float = 0.02,
        every_field: bool = False,
    ) -> None:
        """As `SampleSource`."""
        super().__init__(path, fields=fields, max_bad_share=max_bad_share, every_field=every_field)
        self._id_field, self._skills_field = id_field, skills_field

    def _read_samples(self) -> Iterator[Sample]:
        if is_table(self._path):
            yield from self._read_table()
            return
        try:
            with self._open() as lines:
                for row, line in enumerate(lines, start=1):
                    if line.strip():
                        sample = self._parse(line, row)
                        if sample is not None:
                            yield sample
        except (OSError, EOFError) as error:
            raise OperatorError(
                f"the file cannot be read ({error})", where=str(self._path), remedy="give JSON lines, or these gzipped"
            ) from error

    def _open(self) -> io.BufferedReader:
        if self._path.suffix == ".gz":
            return io.BufferedReader(gzip.GzipFile(self._path, "rb"))
        return self._path.open("rb")

    def _read_table(self) -> Iterator[Sample]:
        for raw in read_rows(self._path, SourceOptions(), None):
            if raw.error is not None and raw.fatal:
                raise raw.error.located(self._path, raw.number)
            if raw.row is None:
                self._skip(raw.number, "", raw.error.reason if raw.error else "it is missing")
                continue
            sample = self._parse_row(raw.row, raw.number)
            if sample is not None:
                yield sample

    def _parse(self, line: bytes, row: int) -> Sample | None:
        try:
            entry = json.loads(line)
        except ValueError:
            entry = None
        if not isinstance(entry, dict):
            self._skip(row, "", "it is no JSON object in UTF-8")
            return None
        return self._parse_row(entry, row)

    def _parse_row(self, entry: dict[str, Any], row: int) -> Sample | None:
        given, skills = entry.get(self._id_field), entry.get(self._skills_field)
        name = str(given) if isinstance(given, int | str) and not isinstance(given, bool) else ""
        if isinstance(skills, str) or skills is None:
            skills = _split_cell(skills) if skills else []
        values = [entry.get(field) for field in self._fields]
        reason = self._find_fault(entry, name, skills, values)
        if reason:
            self._skip(row, name if _is_writable(name) else "", reason)
            return None
        return self._take(name, skills, values)

    def _find_fault(self, entry: dict[str, object], name: str, skills: object, values: list[object]) -> str:
        """Why a row is no sample; empty when it is one."""
        if not name:
            return f"{self._id_field} is no id"
        if self._skills_field not in entry:
            return f"it has no {self._skills_field}"
        if not isinstance(skills, list) or not all(isinstance(skill, str) for skill in skills):
            return f"{self._skills_field} is no list of texts"
        for field, value in zip(self._fields, values, strict=True):
            if isinstance(value, list | dict):
                return f"{field} is no single value"
        return "" if _is_writable(name, *skills, *map(str, values)) else "a text holds half a surrogate pair"


class QuestionFile(SampleSource):
    """Rows as questions of a format: a question's id, skills and metadata are the sample's. Pictures are not looked
    for.
    """

    def __init__(
        self,
        path: Path,
        *,
        format: str,
        options: SourceOptions,
        fields: Sequence[str] = (),
        max_bad_share: float = 0.02,
        every_field: bool = False,
    ) -> None:
        """As `SampleSource`; where columns are mapped, `fields` are columns too."""
        super().__init__(path, fields=fields, max_bad_share=max_bad_share, every_field=every_field)
        if fields and (format == "table" or options.fields):
            given = options.fields.get("metadata", ())
            kept = dict.fromkeys([*((given,) if isinstance(given, str) else given), *fields])
            options = options.model_copy(update={"fields": {**options.fields, "metadata": tuple(kept)}})
        self._format, self._options = format, options

    def _read_samples(self) -> Iterator[Sample]:
        verdicts = scan_rows(
            self._path, format=self._format, images="any", verify="ignore", options=self._options, pictures=None
        )
        for verdict in verdicts:
            if verdict.error is not None:
                if verdict.fatal:
                    raise verdict.error.located(self._path, verdict.number)
                self._skip(verdict.number, verdict.id, verdict.error.reason)
            elif verdict.skip is not None:
                self._skip(verdict.number, verdict.id, verdict.skip, bad=False)
            for problem in verdict.problems:
                yield self._take(problem.id, list(problem.skills), [_value_of(problem, f) for f in self._fields])


def _value_of(problem: Problem, field: str) -> object:
    value = problem.metadata.get(field)
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value


def holds_column(path: Path, column: str, *, rows: int = 20) -> bool:
    """Whether one of the first rows of a file has the column. Raises OperatorError for a file without a row."""
    first = None
    for raw in read_rows(path, SourceOptions(), None):
        first = first or raw
        rows -= 1
        if raw.row is not None and column in raw.row:
            return True
        if not rows:
            break
    if first is None:
        raise OperatorError("the file holds no rows", where=str(path), remedy="give a file of samples")
    return False


def _split_cell(text: str) -> list[str]:
    """The skills in one cell: a list that is written as JSON, or one skill."""
    if text.startswith("["):
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            return [text]
        if isinstance(found, list) and all(isinstance(skill, str) for skill in found):
            return found
    return [text]


def _is_writable(*texts: str) -> bool:
    try:
        "".join(texts).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
