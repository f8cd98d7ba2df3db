"""Near-duplicate questions: reworded ones are found, siblings from a template are not, and no pair is missed."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from errata.tools.data.firewall import FirewallOptions, find_overlaps
from errata.tools.data.firewall.wording import KnownWordings, answer_group, question_words
from errata.tools.records import ImageRef, Problem


def problem(name: str, question: str, *choices: str, target: str = "A", **changes: Any) -> Problem:
    scoring = "choice" if choices else "exact"
    return Problem(id=name, question=question, choices=choices, target=target, scoring=scoring, **changes)


TOWNS = ["Paris", "Rome", "Oslo", "Bern", "Cairo", "Lima", "Quito", "Delhi", "Tokyo", "Accra"]
CAPITALS = [
    problem(f"c{i}", f"What is the capital of the land whose coast is {t} bay?", t) for i, t in enumerate(TOWNS)
]
TEST = [
    *CAPITALS,
    problem(
        "magnet", "Which end of this bar magnet will attract the north pole of a compass?", "the south pole", "none"
    ),
    problem("penguin", "Is a penguin a bird or a mammal?", "bird", "mammal"),
    problem("sum", "A farmer has 12 hens and buys 5 more. How many hens does the farmer have?", "17", "7"),
]


def near(asked: Problem, **options: Any) -> list[tuple[str, str]]:
    found = find_overlaps([asked], against={"test": TEST}, options=FirewallOptions(**options))
    return [(overlap.other, overlap.kind) for overlap in found]


def test_a_reworded_question_is_found_and_scored() -> None:
    words = "Which end of the bar magnet attracts the north pole of a compass?"
    copy = problem("p", words, "none", "the south pole", target="B")
    (found,) = find_overlaps([copy], against={"test": TEST})
    assert (found.other, found.kind) == ("magnet", "near-question")
    assert 0.75 <= found.score < 1
    assert near(copy, near=None) == []
    assert near(copy, near=0.99) == []


def test_another_answer_another_number_or_another_subject_is_another_question() -> None:
    words = "Which end of this bar magnet attracts the north pole of a compass"
    assert near(problem("p", words, "none", "the south pole", target="A")) == []
    hens = "A farmer has {} hens and buys 5 more. How many hens has the farmer?"
    assert near(problem("p", hens.format(12), "17", "7")) == [("sum", "near-question")]
    assert near(problem("p", hens.format(13), "17", "7")) == []
    assert near(problem("p", "Is a sparrow a bird or a mammal?", "bird", "mammal")) == []


def test_pictures_that_are_there_or_missing_keep_templates_apart() -> None:
    copy = problem("p", "Which end of the bar magnet attracts the north pole of a compass?", "the south pole", "none")
    assert near(copy) == [("magnet", "near-question")]
    shown = copy.model_copy(update={"images": (ImageRef(path="x.png", sha256="1"),)})
    lost = copy.model_copy(update={"metadata": {"picture_absent": True}})
    assert near(shown) == near(lost) == []
    assert near(shown, question="text") == near(lost, question="text") == [("magnet", "near-question")]


words = st.sampled_from(["red", "blue", "hen", "cow", "the", "a", "of", "map", "pole", "sum"])
questions = st.lists(st.lists(words, min_size=1, max_size=8).map(" ".join), min_size=1, max_size=12)


@given(known=questions, asked=questions, threshold=st.sampled_from([0.6, 0.75, 0.9, 1.0]))
def test_the_index_finds_what_comparing_all_pairs_finds(known: list[str], asked: list[str], threshold: float) -> None:
    protected = [Problem(id=f"k{i}", question=q, target="x", scoring="exact") for i, q in enumerate(known)]
    counts = Counter(word for p in protected for word in question_words(p))

    def total(these: frozenset[str]) -> float:
        return math.fsum(math.log(2 + (len(known) - counts[w]) / (counts[w] + 1)) for w in these)

    wordings = KnownWordings(protected, threshold=threshold)
    for text in asked:
        problem = Problem(id="p", question=text, target="x", scoring="exact")
        ours = question_words(problem)
        scores = [total(ours & question_words(p)) / total(ours | question_words(p)) for p in protected]
        likeness = wordings.nearest(problem)
        if max(scores) < threshold - 1e-9:
            assert likeness is None
        else:
            assert likeness is not None
            assert math.isclose(likeness.score, max(scores))


def test_groups_are_answer_and_numbers_and_every_script_has_words() -> None:
    asked = problem("p", "3 + 4,5 = ?", "Seven.", "8")
    assert answer_group(asked) == ("seven", ("3", "4,5"))
    assert question_words(problem("p", "磁石の北極 Ärger")) == {"磁", "石", "の", "北", "極", "ärg"}
