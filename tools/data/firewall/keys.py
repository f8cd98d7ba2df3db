"""What two problems may share word for word or byte for byte."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

from errata.tools.records import Problem

Key = tuple[str, object]


def overlap_keys(problem: Problem, *, words_alone: bool, same: tuple[str, ...], stored: bool) -> Iterator[Key]:
    """(kind, value) of what is compared, strongest first.

    Keys of a side with a picture never meet those of one without by accident: `question.words` is stored for
    all and asked by bare samples, `question.bare` is stored by bare problems and asked by all.
    """
    yield "id", problem.id
    for image in problem.images:
        yield "image", image.sha256
    words = question_key(problem)
    if words_alone:
        yield "question", words
    else:
        yield "question", (words, tuple(image.sha256 for image in problem.images))
        if stored or not problem.images:
            yield "question.words", words
        if not stored or not problem.images:
            yield "question.bare", words
    for field in same:
        value = problem.metadata.get(field)
        if value is not None:
            yield field, value if isinstance(value, str) else repr(value)


def kind_of(key: Key) -> str:
    """The rule that a key belongs to, as it stands in an `Overlap`."""
    return key[0].removesuffix(".words").removesuffix(".bare")


def question_key(problem: Problem) -> tuple[str, ...]:
    """The words of a question and its choices, without case, spacing, closing marks and the order of choices."""
    return (normalise_text(problem.question), *sorted(normalise_text(choice) for choice in problem.choices))


def normalise_text(text: str) -> str:
    """Case, width, spacing and closing marks folded."""
    folded = text if text.isascii() else unicodedata.normalize("NFKC", text)
    return " ".join(folded.casefold().split()).rstrip(" .?!:")
