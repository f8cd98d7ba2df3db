"""Read a dataset into `Problem` records, row by row, with a reason for every row that is not used.

Two kinds of rows are not used. A row is *skipped* when the format says so (its picture is not in the
folder, its choices are pictures, it is a benchmark); a row is *bad* when it breaks a rule of `check`.
`max_bad_share` is the share of bad rows (of all rows) that is tolerated; at 0, the default of our own
format, the first one is an error. A file without one usable row is always an error.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from pydantic import ValidationError

from tools.data.check import (
    RowError,
    Verify,
    check_choices,
    check_image,
    parse_line,
    read_lines,
    require_text,
    resolve_path,
    resolve_target,
)
from tools.errors import ErrataError, OperatorError
from tools.records import ImageRef, Problem, SkippedRow, Split

Images = Literal["required", "present", "any"]
"""`required`: only questions with a picture. `present`: text questions too, but none whose picture is
absent. `any`: all; where the picture is absent the metadata say `picture_absent`.
"""


class ReadResult(NamedTuple):
    """The usable problems in file order, and every other row with its reason."""

    problems: list[Problem]
    skipped: list[SkippedRow]


class SkipRow(ErrataError):
    """The format says that this row is not for us; its text is the reason."""


class Format(NamedTuple):
    """How one format lies on disk and what it tolerates."""

    parse: Callable[[dict[str, Any], Images], dict[str, Any]]
    """From a raw row to the fields of a Problem; raises RowError or SkipRow."""
    file: dict[Split, str]
    """The file of each split, when a folder is given."""
    levels_up: int
    """How many folders above the file the image paths begin."""
    images: Images
    max_bad_share: float


def read_problems(
    path: Path,
    *,
    split: Split,
    format: str = "errata",
    images: Images | None = None,
    max_bad_share: float | None = None,
    verify: Verify | None = None,
) -> ReadResult:
    """The problems of a file (or of the split's file in a folder), marked with `split`, image paths
    absolute.

    `verify` is `exists` for the pool and `decode` for all else unless given. Raises OperatorError for a
    file that cannot be used as a whole, and for more bad rows than `max_bad_share` (None: the format's own
    default).
    """
    if format not in FORMATS:
        remedy = f"use one of {', '.join(FORMATS)}"
        raise OperatorError("unknown data format", where=str(path), value=format, remedy=remedy)
    form = FORMATS[format]
    file = path / form.file[split] if path.is_dir() else path
    reading = _Reading(
        file=file,
        root=str(file.absolute().parents[form.levels_up].resolve()),
        split=split,
        form=form,
        images=images or form.images,
        verify=verify or ("exists" if split == "pool" else "decode"),
        share=form.max_bad_share if max_bad_share is None else max_bad_share,
    )
    return _read_rows(reading)


class _Reading(NamedTuple):
    file: Path
    root: str
    split: Split
    form: Format
    images: Images
    verify: Verify
    share: float


def _read_rows(reading: _Reading) -> ReadResult:
    problems: list[Problem] = []
    skipped: list[SkippedRow] = []
    first: dict[str, int] = {}
    hashes: dict[str, str] = {}
    bad: list[OperatorError] = []
    number = 0
    for number, line in read_lines(reading.file):
        name = ""
        try:
            row = parse_line(line)
            name = str(row.get("id") or "")
            problem = _make_problem(row, reading=reading, hashes=hashes)
            if problem.id in first:
                what = f"duplicate of row {first[problem.id]}"
                raise RowError("id", what, value=problem.id, remedy="make ids unique")
        except SkipRow as skip:
            skipped.append(SkippedRow(source=reading.file.name, row=number, id=name, reason=str(skip)))
        except RowError as error:
            bad.append(error.located(reading.file, number))
            if reading.share <= 0:
                raise bad[0] from error
            reason = "id: duplicate id" if error.what.startswith("duplicate of") else error.reason
            skipped.append(SkippedRow(source=reading.file.name, row=number, id=name, reason=reason))
        else:
            first[problem.id] = number
            problems.append(problem)
    total = len(problems) + len(skipped)
    if len(bad) > reading.share * total:
        what = f"{len(bad)} of {total} rows are bad, more than the share {reading.share:g}; the first: {bad[0]}"
        raise OperatorError(what, where=str(reading.file), remedy="or raise max_bad_share")
    if not problems:
        raise _nothing_usable(reading.file, skipped)
    return ReadResult(problems, skipped)


def count_reasons(skipped: list[SkippedRow]) -> dict[str, int]:
    """How many rows were skipped for each reason, most frequent first, ties by name."""
    counts = Counter(s.reason for s in skipped)
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _nothing_usable(file: Path, skipped: list[SkippedRow]) -> OperatorError:
    if not skipped:
        return OperatorError("the file holds no questions", where=str(file), remedy="one JSON object per line")
    reasons = ", ".join(f"{n} x {reason}" for reason, n in list(count_reasons(skipped).items())[:3])
    return OperatorError(f"no usable row among {len(skipped)}: {reasons}", where=str(file), remedy="mend the rows")


def _make_problem(row: dict[str, Any], *, reading: _Reading, hashes: dict[str, str]) -> Problem:
    fields = reading.form.parse(row, reading.images)
    if reading.split != "test" and row.get("split") == "test" and reading.form.parse is _parse_errata:
        raise RowError("split", f"a test row read as {reading.split}", value="test", remedy="keep test apart")
    if reading.images == "required" and not fields["images"]:
        raise SkipRow("question without a picture")
    refs = []
    for image in fields["images"]:
        full = resolve_path(image["path"], root=reading.root)
        given = image.get("sha256") or ""
        if full not in hashes or (given and given != hashes[full]):
            hashes[full] = check_image(full, sha256=given, verify=reading.verify)
        refs.append(ImageRef(path=full, sha256=hashes[full]))
    try:
        return Problem.model_validate({**fields, "images": tuple(refs), "split": reading.split})
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "row"
        raise RowError(field, first["msg"], value=first["input"], remedy="see tools/records.py") from error


def _parse_errata(row: dict[str, Any], images: Images) -> dict[str, Any]:
    """Rows are Problem records; a picture may be a bare path, and sha256, scoring and split may be left
    out.
    """
    del images
    fields = dict(row)
    fields["id"] = require_text(row, "id")
    fields["question"] = require_text(row, "question")
    fields["choices"] = choices = check_choices(row.get("choices") or ())
    fields["target"] = resolve_target(row.get("target"), choices, field="target")
    fields.setdefault("scoring", "choice" if choices else "exact")
    if (fields["scoring"] == "choice") != bool(choices):
        remedy = "choice goes with choices, the others with none"
        raise RowError("scoring", "does not fit the choices", value=fields["scoring"], remedy=remedy)
    pictures = row.get("images") or ()
    if not isinstance(pictures, (list, tuple)):
        raise RowError("images", "not a list", value=pictures, remedy='write [{"path": "images/a.png"}]')
    fields["images"] = [{"path": p} if isinstance(p, str) else p for p in pictures]
    for picture in fields["images"]:
        if not isinstance(picture, dict) or not isinstance(picture.get("path"), str):
            raise RowError("images", "a picture without a path", value=picture, remedy='give it a "path"')
    return fields


def _parse_scienceqa(row: dict[str, Any], images: Images) -> dict[str, Any]:
    """ScienceQA (Lu et al. 2022) as packed: context goes before the question, skill is upstream's or
    inferred.
    """
    if row.get("n_choice_images_upstream"):
        raise SkipRow("choices are pictures")
    skill = row.get("skill") or row.get("skill_inferred") or row.get("topic") or row.get("topic_inferred")
    source = next((k for k in ("skill", "skill_inferred", "topic", "topic_inferred") if row.get(k)), "none")
    question = require_text(row, "question")
    context = str(row.get("context") or "").strip()
    fields = _with_answer(row, question=f"{context}\n{question}" if context else question, gold="answer_letter")
    absent = not row.get("image") and bool(row.get("has_image_upstream"))
    kept = {k: row[k] for k in ("pid", "subject", "category", "grade", "topic") if row.get(k)}
    return _with_picture(fields, row, images=images, absent=absent) | {
        "skills": (skill,) if skill else (),
        "metadata": {**kept, "skill_source": source, **({"picture_absent": True} if absent else {})},
    }


def _parse_support(row: dict[str, Any], images: Images) -> dict[str, Any]:
    """The supporting dataset: several sources; benchmarks are never trained on; skills may be empty."""
    if row.get("benchmark_only"):
        raise SkipRow("benchmark only: not for training")
    fields = _with_answer(row, question=require_text(row, "question"), gold="answer_text")
    elsewhere = ("caption", "coco_image", "upstream_image", "upstream_images")
    absent = not row.get("image") and any(row.get(k) for k in elsewhere)
    kept = {k: row[k] for k in ("source", "topic", "license") if row.get(k)}
    extra = {"upstream_split": row["split"]} if row.get("split") else {}
    return _with_picture(fields, row, images=images, absent=absent) | {
        "skills": tuple(s for s in row.get("skills") or () if str(s).strip()),
        "metadata": {
            **kept,
            **extra,
            "skill_source": row.get("skill_source") or "none",
            **({"picture_absent": True} if absent else {}),
        },
    }


def _with_answer(row: dict[str, Any], *, question: str, gold: str) -> dict[str, Any]:
    choices = check_choices(row.get("choices") or ())
    target = resolve_target(row.get("answer"), choices, field="answer")
    text = choices[ord(target) - ord("A")] if choices else target
    expected = target if gold == "answer_letter" else text
    if row.get(gold) and " ".join(str(row[gold]).split()) != expected:
        raise RowError(gold, "does not agree with answer", value=row[gold], remedy="mend one of the two")
    return {
        "id": require_text(row, "id"),
        "question": question,
        "choices": choices,
        "target": target,
        "rationale": str(row.get("rationale") or "").strip(),
        "scoring": "choice" if choices else "exact",
    }


def _with_picture(fields: dict[str, Any], row: dict[str, Any], *, images: Images, absent: bool) -> dict[str, Any]:
    if absent and images != "any":
        raise SkipRow("picture is not in the data folder")
    return {**fields, "images": [{"path": row["image"]}] if row.get("image") else []}


def _each_split(name: str) -> dict[Split, str]:
    return {split: name.format(split=split) for split in get_args(Split)}


FORMATS: dict[str, Format] = {
    "errata": Format(_parse_errata, _each_split("{split}.jsonl"), 0, "any", 0.0),
    "scienceqa": Format(
        _parse_scienceqa,
        {"pool": "train.jsonl", "diagnosis": "val.jsonl", "gate": "val.jsonl", "test": "test.jsonl"},
        0,
        "required",
        0.02,
    ),
    "support_corpus": Format(_parse_support, _each_split("support_corpus.jsonl.gz"), 1, "any", 0.02),
}
