"""Rationales, questions about the picture, and the rows that hold them."""

from __future__ import annotations

import re

import pytest

from errata.tools.data.check import check_problem
from errata.tools.evaluate.answers import parse_answer
from errata.tools.records import ImageRef, Problem
from errata.tools.synthesize.matrices.generate import Matrix, make_matrix
from errata.tools.synthesize.matrices.layout import TYPES
from errata.tools.synthesize.matrices.perception import ask_matrix, measure_grid_order, name_panel
from errata.tools.synthesize.matrices.problems import make_problems, write_symbols
from errata.tools.synthesize.matrices.rules import KINDS
from errata.tools.synthesize.matrices.settings import MatrixSettings
from errata.tools.synthesize.matrices.solve import value_of
from errata.tools.synthesize.matrices.thought import add_prefix, explain_matrix, read_prefix, word_rule
from errata.tools.synthesize.matrices.wordings import RULES
from errata.tools.synthesize.matrices.words import name_full, name_place

SETTINGS = MatrixSettings(number=1, seed=6, fine=8, coarse=4, rules=2)
IMAGE = ImageRef(path="images/000000.png", sha256="0" * 64)


def make(number: int, **knobs: object) -> list[Matrix]:
    settings = SETTINGS.model_copy(update=knobs)
    return [make_matrix(i, settings=settings) for i in range(number)]


@pytest.mark.parametrize("kind", KINDS)
def test_each_rule_has_eight_wordings_or_more_that_name_attribute_and_value(kind: str) -> None:
    found = 0
    for matrix in make(70):
        for governed in matrix.rules:
            if governed.rule.kind != kind:
                continue
            component = matrix.configuration.components[governed.component]
            value = name_full(governed.attribute, governed.rows[-1][-1], component)
            texts = {word_rule(governed, matrix, wording=i) for i in range(len(RULES[governed.rule.kind]))}
            assert len(texts) >= 8
            nouns = {"position": "places", "number": "objects", "type": "shape"}
            noun = nouns.get(governed.attribute, governed.attribute)
            for text in texts:
                assert value in text
                assert noun in text.lower()
                assert text.endswith(".")
                assert text[0].isupper()
                assert not re.search(r"[{}]|\.\.|  |,,", text)
            found += 1
    assert found > 5


def test_the_rationale_leads_to_the_answer() -> None:
    for matrix in make(70):
        text = explain_matrix(matrix, prefix="regular")
        assert text.startswith("This is a regular puzzle. ")
        lists = re.findall(r"fits in ([A-H, and]+)\.", text)
        left = set("ABCDEFGH")
        for letters in lists:
            assert len(re.findall(r"\b[A-H]\b", letters)) == 4
            left &= set(re.findall(r"\b[A-H]\b", letters))
        assert len(lists) == 3
        assert left == {"ABCDEFGH"[matrix.answer]}
        seen = [text.index(part) for part in ("row", "fits in")]
        assert seen == sorted(seen)
        # The answer sentence belongs to the format of the row, not to the rationale.
        assert parse_answer(text, letters=tuple("ABCDEFGH")).answer is None


def test_wordings_vary_between_matrices_and_not_between_calls() -> None:
    matrices = make(30, configurations=("centre",))
    texts = [explain_matrix(m, prefix="none") for m in matrices]
    assert texts == [explain_matrix(m, prefix="none") for m in matrices]
    assert len({text.split(" ")[0] for text in texts}) > 2


def test_noise_is_mentioned() -> None:
    matrix = next(m for m in make(14, noise=1.0) if m.noise)
    text = explain_matrix(matrix, prefix="none")
    assert re.search("follows no rule|There is no rule|can be ignored", text)


def test_prefixes_are_put_read_and_replaced() -> None:
    assert read_prefix("Row 1") == "none"
    regular = add_prefix("Row 1.", "regular")
    assert (regular, read_prefix(regular)) == ("This is a regular puzzle. Row 1.", "regular")
    irregular = add_prefix(regular, "irregular")
    assert (irregular, read_prefix(irregular)) == ("This is an irregular puzzle. Row 1.", "irregular")
    assert add_prefix(irregular, "none") == "Row 1."


def find_truth(matrix: Matrix, question: str) -> str:
    """The answer to a fine question, from its words and the panels alone."""
    where = re.search(r"row (\d), column (\d)|candidate ([A-H])", question)
    assert where
    row, column, letter = where.groups()
    panel = matrix.candidates["ABCDEFGH".index(letter)] if letter else matrix.panels[3 * int(row) + int(column) - 4]
    names = [component.name for component in matrix.configuration.components]
    named = [i for i, name in enumerate(names) if name and re.search(rf"\b{name} (object|grid)", question)]
    number = named[0] if named else 0
    state = panel[number]
    if question.startswith("Is there"):
        slots = len(matrix.configuration.components[number].slots)
        slot = next(s for s in range(slots) if f" {name_place(s, slots)} place" in question)
        return "yes" if state.mask >> slot & 1 else "no"
    if "number of" in question:
        return str(state.mask.bit_count())
    for attribute in ("size", "colour"):
        if f"the {attribute} of" in question:
            return str(value_of(state, attribute))  # type: ignore[arg-type]
    value = value_of(state, "type")
    assert value is not None
    return TYPES[value - 1]


def test_fine_questions_are_true_and_different() -> None:
    kinds = set()
    for matrix in make(70):
        fine = [a for a in ask_matrix(matrix, settings=SETTINGS) if a.level == "fine"]
        assert len(fine) == len({a.question for a in fine}) == 8
        for asked in fine:
            assert asked.answer == find_truth(matrix, asked.question)
            assert asked.options.count(asked.answer) == 1
            assert name_panel(asked.place, 3) in asked.question
            kinds.add(asked.skill)
    assert len(kinds) == 5


def test_coarse_questions_are_true_and_come_first() -> None:
    for matrix in make(14, columns=4):
        asked = ask_matrix(matrix, settings=SETTINGS)
        assert [a.level for a in asked] == ["coarse"] * 4 + ["fine"] * 8 + ["rule"] * 2
        assert [a.answer for a in asked[:4]] == ["12", "4", matrix.configuration.words, "8"]
        assert all(int(option) % 3 == 0 for option in asked[0].options)


def test_rule_questions_are_true() -> None:
    for matrix in make(70):
        for asked in ask_matrix(matrix, settings=SETTINGS)[-2:]:
            assert len(asked.options) == len(set(asked.options)) == 4
            (governed,) = [g for g in matrix.rules if asked.question.startswith(
                f"What does {_subject(matrix, g.component, g.attribute)} do"
            )]  # fmt: skip
            words = {"constant": "the same", "distribute": "same 3 values", "arithmetic": "in the last panel"}
            assert words.get(governed.rule.kind, f"by {abs(governed.rule.step)}") in asked.answer


def _subject(matrix: Matrix, number: int, attribute: str) -> str:
    component = matrix.configuration.components[number]
    name = f"{component.name} " if component.name else ""
    if attribute in ("number", "position"):
        return f"the {'number of' if attribute == 'number' else 'set of filled'} {name}" + (
            "objects" if attribute == "number" else "places"
        )
    objects = "objects" if len(component.slots) > 1 else "object"
    return f"the {'shape' if attribute == 'type' else attribute} of the {name}{objects}"


def test_options_do_not_tell_the_answer() -> None:
    """The right number is as often the least of its options as chance has it."""
    least = total = 0
    for matrix in make(210, configurations=("centre", "left-right")):
        for asked in ask_matrix(matrix, settings=SETTINGS):
            if asked.level == "fine" and "colour" in asked.skill:
                total += 1
                least += int(asked.answer) == min(map(int, asked.options))
    assert total > 300
    assert 0.15 < least / total < 0.42


def test_fine_questions_are_shuffled_and_the_trap_is_found() -> None:
    def problems(order: str) -> list[Problem]:
        settings = SETTINGS.model_copy(update={"order": order})
        return [p for m in make(40) for p in make_problems(m, settings=settings, image=IMAGE)[1]]

    shuffled, grid = problems("shuffled"), problems("grid")
    assert measure_grid_order(shuffled) < 0.1
    assert measure_grid_order(grid) == 1.0
    assert measure_grid_order([p for p in grid if p.metadata["level"] != "fine"]) == 0.0
    assert {p.question for p in shuffled} == {p.question for p in grid}
    few = [p for p in grid if p.metadata["level"] == "fine" and p.metadata["order"] < 4 + 3]
    assert measure_grid_order(few) == 1.0
    assert measure_grid_order([p for p in few if p.metadata["order"] < 4 + 2]) == 0.0


def test_rows_are_good_problems() -> None:
    for matrix in make(28):
        whole, questions = make_problems(matrix, settings=SETTINGS, image=IMAGE)
        for problem in (whole, *questions):
            check_problem(problem)
        assert whole.target_text == f"candidate {'ABCDEFGH'[matrix.answer]}"
        assert len(whole.skills) == len({(g.rule.kind, g.attribute) for g in matrix.rules})
        assert [p.metadata["matrix"] for p in questions] == [whole.id] * 14
        assert [p.metadata["order"] for p in questions] == list(range(14))
        assert len({p.id for p in questions}) == 14


def test_symbols_say_what_the_panels_hold() -> None:
    settings = SETTINGS.model_copy(update={"kind": "symbols", "confounders": 0})
    matrix = make(1, configurations=("centre",))[0]
    lines = write_symbols(matrix, settings=settings).split("\n")
    assert len(lines) == 11
    assert lines[2].endswith(" | ?")
    for line, panel in zip(lines[3:], matrix.candidates, strict=True):
        kind, size, colour = panel[0].looks[0]
        assert line.split(": ")[1] == f"{TYPES[kind - 1]}, size {size}, colour {colour}"
    whole, questions = make_problems(matrix, settings=settings, image=None)
    assert (whole.images, questions) == ((), [])
    check_problem(whole)


def test_uncertain_symbols_are_distributions_that_favour_the_truth() -> None:
    settings = SETTINGS.model_copy(update={"kind": "symbols", "confounders": 2, "uncertainty": 0.8})
    lines = [
        pair
        for matrix in make(20, configurations=("centre",))
        for pair in zip(write_symbols(matrix, settings=settings).split("\n")[3:], matrix.candidates, strict=True)
    ]
    beside = set()
    for line, panel in lines:
        _, size, colour = panel[0].looks[0]
        for name, value in (("size", size), ("colour", colour)):
            (text,) = re.findall(rf"{name} ([^,]+)", line)
            shares = {int(v): float(p) for v, p in re.findall(r"(\d+) \(([\d.]+)\)", text)}
            assert max(shares, key=lambda v: shares[v]) == value
            assert sum(shares.values()) == pytest.approx(1)
            assert set(shares) <= {value - 1, value, value + 1} - {-1, 10}
            assert shares[value] >= 0.6
            beside |= {v - value for v in shares}
        assert len(re.findall(r"property \d", line)) == 2
    assert beside == {-1, 0, 1}
