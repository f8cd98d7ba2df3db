"""BM25 against an independent, slow and obvious one."""

from __future__ import annotations

import math
import random
import re
import time

import pytest

from errata.tools.retrieve.lexical import SkillIndex

WORDS = [
    "count",
    "the",
    "red",
    "blue",
    "circles",
    "square",
    "left",
    "above",
    "row",
    "of",
    "in",
    "mix",
    "colour",
    "pole",
    "magnets",
    "identify",
]


def naive_bm25(samples: dict[str, list[str]], query: str) -> list[tuple[str, float]]:
    documents = {name: re.findall(r"\w+", " ".join(skills).lower()) for name, skills in samples.items()}
    mean = sum(len(d) for d in documents.values()) / len(documents)
    scores = {}
    for name, document in documents.items():
        score = 0.0
        for word in re.findall(r"\w+", query.lower()):
            holding = sum(word in d for d in documents.values())
            idf = math.log(1 + (len(documents) - holding + 0.5) / (holding + 0.5))
            f = document.count(word)
            score += idf * f * 2.5 / (f + 1.5 * (1 - 0.75 + 0.75 * len(document) / mean))
        if score > 0:
            scores[name] = round(score, 9)
    return sorted(scores.items(), key=lambda item: (-item[1], item[0]))


@pytest.mark.parametrize("seed", range(30))
def test_equals_the_naive_one_ties_included(seed: int) -> None:
    draw = random.Random(seed)
    skills = [" ".join(draw.choices(WORDS, k=draw.randint(1, 5))) for _ in range(12)]
    samples = {f"s{draw.random():.9f}": draw.choices(skills, k=draw.randint(0, 3)) for _ in range(120)}
    samples["none"] = []
    index = SkillIndex.build(samples)
    for query in [*draw.choices(skills, k=5), "red RED blue", "unknown", "", "red unknown"]:
        expected = naive_bm25(samples, query)
        hits = index.search(query, 1000)
        assert [h.sample_id for h in hits] == [name for name, _ in expected]
        assert [h.score for h in hits] == pytest.approx([score for _, score in expected], abs=2e-9)
        assert index.search(query, 7) == hits[:7]


def test_a_skill_that_every_sample_needs_still_scores_above_zero() -> None:
    hits = SkillIndex.build({"b": ["count"], "a": ["count"]}).search("count", 9)
    assert [h.sample_id for h in hits] == ["a", "b"]
    assert hits[0].score == hits[1].score > 0


def test_nothing_in_gives_nothing_out() -> None:
    assert SkillIndex.build({}).search("count", 5) == []
    assert SkillIndex.build({"a": [], "b": ["--"]}).search("count", 5) == []
    assert SkillIndex.build({"a": ["count"]}).search("count", 0) == []


def test_order_of_samples_does_not_matter() -> None:
    samples = {"b": ["red row", "mix"], "a": ["red"], "c": ["mix red"]}
    turned = dict(reversed(samples.items()))
    assert SkillIndex.build(samples).search("red mix", 9) == SkillIndex.build(turned).search("red mix", 9)


def test_twenty_thousand_samples_are_indexed_in_well_under_a_second() -> None:
    draw = random.Random(0)
    skills = [f"{a} {b} {c}" for a in WORDS for b in WORDS[:4] for c in WORDS[:2]]
    samples = {f"s{i}": draw.choices(skills, k=4) for i in range(20_000)}
    start = time.process_time()
    index = SkillIndex.build(samples)
    built = time.process_time() - start
    assert len(index.search("red pole", 1500)) == 1500
    assert built < 2
