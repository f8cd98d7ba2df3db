"""A question is a small program of skill calls; the question's words and the program determine each other.

Every family of questions has a template with slots. From the slots follows the program, and from the words of a
question the slots can be read back, so that a reader of the text alone (the embedded teacher) knows the program too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

from errata.tools.world.scene import CELLS, COLOURS, LINES, POLES, SHAPES, SIZES, Scene, line_cells
from errata.tools.world.skills import NUMBERS, SECONDARIES, SKILLS, YES_NO

Slots = Mapping[str, str]


@dataclass(frozen=True)
class Call:
    """One skill applied to words or to earlier results; `#2` means the result of call 2."""

    skill: str
    args: tuple[str, ...]


def _fill(arg: str, results: list[str]) -> str:
    """`#0 star` with results ("red", ...) is `red star`."""
    return " ".join(results[int(word[1:])] if word.startswith("#") else word for word in arg.split(" "))


@dataclass(frozen=True)
class Program:
    """Calls in order; the answer is the named results joined by ` and `."""

    calls: tuple[Call, ...]
    answer: tuple[int, ...]

    def inputs(self, index: int, results: list[str]) -> tuple[str, ...]:
        """The arguments of one call with references filled in."""
        return tuple(_fill(arg, results) for arg in self.calls[index].args)

    def run(self, scene: Scene, given: Mapping[int, str] | None = None) -> list[str] | None:
        """Results of all calls, those in `given` taken as they are; None where a call is ill-posed."""
        results: list[str] = []
        for index, call in enumerate(self.calls):
            if given and index in given:
                results.append(given[index])
                continue
            value = SKILLS[call.skill].evaluate(scene, self.inputs(index, results))
            if value is None:
                return None
            results.append(value)
        return results

    def read_answer(self, results: list[str]) -> str:
        """The answer in words."""
        return " and ".join(results[i] for i in self.answer)

    def explain(self, results: list[str]) -> list[str]:
        """One sentence a call."""
        return [SKILLS[c.skill].state(self.inputs(i, results), results[i]) for i, c in enumerate(self.calls)]


@dataclass(frozen=True)
class Family:
    """All questions of one form."""

    name: str
    focus: str
    """The skill that the question is about."""
    template: str
    build: Callable[[Slots], Program]
    answers: tuple[str, ...]
    """What the answer can be; both options are drawn from it."""

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """Reads a question of this family."""
        text = re.escape(self.template)
        for slot, values in SLOTS.items():
            text = text.replace(re.escape("{" + slot + "}"), f"(?P<{slot}>{'|'.join(values)})")
        return re.compile(text)

    def ask(self, slots: Slots) -> str:
        """The question in words."""
        return self.template.format(**slots)


LOOKS = tuple(f"{c} {s}" for c in COLOURS for s in SHAPES)
SLOTS: dict[str, tuple[str, ...]] = {
    "cell": CELLS,
    "other": CELLS,
    "line": LINES,
    "look": LOOKS,
    "look2": LOOKS,
    "shape": SHAPES,
    "colour": COLOURS,
    "colour2": COLOURS,
    "lead": ("Are there", "Do you see", "Can one find", "Does it show"),
    "odd": ("odd one out", "exception", "outlier", "misfit", "stranger"),
    "next": ("comes next", "follows", "is next", "continues it", "goes on"),
    "most": ("most common", "most frequent", "main", "prevailing", "leading"),
}


def _reads(skill: str, line: str) -> tuple[Call, ...]:
    return tuple(Call(skill, (cell,)) for cell in line_cells(line))


def _odd(line: str, skill: str) -> tuple[Call, ...]:
    return (*_reads(skill, line), Call("odd_one_out", ("#0", "#1", "#2", "#3", *line_cells(line))))


def _ends(*calls: Call, answer: tuple[int, ...] | None = None) -> Program:
    return Program(calls, answer or (len(calls) - 1,))


def _pairs(values: tuple[str, ...], *, same: bool = False) -> tuple[str, ...]:
    return tuple(f"{a} and {b}" for a in values for b in values if same or a != b)


FOUR = ("#0", "#1", "#2", "#3")

FAMILIES: dict[str, Family] = {
    f.name: f
    for f in (
        Family(
            "colours_at",
            "read_colour",
            "Which colour are cells {cell} and {other}?",
            lambda s: _ends(Call("read_colour", (s["cell"],)), Call("read_colour", (s["other"],)), answer=(0, 1)),
            _pairs(COLOURS),
        ),
        Family(
            "shapes_at",
            "read_shape",
            "Which shapes are in cells {cell} and {other}?",
            lambda s: _ends(Call("read_shape", (s["cell"],)), Call("read_shape", (s["other"],)), answer=(0, 1)),
            _pairs(SHAPES),
        ),
        Family(
            "sizes_at",
            "read_size",
            "What size are cells {cell} and {other}?",
            lambda s: _ends(Call("read_size", (s["cell"],)), Call("read_size", (s["other"],)), answer=(0, 1)),
            _pairs(SIZES, same=True),
        ),
        Family(
            "poles_at",
            "read_pole",
            "Where do cells {cell} and {other} point?",
            lambda s: _ends(Call("read_pole", (s["cell"],)), Call("read_pole", (s["other"],)), answer=(0, 1)),
            _pairs(POLES, same=True),
        ),
        Family(
            "place_of",
            "find_position",
            "Where is the {shape} with the colour of cell {cell}?",
            lambda s: _ends(Call("read_colour", (s["cell"],)), Call("find_position", ("#0 " + s["shape"],))),
            CELLS,
        ),
        Family(
            "count_colour",
            "count",
            "How many shapes have the colour of cell {cell}?",
            lambda s: _ends(Call("read_colour", (s["cell"],)), Call("count", ("#0",))),
            NUMBERS[1:7],
        ),
        Family(
            "left_of",
            "left_of",
            "Is the {look} left of the {look2}?",
            lambda s: _ends(
                Call("find_position", (s["look"],)),
                Call("find_position", (s["look2"],)),
                Call("left_of", ("#0", "#1")),
            ),
            YES_NO,
        ),
        Family(
            "above",
            "above",
            "Is the {look} above the {look2}?",
            lambda s: _ends(
                Call("find_position", (s["look"],)),
                Call("find_position", (s["look2"],)),
                Call("above", ("#0", "#1")),
            ),
            YES_NO,
        ),
        Family(
            "majority",
            "majority",
            "Which is the {most} colour of {line}?",
            lambda s: _ends(*_reads("read_colour", s["line"]), Call("majority", FOUR)),
            COLOURS,
        ),
        Family(
            "alternation",
            "alternation",
            "The colours of {line} alternate. Which {next}?",
            lambda s: _ends(*_reads("read_colour", s["line"]), Call("alternation", FOUR)),
            COLOURS,
        ),
        Family(
            "more_or_fewer",
            "compare_counts",
            "{lead} more or fewer {colour} shapes than {colour2} shapes?",
            lambda s: _ends(
                Call("count", (s["colour"],)),
                Call("count", (s["colour2"],)),
                Call("compare_counts", ("#0", "#1")),
            ),
            ("more", "fewer"),
        ),
        Family(
            "progression",
            "progression",
            "The shapes of {line} are a progression. Which {next}?",
            lambda s: _ends(*_reads("read_shape", s["line"]), Call("progression", FOUR)),
            SHAPES,
        ),
        Family(
            "odd_colour",
            "odd_one_out",
            "Which cell of {line} is the {odd} by colour?",
            lambda s: _ends(*_odd(s["line"], "read_colour")),
            CELLS,
        ),
        Family(
            "odd_shape",
            "odd_one_out",
            "Which cell of {line} is the {odd} by shape?",
            lambda s: _ends(*_odd(s["line"], "read_shape")),
            CELLS,
        ),
        Family(
            "mix_cells",
            "mix",
            "Which colour do cells {cell} and {other} mix to?",
            lambda s: _ends(
                Call("read_colour", (s["cell"],)),
                Call("read_colour", (s["other"],)),
                Call("mix", ("#0", "#1")),
            ),
            SECONDARIES,
        ),
        Family(
            "mix_majority",
            "mix",
            "Which colour do cell {cell} and the {most} colour of {line} mix to?",
            lambda s: _ends(
                *_reads("read_colour", s["line"]),
                Call("majority", FOUR),
                Call("read_colour", (s["cell"],)),
                Call("mix", ("#4", "#5")),
            ),
            SECONDARIES,
        ),
        Family(
            "poles_cells",
            "poles",
            "Do cells {cell} and {other} attract or repel?",
            lambda s: _ends(
                Call("read_pole", (s["cell"],)), Call("read_pole", (s["other"],)), Call("poles", ("#0", "#1"))
            ),
            ("attract", "repel"),
        ),
        Family(
            "poles_odd",
            "odd_one_out",
            "Do cell {cell} and the {odd} by colour of {line} attract or repel?",
            lambda s: _ends(
                *_odd(s["line"], "read_colour"),
                Call("read_pole", ("#4",)),
                Call("read_pole", (s["cell"],)),
                Call("poles", ("#5", "#6")),
            ),
            ("attract", "repel"),
        ),
        Family(
            "mirror_colour",
            "reflection",
            "What colour is the mirror cell of {cell}?",
            lambda s: _ends(Call("reflection", (s["cell"],)), Call("read_colour", ("#0",))),
            COLOURS,
        ),
        Family(
            "mirror_shape",
            "reflection",
            "What shape is in the mirror cell of {cell}?",
            lambda s: _ends(Call("reflection", (s["cell"],)), Call("read_shape", ("#0",))),
            SHAPES,
        ),
    )
}


def read_question(text: str) -> tuple[Family, Program] | None:
    """The family and program of a question's words; None for a question that is not of this world."""
    words = " ".join(text.split())
    for family in FAMILIES.values():
        if match := family.pattern.fullmatch(words):
            return family, family.build(match.groupdict())
    return None
