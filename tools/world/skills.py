"""The sixteen skills of the embedded world.

A skill is a function from a scene and words to a word; it states its result in one sentence, and the sentence can
be read back. Perception looks at the scene; a rule looks only at its arguments.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

from errata.tools.world.scene import CELLS, COLOURS, POLES, SHAPES, SIZES, Scene, mirror_cell

NUMBERS = tuple(str(n) for n in range(17))
MIXTURES = {
    frozenset({"red", "blue"}): "purple",
    frozenset({"red", "yellow"}): "orange",
    frozenset({"blue", "yellow"}): "green",
}
PRIMARIES = ("red", "blue", "yellow")
SECONDARIES = ("purple", "orange", "green")

Words = tuple[str, ...]


@dataclass(frozen=True)
class Skill:
    """One ability that a question may need."""

    name: str
    wordings: tuple[str, ...]
    """How people and teachers word it; the first is canonical."""
    domain: tuple[str, ...]
    """All results it can have."""
    evaluate: Callable[[Scene, Words], str | None]
    """The true result, None where the question is ill-posed (two red stars, no majority)."""
    state: Callable[[Words, str], str]
    """The sentence that states a result."""
    pattern: re.Pattern[str]
    """Reads the sentence back: groups `a`, `b` for arguments, `r` for the result."""
    perception: bool


@dataclass(frozen=True)
class Claim:
    """What one sentence of a rationale states."""

    skill: str
    args: Words
    """Empty where the sentence does not repeat its arguments."""
    result: str


def _one(items: list[str]) -> str | None:
    return items[0] if len(items) == 1 else None


def _majority(args: Words) -> str | None:
    ranked = Counter(args).most_common(2)
    return None if len(ranked) > 1 and ranked[0][1] == ranked[1][1] else ranked[0][0]


def _odd(args: Words) -> str | None:
    """`args` are four values and then the four cells they stand in; three values must be equal."""
    values, cells = args[:4], args[4:]
    counts = Counter(values)
    if sorted(counts.values()) != [1, 3]:
        return None
    return cells[values.index(min(counts, key=lambda v: counts[v]))]


def _alternation(args: Words) -> str | None:
    return args[0] if args[0] == args[2] != args[1] == args[3] else None


def _progression(args: Words) -> str | None:
    places = [SHAPES.index(a) for a in args]
    if any((after - before) % len(SHAPES) != 1 for before, after in pairwise(places)):
        return None
    return SHAPES[(places[-1] + 1) % len(SHAPES)]


def _compare(args: Words) -> str | None:
    first, second = (int(a) for a in args)
    return None if first == second else ("more" if first > second else "fewer")


def _skill(
    name: str,
    wordings: str,
    domain: tuple[str, ...],
    evaluate: Callable[[Scene, Words], str | None],
    state: Callable[[Words, str], str],
    pattern: str,
    *,
    perception: bool,
) -> Skill:
    return Skill(
        name,
        tuple(w.strip() for w in wordings.split("|")),
        domain,
        evaluate,
        state,
        re.compile(pattern),
        perception,
    )


_CELL, _WORD = r"[a-d][1-4]", r"[a-z]+"
_COLOUR, _SHAPE = "|".join(COLOURS), "|".join(SHAPES)
YES_NO = ("yes", "no")

SKILLS: dict[str, Skill] = {
    s.name: s
    for s in (
        _skill(
            "read_colour",
            "read the colour of a cell | recognise the colour at a position | name a cell's colour",
            COLOURS,
            lambda s, a: s.at(a[0]).colour,
            lambda a, r: f"Cell {a[0]} is {r}.",
            rf"Cell (?P<a>{_CELL}) is (?P<r>{_COLOUR})\.",
            perception=True,
        ),
        _skill(
            "read_shape",
            "read the shape in a cell | recognise the shape at a position | name a cell's shape",
            SHAPES,
            lambda s, a: s.at(a[0]).shape,
            lambda a, r: f"Cell {a[0]} is a {r}.",
            rf"Cell (?P<a>{_CELL}) is a (?P<r>{_SHAPE})\.",
            perception=True,
        ),
        _skill(
            "read_size",
            "read the size of a shape | tell small from large | judge how large a shape is",
            SIZES,
            lambda s, a: s.at(a[0]).size,
            lambda a, r: f"Cell {a[0]} is {r}.",
            rf"Cell (?P<a>{_CELL}) is (?P<r>small|large)\.",
            perception=True,
        ),
        _skill(
            "read_pole",
            "read the pole mark of a cell | identify which pole a mark shows | see where a pole mark points",
            POLES,
            lambda s, a: s.at(a[0]).pole,
            lambda a, r: f"Cell {a[0]} points {r}.",
            rf"Cell (?P<a>{_CELL}) points (?P<r>north|south)\.",
            perception=True,
        ),
        _skill(
            "find_position",
            "find the cell of a described shape | locate a shape by its looks | search the grid for a shape",
            CELLS,
            lambda s, a: _one(s.find(a[0])),
            lambda a, r: f"The {a[0]} is at {r}.",
            rf"The (?P<a>{_WORD} {_WORD}) is at (?P<r>{_CELL})\.",
            perception=True,
        ),
        _skill(
            "count",
            "count shapes of a kind | count how many shapes share an attribute | counting objects in the grid",
            NUMBERS,
            lambda s, a: str(len(s.find(a[0]))),
            lambda a, r: f"There are {r} {a[0]} shapes.",
            rf"There are (?P<r>\d+) (?P<a>{_WORD}) shapes\.",
            perception=True,
        ),
        _skill(
            "left_of",
            "decide which of two cells is to the left | compare horizontal positions | left and right relation",
            YES_NO,
            lambda _s, a: "yes" if a[0][0] < a[1][0] else "no",
            lambda a, r: f"So {a[0]} is {'left' if r == 'yes' else 'not left'} of {a[1]}.",
            rf"So (?P<a>{_CELL}) is (?P<r>left|not left) of (?P<b>{_CELL})\.",
            perception=False,
        ),
        _skill(
            "above",
            "decide which of two cells is higher | compare vertical positions | above and below relation",
            YES_NO,
            lambda _s, a: "yes" if a[0][1] < a[1][1] else "no",
            lambda a, r: f"So {a[0]} is {'above' if r == 'yes' else 'not above'} {a[1]}.",
            rf"So (?P<a>{_CELL}) is (?P<r>above|not above) (?P<b>{_CELL})\.",
            perception=False,
        ),
        _skill(
            "compare_counts",
            "compare two counts | tell whether there are more or fewer"
            " | decide which number is greater | more or fewer comparison",
            ("more", "fewer"),
            lambda _s, a: _compare(a),
            lambda a, r: f"So {a[0]} is {r} than {a[1]}.",
            r"So (?P<a>\d+) is (?P<r>more|fewer) than (?P<b>\d+)\.",
            perception=False,
        ),
        _skill(
            "alternation",
            "continue an alternating pattern | recognise alternation along a line | alternating colours in turn",
            COLOURS,
            lambda _s, a: _alternation(a),
            lambda _a, r: f"The next colour in turn is {r}.",
            rf"The next colour in turn is (?P<r>{_COLOUR})\.",
            perception=False,
        ),
        _skill(
            "progression",
            "continue a progression of shapes | next shape in the order of shapes"
            " | extend a shape progression along a line",
            SHAPES,
            lambda _s, a: _progression(a),
            lambda a, r: f"The next of {a[-1]} is {r}.",
            rf"The next of (?:{_SHAPE}) is (?P<r>{_SHAPE})\.",
            perception=False,
        ),
        _skill(
            "majority",
            "find the most common colour of a line | majority colour in a row or column | most frequent colour",
            COLOURS,
            lambda _s, a: _majority(a),
            lambda _a, r: f"The most common colour is {r}.",
            rf"The most common colour is (?P<r>{_COLOUR})\.",
            perception=False,
        ),
        _skill(
            "odd_one_out",
            "find the odd one out of a line | spot the cell that differs from the others"
            " | odd one out detection | identify the odd cell",
            CELLS,
            lambda _s, a: _odd(a),
            lambda _a, r: f"The odd one is {r}.",
            rf"The odd one is (?P<r>{_CELL})\.",
            perception=False,
        ),
        _skill(
            "mix",
            "mixing two colours | know which colour two colours mix to | colour mixing rule"
            " | predict the mixed colour of two cells",
            SECONDARIES,
            lambda _s, a: MIXTURES.get(frozenset(a)),
            lambda a, r: f"Mixing {a[0]} and {a[1]} gives {r}.",
            rf"Mixing (?P<a>{_COLOUR}) and (?P<b>{_COLOUR}) gives (?P<r>{_COLOUR})\.",
            perception=False,
        ),
        _skill(
            "poles",
            "decide whether two poles attract or repel | magnetic poles attract or repel rule"
            " | attraction of magnet poles"
            " | like poles repel and unlike poles attract",
            ("attract", "repel"),
            lambda _s, a: "repel" if a[0] == a[1] else "attract",
            lambda a, r: f"Poles {a[0]} and {a[1]} {r}.",
            r"Poles (?P<a>north|south) and (?P<b>north|south) (?P<r>attract|repel)\.",
            perception=False,
        ),
        _skill(
            "reflection",
            "reflect a cell across the vertical middle | find the mirror position of a cell"
            " | mirror reflection of the grid"
            " | left-right reflection",
            CELLS,
            lambda _s, a: mirror_cell(a[0]),
            lambda a, r: f"The mirror of {a[0]} is {r}.",
            rf"The mirror of (?P<a>{_CELL}) is (?P<r>{_CELL})\.",
            perception=False,
        ),
    )
}

SKILL_OF_WORDING = {wording: skill.name for skill in SKILLS.values() for wording in skill.wordings}


def read_claim(sentence: str) -> Claim | None:
    """What a sentence states; None for a sentence that is no statement of this world."""
    text = " ".join(sentence.split())
    for skill in SKILLS.values():
        if match := skill.pattern.fullmatch(text):
            groups = match.groupdict()
            result = groups["r"]
            if skill.domain == YES_NO:
                result = "no" if result.startswith("not ") else "yes"
            return Claim(skill.name, tuple(groups[g] for g in ("a", "b") if g in groups), result)
    return None
