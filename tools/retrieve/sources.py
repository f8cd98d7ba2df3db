"""Samples for the index from files: JSON lines, also gzipped, with an id, a list of skills, and metadata.

Every row is a sample or is reported: a row that is none is skipped, counted and named with its reason, and more bad
rows than the caller's share refuse the file.
"""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from tools.errors import OperatorError
from tools.records import SkippedRow
from tools.retrieve.segment import Sample

KEPT = 1000
"""Skipped rows that are kept by name; all are counted."""


class SampleFile:
    """Reads one file row by row; the counts are those of the rows that were read so far."""

    def __init__(
        self,
        path: Path,
        *,
        id_field: str = "id",
        skills_field: str = "skills",
        fields: Sequence[str] = (),
        max_bad_share: float = 0.02,
    ) -> None:
        """`fields` are kept as metadata; a row without one has an empty value there."""
        self.samples = self.empty = self.skipped = 0
        self.reasons: list[SkippedRow] = []
        self._path, self._fields, self._max_bad_share = path, tuple(fields), max_bad_share
        self._id_field, self._skills_field = id_field, skills_field

    def read(self) -> Iterator[Sample]:
        """Id, skills and metadata of each sample. Raises OperatorError for a file that is none, or too bad."""
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
        total = self.samples + self.skipped
        if self.skipped > self._max_bad_share * total:
            first = self.reasons[0]
            what = f"{self.skipped} of {total} rows are no samples, the first because {first.reason}"
            remedy = "mend the rows, name the fields, or allow more with --max-bad-share"
            raise OperatorError(what, where=f"{self._path}:{first.row}", remedy=remedy)

    def _open(self) -> io.BufferedReader:
        if self._path.suffix == ".gz":
            return io.BufferedReader(gzip.GzipFile(self._path, "rb"))
        return self._path.open("rb")

    def _parse(self, line: bytes, row: int) -> Sample | None:
        try:
            entry = json.loads(line)
        except ValueError:
            entry = None
        if not isinstance(entry, dict):
            self._skip(row, "", "it is no JSON object in UTF-8")
            return None
        given, skills = entry.get(self._id_field), entry.get(self._skills_field)
        name = str(given) if isinstance(given, int | str) and not isinstance(given, bool) else ""
        if isinstance(skills, str) or skills is None:
            skills = [skills] if skills else []
        values = [entry.get(field) for field in self._fields]
        reason = self._find_fault(entry, name, skills, values)
        if reason:
            self._skip(row, name if _is_writable(name) else "", reason)
            return None
        self.samples += 1
        self.empty += not any(map(str.strip, skills))
        return name, skills, ["" if value is None else str(value) for value in values]

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

    def _skip(self, row: int, name: str, reason: str) -> None:
        self.skipped += 1
        if len(self.reasons) < KEPT:
            self.reasons.append(SkippedRow(source=str(self._path), row=row, id=name, reason=reason))


def _is_writable(*texts: str) -> bool:
    try:
        "".join(texts).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
