"""The firewall finds what was copied, names it, and lets the rest pass."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from errata.tools.data.firewall import FirewallOptions, Overlap, check_firewall, find_overlaps
from errata.tools.data.firewall.pictures import perceptual_hash
from errata.tools.errors import OperatorError
from errata.tools.records import ImageRef, Problem

BYTES = FirewallOptions(perceptual=False)


def problem(name: str, *, sha: str = "", path: str = "x.png", **changes: Any) -> Problem:
    fields: dict[str, Any] = {
        "question": f"Question {name}?",
        "choices": ("one", "two"),
        "target": "A",
        **changes,
    }
    return Problem(id=name, images=(ImageRef(path=path, sha256=sha),) if sha else (), **fields)


def kinds(pool: list[Problem], other: Problem, **options: Any) -> list[str]:
    options = {"perceptual": False, **options}
    found = find_overlaps(pool, against={"test": [other]}, options=FirewallOptions(**options))
    return [f"{o.pool}:{o.kind}" for o in found]


def test_different_problems_pass() -> None:
    pool = [problem("p1", sha="1"), problem("p2")]
    result = check_firewall(pool, against={"gate": [problem("g1", sha="9")], "test": []}, options=BYTES)
    assert result.kept == pool
    assert result.overlaps == []


def test_a_shared_picture_id_or_scene_is_found() -> None:
    test = problem("t", sha="7", metadata={"scene": "rc1"})
    pool = [
        problem("a", sha="7"),
        problem("t"),
        problem("b", metadata={"scene": "rc1"}),
        problem("c", sha="8"),
    ]
    assert kinds(pool, test) == ["a:image", "t:id", "b:scene"]
    assert kinds(pool, test, same=()) == ["a:image", "t:id"]


def test_family_counts_only_when_declared() -> None:
    test = problem("t", metadata={"family": 3})
    assert kinds([problem("a", metadata={"family": 3})], test) == []
    assert kinds([problem("a", metadata={"family": 3})], test, same=("family",)) == ["a:family"]


def test_words_over_another_picture_are_another_question_unless_told_otherwise() -> None:
    words = {"question": "How many?", "choices": ("two", "one")}
    same = {"question": "  how MANY ?", "choices": ("One.", "two")}
    test = problem("t", sha="7", **words)
    assert kinds([problem("a", sha="8", **same)], test) == []
    assert kinds([problem("a", sha="8", **same)], test, question="text") == ["a:question"]


def test_where_one_side_has_no_picture_the_words_decide() -> None:
    words = {"question": "How many?"}
    assert kinds([problem("a", **words)], problem("t", sha="7", **words)) == ["a:question"]
    assert kinds([problem("a", sha="7", **words)], problem("t", **words)) == ["a:question"]
    assert kinds([problem("a", **words)], problem("t", **words)) == ["a:question"]
    assert kinds([problem("a", choices=("x", "y"), **words)], problem("t", **words)) == []


def test_stop_names_both_the_kind_and_the_counts() -> None:
    pool = [problem("ok"), problem("a", sha="7"), problem("b", sha="7"), problem("q", question="Question g?")]
    against: Any = {"test": [problem("t", sha="7")], "gate": [problem("g")]}
    with pytest.raises(OperatorError) as caught:
        check_firewall(pool, against=against, options=BYTES)
    assert str(caught.value) == (
        "firewall: pool sample 'a' overlaps test problem 't' by image; 3 of 4 samples overlap: "
        "2 by image with test, 1 by question with gate; "
        "take them out of the pool, or set the firewall's policy to exclude"
    )


def test_exclude_keeps_the_rest_and_reports_the_others() -> None:
    pool = [problem("ok"), problem("a", sha="7")]
    result = check_firewall(pool, against={"test": [problem("t", sha="7")]}, options=FirewallOptions(policy="exclude"))
    assert result.kept == pool[:1]
    assert result.overlaps == [Overlap(pool="a", other="t", split="test", kind="image")]
    with pytest.raises(OperatorError, match="all 1 samples"):
        check_firewall(pool[1:], against={"test": [problem("t", sha="7")]}, options=FirewallOptions(policy="exclude"))


def test_a_picture_saved_again_looks_the_same_and_another_does_not(tmp_path: Path) -> None:
    noise = np.random.default_rng(0)
    files = []
    for i in range(3):
        file = tmp_path / f"{i}.png"
        coarse = Image.fromarray(noise.integers(0, 255, (9, 9, 3), dtype=np.uint8))
        coarse.resize((90, 90), Image.Resampling.BICUBIC).save(file)
        files.append(str(file))
    Image.open(files[0]).resize((70, 70)).save(tmp_path / "copy.jpg", quality=80)
    Image.new("RGB", (9, 9)).save(tmp_path / "blank.png")
    pool = [
        problem("copy", sha="c", path=str(tmp_path / "copy.jpg")),
        problem("other", sha="o", path=files[1]),
        problem("blank", sha="b", path=str(tmp_path / "blank.png")),
        problem("bare"),
    ]
    test = problem("t", sha="t", path=files[0])
    assert kinds(pool, test) == []
    assert kinds(pool, test, perceptual=True) == ["copy:perceptual"]
    assert not perceptual_hash(str(tmp_path / "blank.png")).any()


def test_twenty_thousand_against_sixteen_hundred_takes_about_a_second() -> None:
    pool = [problem(f"p{i}", sha=f"a{i}", metadata={"scene": f"s{i}"}) for i in range(20_000)]
    test = [problem(f"t{i}", sha=f"b{i}", metadata={"scene": f"u{i}"}) for i in range(1_600)]
    start = time.process_time()
    assert list(find_overlaps(pool, against={"test": test})) == []
    assert time.process_time() - start < 3
