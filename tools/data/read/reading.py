"""Read a dataset into `Problem` records, row by row, with a reason for every row that is not used.

Two kinds of rows are not used. A row is *skipped* when the format says so (its picture is not in the
folder, its choices are pictures, it is a benchmark); a row is *bad* when it breaks a rule of `check`.
`max_bad_share` is the share of bad rows (of all rows) that is tolerated; at 0, the default of our own
format, the first one is an error. A file without one usable row is always an error.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from errata.tools.data.check import MAX_ID, RowError, Verify, check_problem
from errata.tools.data.read.formats import FORMATS, check_options
from errata.tools.data.read.layout import Fields, Format, Images, RawRow, RowContext, SkipRow, SourceOptions
from errata.tools.data.read.pictures import PictureStore
from errata.tools.errors import OperatorError
from errata.tools.records import Problem, SkippedRow, Split, digest

DEFAULT = SourceOptions()
KEPT_PICTURES = ".errata-pictures"
"""Folder beside the data for pictures that the rows hold as bytes, where no other is given."""


class ReadResult(NamedTuple):
    """The usable problems in file order, and every other row with its reason."""

    problems: list[Problem]
    skipped: list[SkippedRow]


class Verdict(NamedTuple):
    """What became of one row: problems, or a reason to skip it, or what is wrong with it."""

    number: int
    id: str
    problems: tuple[Problem, ...] = ()
    skip: str | None = None
    error: RowError | None = None
    fatal: bool = False
    """The file breaks here; a run stops."""


class _Reading(NamedTuple):
    file: Path
    split: Split | None
    form: Format
    images: Images
    options: SourceOptions
    store: PictureStore


def read_problems(
    path: Path,
    *,
    split: Split,
    format: str = "errata",
    images: Images | None = None,
    max_bad_share: float | None = None,
    verify: Verify | None = None,
    options: SourceOptions = DEFAULT,
    pictures: Path | None = None,
) -> ReadResult:
    """The problems of a file (or of the split's file in a folder), marked with `split`, image paths
    absolute.

    `verify` is `exists` for the pool and `decode` for all else unless given. `pictures` is where pictures go
    that rows hold as bytes (None: a folder beside the file). Raises OperatorError for a file that cannot be
    used as a whole, and for more bad rows than `max_bad_share` (None: the format's own default).
    """
    file = find_file(path, split=split, format=format)
    share = FORMATS[format].max_bad_share if max_bad_share is None else max_bad_share
    verdicts = scan_rows(
        path,
        split=split,
        format=format,
        images=images,
        verify=verify or ("exists" if split == "pool" else "decode"),
        options=options,
        pictures=pictures or (file if file.is_dir() else file.parent) / KEPT_PICTURES,
    )
    return _collect(verdicts, file=file, share=share)


def _collect(verdicts: Iterator[Verdict], *, file: Path, share: float) -> ReadResult:
    problems: list[Problem] = []
    skipped: list[SkippedRow] = []
    first: OperatorError | None = None
    for verdict in verdicts:
        problems += verdict.problems
        if verdict.skip is not None:
            skipped.append(_skipped(verdict, file, reason=verdict.skip))
        elif verdict.error is not None:
            located = verdict.error.located(file, verdict.number)
            if verdict.fatal:
                where = f"{file}:{verdict.number}"
                raise OperatorError(located_what(verdict.error), where=where, remedy=verdict.error.remedy)
            if share <= 0:
                raise located from verdict.error
            first = first or located
            skipped.append(_skipped(verdict, file, reason=verdict.error.reason, bad=True))
    _check_share(problems, skipped, share=share, first=first, file=file)
    return ReadResult(problems, skipped)


def located_what(error: RowError) -> str:
    """What is wrong with a file, with the value in it."""
    return error.what if error.value is None else f"{error.what} (got {error.value!r})"


def _skipped(verdict: Verdict, file: Path, *, reason: str, bad: bool = False) -> SkippedRow:
    return SkippedRow(source=file.name, row=verdict.number, id=verdict.id, reason=reason, bad=bad)


def _check_share(
    problems: list[Problem],
    skipped: list[SkippedRow],
    *,
    share: float,
    first: OperatorError | None,
    file: Path,
) -> None:
    bad = sum(row.bad for row in skipped)
    used = len(problems)
    if bad > share * (used + len(skipped)):
        what = f"{bad} of {used + len(skipped)} rows are bad, more than the share {share:g}; the first: {first}"
        raise OperatorError(what, where=str(file), remedy="or raise max_bad_share")
    if not problems:
        raise _nothing_usable(file, skipped)


def find_file(path: Path, *, split: Split | None, format: str) -> Path:
    """The file (or the folder, where that is the dataset); raises OperatorError."""
    if format not in FORMATS:
        remedy = f"use one of {', '.join(FORMATS)}"
        raise OperatorError("unknown data format", where=str(path), value=format, remedy=remedy)
    form = FORMATS[format]
    if form.keeps_folders or not path.is_dir():
        return path
    if split is None:
        names = sorted(set(form.file.values()))
        present = [name for name in names if (path / name).is_file()]
        if len(present) != 1:
            remedy = f"name one file, e.g. {path / (present or names)[0]}"
            raise OperatorError("a folder, not a file", where=str(path), remedy=remedy)
        return path / present[0]
    return path / form.file[split]


def scan_rows(
    path: Path,
    *,
    format: str = "errata",
    split: Split | None = None,
    images: Images | None = None,
    verify: Verify = "decode",
    options: SourceOptions = DEFAULT,
    pictures: Path | None = None,
    converted: Counter[str] | None = None,
) -> Iterator[Verdict]:
    """A verdict for every row, in file order; raises OperatorError only for a file without rows to speak of.

    `split` None keeps the split that a row names. `pictures` None: pictures given as bytes are looked at and
    not kept. `converted` takes the number of pictures that are converted to be shown, by how.
    """
    file = find_file(path, split=split, format=format)
    form = FORMATS[format]
    check_options(options, format=format)
    above = file.absolute().parents
    start = file.absolute() if file.is_dir() else above[-1 if form.levels_up is None else form.levels_up]
    root = str(Path(options.image_root or start).resolve())
    store = PictureStore(root=root, folder=pictures, verify=verify)
    if converted is not None:
        store.converted = converted
    reading = _Reading(
        file=file,
        split=split,
        form=form,
        images=images or form.images,
        options=options,
        store=store,
    )
    return _judge_rows(reading)


def _judge_rows(reading: _Reading) -> Iterator[Verdict]:
    first: dict[str, int] = {}
    folder = str(reading.file.absolute().parent.resolve())
    context = RowContext(images=reading.images, options=reading.options, split=reading.split, folder=folder)
    for raw in reading.form.rows(reading.file, reading.options, reading.split):
        name = _name_of(raw)
        try:
            if raw.row is None:
                raise raw.error or RowError("row", "is missing")
            problems = _make_problems(raw, reading=reading, context=context)
            for i, problem in enumerate(problems):
                if problem.id in first or problem.id in (p.id for p in problems[:i]):
                    earlier = first.get(problem.id, raw.number)
                    raise RowError("id", f"duplicate of row {earlier}", value=problem.id, remedy="make ids unique")
        except SkipRow as skip:
            yield Verdict(raw.number, name, skip=str(skip))
        except RowError as error:
            yield Verdict(raw.number, name, error=error, fatal=raw.fatal)
        else:
            first.update((problem.id, raw.number) for problem in problems)
            yield Verdict(raw.number, name or problems[0].id, problems=problems)


def _name_of(raw: RawRow) -> str:
    value = (raw.row or {}).get("id")
    return str(value)[:MAX_ID] if isinstance(value, (str, int)) and value else ""


def _make_problems(raw: RawRow, *, reading: _Reading, context: RowContext) -> tuple[Problem, ...]:
    assert raw.row is not None
    if raw.row.get("id") in (None, ""):
        context = replace(context, name=f"row{raw.number}-{digest(_outline(raw.row), length=8)}")
    return tuple(_make_problem(fields, reading=reading) for fields in reading.form.parse(raw.row, context))


def _outline(value: object) -> object:
    """The beginnings of the texts of a row, so that rows of two files hardly ever get one id."""
    if isinstance(value, str):
        return value[:200]
    if isinstance(value, dict):
        return {str(key): _outline(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_outline(inner) for inner in value[:8]]
    return value if isinstance(value, (int, float)) else type(value).__name__


def _make_problem(fields: Fields, *, reading: _Reading) -> Problem:
    if reading.images == "required" and not fields["images"]:
        raise SkipRow("question without a picture")
    if reading.split not in (None, "test") and fields.get("split") == "test":
        raise RowError("split", f"a test row read as {reading.split}", value="test", remedy="keep test apart")
    refs = tuple(reading.store.take(image) for image in fields["images"])
    split = {"split": reading.split} if reading.split else {}
    try:
        problem = Problem.model_validate({**fields, "images": refs, **split})
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "row"
        raise RowError(field, first["msg"], value=first["input"], remedy="see tools/records.py") from error
    check_problem(problem)
    return problem


def count_reasons(skipped: list[SkippedRow]) -> dict[str, int]:
    """How many rows were skipped for each reason, most frequent first, ties by name."""
    counts: Counter[str] = Counter(row.reason for row in skipped)
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _nothing_usable(file: Path, skipped: list[SkippedRow]) -> OperatorError:
    if not skipped:
        return OperatorError("the file holds no questions", where=str(file), remedy="one JSON object per line")
    reasons = ", ".join(f"{n} x {reason}" for reason, n in list(count_reasons(skipped).items())[:3])
    return OperatorError(f"no usable row among {len(skipped)}: {reasons}", where=str(file), remedy="mend the rows")

