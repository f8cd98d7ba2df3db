"""Cells and columns as public sets have them: lists as Python prints them, numbered and lettered columns, crowds of
answers, options inside the question, answers behind a thought. docs/formats.md lists the sets.
"""

from __future__ import annotations

import ast
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from errata.tools.data.chat import split_choices
from errata.tools.data.check import RowError, check_choices
from errata.tools.data.read.questions import LETTERS
from errata.tools.evaluate.answers import parse_answer, parse_free_answer

COLUMNS = (
    *("{upper}", "choice_{lower}", "option_{lower}", "option{upper}", "choice{upper}"),
    *("option{number}", "option_{number}"),
)
"""How columns of options are named."""
NUMBERED = 20
"""Columns image_1 to image_20 are looked for."""
_GAPS = re.compile(r"""['"]\s+['"]""")
_PICTURE = re.compile(r"<image[ _]?(\d{1,2})>", re.IGNORECASE)
_OPTION = re.compile(r"(?:\A|(?<=[\s,;:]))(?:\(([A-H])\)|([A-H])[.):])\s*")
_LED = re.compile(r"(?:options?|choices?)\s*[:.]\s*", re.IGNORECASE)
_TAIL = re.compile(
    r"\s*(?:please|answer|select|choose|respond|give|output|directly|you must|only)\b[^\n]*\Z", re.IGNORECASE
)
_SPOKEN = re.compile(r"<(?:think|answer)>|</think>|\\boxed\{|\bthe answer is\b", re.IGNORECASE)


class Answered(NamedTuple):
    """An answer and what was said before it."""

    answer: Any
    rationale: str = ""
    others: tuple[str, ...] = ()
    """All answers of a crowd, the first included."""


def read_list(value: Any) -> Any:
    """A list or an object that a table holds as text, as JSON or as Python prints it; anything else as it is."""
    if not isinstance(value, str) or value.strip()[:1] not in ("[", "{", "("):
        return value
    text = value.strip()
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    if _GAPS.search(text) and "," not in text:  # as numpy prints an array: Python would join the texts
        return [a or b for a, b in re.findall(r"""'([^']*)'|"([^"]*)\"""", text)]
    try:
        found = ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return value
    return list(found) if isinstance(found, tuple) else found


def lettered_columns(row: Mapping[str, Any]) -> list[Any] | None:
    """Options in columns of their own: A, B, ...; choice_a, option_a, optionA, option1, ...; None for none."""
    for shape in COLUMNS:
        names = [shape.format(upper=x, lower=x.lower(), number=i) for i, x in enumerate(LETTERS, start=1)]
        if names[0] in row and names[1] in row:
            return [row[name] for name in names if name in row]
    return None


def numbered_pictures(row: Mapping[str, Any]) -> list[Any] | None:
    """Pictures of the columns image_1, image_2, ... in order, None in the place of an empty one; None without such."""
    for shape in ("image_{}", "image{}"):
        names = [shape.format(i) for i in range(1, NUMBERED + 1) if shape.format(i) in row]
        if names:
            found = [row[name] if row[name] not in ("", None) else None for name in names]
            while found and found[-1] is None:
                found.pop()
            return found
    return None


def name_numbered(text: str, *, count: int) -> str:
    """`<image 1>` is `image 1` within a sentence, and nothing at its ends where there is one picture."""
    for number in map(int, _PICTURE.findall(text)):
        if not 1 <= number <= count:
            what = f"<image {number}> for {count} pictures"
            raise RowError("images", what, value=text[:60], remedy="give as many pictures as the text names")
    bare = text.strip()
    marks = [found.group() for found in _PICTURE.finditer(bare)]
    if count == len(marks) == 1 and (bare.startswith(marks[0]) or bare.endswith(marks[0])):
        return _PICTURE.sub("", text).strip()
    return _PICTURE.sub(lambda mark: f"image {mark.group(1)}", text).strip()


def options_in_question(question: str, answer: Any) -> tuple[str, tuple[str, ...]]:
    """The question and the options that stand in it; none where there are none.

    Raises RowError where the answer is a letter and options are there that cannot be told apart.
    """
    text, choices = split_choices(question)
    if choices:
        return text, choices
    letter = isinstance(answer, str) and re.fullmatch(r"\(?[A-Ha-h]\)?[.):]?", answer.strip()) is not None
    found = list(_OPTION.finditer(question))
    start = _first_run(found)
    if start is None:
        return question, ()
    run = found[start:]
    pieces = [
        question[mark.end() : after.start() if after else len(question)]
        for mark, after in zip(run, [*run[1:], None], strict=True)
    ]
    pieces[-1] = _TAIL.sub("", pieces[-1].split("\n")[0] if len(run) < 2 or "\n" in pieces[-1] else pieces[-1])
    texts = [piece.strip().rstrip(",;").strip() for piece in pieces]
    head = question[: run[0].start()].strip()
    led = _LED.search(head[-12:]) is not None
    fits = letter or (isinstance(answer, str) and answer.strip() in texts)
    if not fits and not led:
        return question, ()
    if not all(texts) or len(set(texts)) < len(texts):
        if not letter:
            return question, ()
        remedy = "give the options in a column of their own (choices)"
        raise RowError("question", "holds options that cannot be told apart", value=question[-80:], remedy=remedy)
    head = re.sub(r"(?:options?|choices?)\s*[:.]?\s*\Z", "", head, flags=re.IGNORECASE).strip()
    return head, check_choices(texts)


def _first_run(found: Sequence[re.Match[str]]) -> int | None:
    """Where the marks run A, B, ... to the end; None where they do not."""
    letters = [mark.group(1) or mark.group(2) for mark in found]
    for start in range(len(letters) - 1):
        rest = letters[start:]
        if len(rest) >= 2 and rest == list(LETTERS[: len(rest)]):
            return start
    return None


def is_spoken(text: object) -> bool:
    """Whether a text holds an answer behind a thought, in a tag or a box, or says which it is."""
    return isinstance(text, str) and _SPOKEN.search(text) is not None


def read_answer(value: Any, choices: Sequence[str]) -> Answered:
    """The answer of a row: the most frequent one of a crowd, and the one behind a thought or in an answer tag."""
    value = read_list(value) if isinstance(value, str) and value.strip().startswith("[") else value
    if isinstance(value, Mapping) and "answer" in value:
        value = value["answer"]
    if isinstance(value, list):
        told = [one.get("answer") if isinstance(one, Mapping) else one for one in value]
        texts = [str(one).strip() for one in told if one is not None and str(one).strip()]
        if len(texts) != len(value) or not texts:
            raise RowError("target", "a list with an empty answer", value=value, remedy="take it out")
        counts = Counter(texts)
        best = max(texts, key=lambda text: (counts[text], -texts.index(text)))
        return Answered(best, others=tuple(texts) if len(texts) > 1 else ())
    if not isinstance(value, str) or not is_spoken(value):
        return Answered(value)
    letters = [LETTERS[i] for i in range(len(choices))]
    found = parse_answer(value, letters=letters, choices=choices) if choices else parse_free_answer(value)
    if found.answer is None:
        return Answered(value)
    return Answered(found.answer, found.rationale(value).strip())
