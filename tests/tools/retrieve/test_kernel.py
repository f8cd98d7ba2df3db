"""The search in C gives the very lists of the search in numpy."""

from __future__ import annotations

import random
from itertools import pairwise
from pathlib import Path

import pytest

from errata.tools.retrieve.kernel import load_kernel
from errata.tools.retrieve.lexical import SkillIndex
from errata.tools.retrieve.segment import make_segment

WORDS = [f"w{i}" for i in range(60)]
SHARES = [1 / (i + 1) for i in range(60)]


@pytest.fixture(autouse=True)
def _with_compiler(tmp_path_factory: pytest.TempPathFactory) -> None:
    if load_kernel(tmp_path_factory.getbasetemp() / "kernel") is None:
        pytest.skip("no C compiler")


def draw_samples(seed: int, count: int) -> list[tuple[str, list[str], list[str]]]:
    draw = random.Random(seed)
    skills = [" ".join(draw.choices(WORDS, SHARES, k=draw.choice((1, 2, 3, 5, 9)))) for _ in range(200)]
    popular = [1 / (i + 1) for i in range(200)]
    return [
        (f"s{name}", draw.choices(skills, popular, k=draw.randint(0, 5)), [draw.choice("abc")])
        for name in draw.sample(range(10**6), count)
    ]


@pytest.mark.parametrize("seed", range(4))
def test_both_searches_give_the_same(seed: int) -> None:
    samples = draw_samples(seed, 12_000)
    cuts = [0, 9000, 9001, 12_000]
    segments = [make_segment(samples[a:b], fields=["letter"]) for a, b in pairwise(cuts)]
    plain, compiled = SkillIndex(segments, compiled=False), SkillIndex(segments)
    draw = random.Random(seed)
    queries = [" ".join(draw.choices([*WORDS, "unknown"], k=draw.choice((1, 2, 3, 6, 12)))) for _ in range(25)]
    queries += ["", "unknown", "w0", "w0 w0 w1", "w59 w58"]
    for k in (0, 1, 7, 300, 12_001):
        assert compiled.search_all(queries, k) == plain.search_all(queries, k)
    assert compiled.search_all(queries, 50, where={"letter": ["b"]}) == plain.search_all(
        queries, 50, where={"letter": ["b"]}
    )


def test_counts_beyond_two_bytes_and_distant_rows() -> None:
    rare = {f"r{i:07d}": ["rare word"] for i in (0, 69_000, 139_999)}
    samples = (
        {f"r{i:07d}": ["plain thing"] for i in range(140_000)} | rare | {"long": ["red " * 70_000], "one": ["red"]}
    )
    segment = make_segment((name, skills, ()) for name, skills in samples.items())
    assert len(segment.light.rows)
    plain, compiled = SkillIndex([segment], compiled=False), SkillIndex([segment])
    queries = ["rare", "red", "red rare thing", "plain"]
    assert compiled.search_all(queries, 9) == plain.search_all(queries, 9)
    assert [hit.sample_id for hit in compiled.search("rare", 9)] == sorted(rare)


def test_what_is_asked_together_is_answered_as_alone() -> None:
    index = SkillIndex([make_segment(draw_samples(0, 3000), fields=["letter"])])
    queries = ["w0 w3", "w9", "w1 w2 w4"]
    assert index.search_all(queries, 20) == [index.search(query, 20) for query in queries]
    assert index.search_all([], 20) == []


def test_a_folder_that_cannot_be_written_means_no_kernel(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert load_kernel(tmp_path / "file") is None


def test_the_compiled_search_is_kept(tmp_path: Path) -> None:
    assert load_kernel(tmp_path) is not None
    (kept,) = tmp_path.iterdir()
    changed = kept.stat().st_mtime_ns
    load_kernel.cache_clear()
    assert load_kernel(tmp_path) is not None
    assert kept.stat().st_mtime_ns == changed
