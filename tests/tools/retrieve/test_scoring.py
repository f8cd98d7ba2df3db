"""What is left unseen must not matter: few of many against the whole ranking, also over segments and filters."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from errata.tools.errors import OperatorError
from errata.tools.retrieve.lexical import SkillIndex
from errata.tools.retrieve.segment import make_segment

WORDS = [f"w{i}" for i in range(40)]
SHARES = [1 / (i + 1) for i in range(40)]


def draw_samples(seed: int, count: int) -> list[tuple[str, list[str], list[str]]]:
    """Zipf's law for words and skills, some skills long, some samples empty, ids in no order."""
    draw = random.Random(seed)
    skills = [" ".join(draw.choices(WORDS, SHARES, k=draw.choice((1, 2, 3, 5, 9)))) for _ in range(300)]
    names = draw.sample(range(10**6), count)
    popular = [1 / (i + 1) for i in range(300)]
    return [(f"s{name}", draw.choices(skills, popular, k=draw.randint(0, 5)), [draw.choice("abc")]) for name in names]


@pytest.mark.parametrize("seed", range(6))
def test_the_first_of_many_are_the_first_of_all(seed: int) -> None:
    samples = draw_samples(seed, 4000)
    index = SkillIndex([make_segment(samples, fields=["letter"])])
    draw = random.Random(seed)
    letters = {name: values[0] for name, _, values in samples}
    for size in (1, 2, 4, 7, 11):
        query = " ".join(draw.choices(WORDS, SHARES if size % 2 else None, k=size))
        whole = index.search(query, len(samples))
        assert [(h.score, h.sample_id) for h in whole] == sorted(
            ((h.score, h.sample_id) for h in whole), key=lambda pair: (-pair[0], pair[1])
        )
        for k in (1, 3, 20, 150):
            assert index.search(query, k) == whole[:k]
        fit = [hit for hit in whole if letters[hit.sample_id] in "ac"]
        assert index.search(query, 9, where={"letter": ["a", "c"]}) == fit[:9]


@pytest.mark.parametrize("seed", range(3))
def test_segments_answer_as_one(seed: int) -> None:
    samples = draw_samples(seed, 2500)
    one = SkillIndex([make_segment(samples, fields=["letter"])])
    cuts = [0, 1500, 1501, 2300, 2500]
    parts = SkillIndex([make_segment(samples[a:b], fields=["letter"]) for a, b in pairwise(cuts)])
    draw = random.Random(seed)
    for size in (1, 2, 3, 6):
        query = " ".join(draw.choices(WORDS, SHARES, k=size))
        for k in (1, 5, 40, 2500):
            assert parts.search(query, k) == one.search(query, k)
    name = samples[-1][0]
    assert parts.explain("w0 w1 w2", name) == one.explain("w0 w1 w2", name)
    assert parts.skills_of(name) == samples[-1][1]
    assert parts.count_skills() == one.count_skills()


def test_the_reasons_add_up_to_the_score() -> None:
    index = SkillIndex([make_segment(draw_samples(0, 500), fields=["letter"])])
    for hit in index.search("w0 w1 w1 w5", 20):
        why = index.explain("w0 w1 w1 w5", hit.sample_id)
        assert sum(match.adds for match in why) == pytest.approx(hit.score, abs=1e-8)
        assert {match.word for match in why} <= {"w0", "w1", "w5"}


def test_counts_beyond_a_byte_are_exact() -> None:
    samples = {"long": ["red " * 300], "longer": ["red " * 70000], "short": ["red"]}
    hits = SkillIndex.build(samples).search("red", 3)
    mean = 70301 / 3
    assert len(hits) == 3
    norm = 1.5 * (0.25 + 0.75 * 70000 / mean)
    ratio = (70000 / (70000 + norm)) / (1 / (1 + 1.5 * (0.25 + 0.75 / mean)))
    by_id = {h.sample_id: h.score for h in hits}
    assert by_id["longer"] / by_id["short"] == pytest.approx(ratio, rel=1e-6)


def test_an_unknown_field_is_one_line() -> None:
    index = SkillIndex([make_segment([("a", ["red"], ["x"])], fields=["letter"])])
    with pytest.raises(OperatorError, match=r"no such field to filter by \(got 'colour'\); the index keeps letter"):
        index.search("red", 1, where={"colour": ["x"]})
