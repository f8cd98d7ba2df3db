"""What is in a dataset: skills, sources, answers, sizes of pictures, lengths of texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from errata.tools.data.chat import render_turns
from errata.tools.errors import OperatorError
from errata.tools.records import Problem, Record

SOURCES = ("source", "subject", "category", "dataset", "route")
"""Fields of the metadata that say where a problem comes from; the first that is there counts."""


class Spread(Record):
    """Five points of a distribution: smallest, lower quartile, median, upper quartile, largest."""

    low: float
    quarter: float
    median: float
    three_quarters: float
    high: float


class DatasetStats(Record):
    """Counts are by problem; most frequent first, ties by name."""

    problems: int
    skills: dict[str, int]
    """Problems that carry each skill; one with several counts for each."""
    without_skill: int
    sources: dict[str, int]
    scoring: dict[str, int]
    choices: dict[str, int]
    """Problems by number of choices; `0` is free-form."""
    answers: dict[str, int]
    """Letters of the right answers: a letter far above the others can be learned without looking."""
    with_rationale: int
    pictures_per_problem: dict[str, int]
    distinct_pictures: int
    widths: Spread | None
    heights: Spread | None
    """Pixels, over distinct pictures; None without pictures."""
    unit: str
    """What lengths are counted in: `words`, or `tokens` of the tokenizer that was given."""
    question_length: Spread
    answer_length: Spread
    """Of question with choices, and of rationale with answer, as they are written for training."""


def describe_dataset(problems: Sequence[Problem], *, tokenizer: Path | None = None) -> DatasetStats:
    """Pictures are opened, not decoded. Raises OperatorError for an empty dataset or an unknown tokenizer."""
    if not problems:
        raise OperatorError("no problems to describe", where="data", remedy="see: errata data check")
    unit, count = ("words", _count_words) if tokenizer is None else ("tokens", load_counter(tokenizer))
    sizes = measure_pictures(problems)
    turns = [render_turns(problem) for problem in problems]
    return DatasetStats(
        problems=len(problems),
        skills=_count(skill for p in problems for skill in p.skills),
        without_skill=sum(not p.skills for p in problems),
        sources=_count(_source(p) for p in problems),
        scoring=_count(p.scoring for p in problems),
        choices=_count(str(len(p.choices)) for p in problems),
        answers=_count(p.target for p in problems if p.choices),
        with_rationale=sum(bool(p.rationale) for p in problems),
        pictures_per_problem=_count(str(len(p.images)) for p in problems),
        distinct_pictures=len(sizes),
        widths=spread_of([width for width, _ in sizes]) if sizes else None,
        heights=spread_of([height for _, height in sizes]) if sizes else None,
        unit=unit,
        question_length=spread_of([count(question) for question, _ in turns]),
        answer_length=spread_of([count(answer) for _, answer in turns]),
    )


def _count(values: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(values).items(), key=lambda item: (-item[1], item[0])))


def _source(problem: Problem) -> str:
    found = next((problem.metadata[key] for key in SOURCES if problem.metadata.get(key)), None)
    return str(found) if found is not None else "not given"


def _count_words(text: str) -> int:
    return len(text.split())


def load_counter(folder: Path) -> Callable[[str], int]:
    """A function from a text to its number of tokens; raises OperatorError."""
    if not folder.is_dir():
        remedy = "name the folder of a model with its tokenizer"
        raise OperatorError("no such folder", where="--tokenizer", value=str(folder), remedy=remedy)
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        what = f"no tokenizer ({' '.join(str(error).split())[:120]})"
        raise OperatorError(what, where=str(folder), remedy="name the folder of a model") from error
    return lambda text: len(tokenizer(text, add_special_tokens=False)["input_ids"])


def measure_pictures(problems: Sequence[Problem]) -> list[tuple[int, int]]:
    """(width, height) in pixels of each distinct picture, in order of first use."""
    from PIL import Image

    paths = {image.sha256: image.path for problem in problems for image in problem.images}
    sizes = []
    for path in paths.values():
        try:
            with Image.open(path) as image:
                sizes.append(image.size)
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            remedy = "see: errata data check"
            raise OperatorError("picture is corrupt", where="images", value=path, remedy=remedy) from error
    return sizes


def spread_of(values: Sequence[int]) -> Spread:
    """Quartiles by nearest rank; `values` is not empty."""
    ordered = sorted(values)
    points = [ordered[round(q * (len(ordered) - 1) / 4)] for q in range(5)]
    return Spread(**dict(zip(Spread.model_fields, map(float, points), strict=True)))
