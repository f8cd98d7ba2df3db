"""Made samples pass the same firewall as the pool: words, near words, bytes, looks, and scenes that were drawn."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from errata.agent.loop.prepare import Problems, make_overlap_check
from errata.tools.data.firewall import FirewallOptions
from errata.tools.errors import OperatorError
from errata.tools.records import ImageRef, Problem, digest


def picture(folder: Path, seed: int, *, quality: int = 95) -> ImageRef:
    """Smooth shapes; the same seed at another quality is the same picture under other bytes."""
    coarse = np.random.default_rng(seed).integers(0, 255, (8, 10, 3), dtype=np.uint8)
    path = folder / f"{seed}-{quality}.jpg"
    Image.fromarray(coarse).resize((320, 240), Image.Resampling.BICUBIC).save(path, quality=quality)
    return ImageRef(path=str(path), sha256=digest(path.read_bytes().hex()))


def problem(name: str, question: str, *images: ImageRef, target: str = "x", **metadata: str) -> Problem:
    return Problem(id=name, question=question, target=target, scoring="exact", images=images, metadata=metadata)


def splits(*, diagnosis: Problem, test: Problem) -> Problems:
    return {
        "pool": {"p": problem("p", "anything")},
        "diagnosis": {diagnosis.id: diagnosis},
        "gate": {"g": problem("g", "something else")},
        "test": {test.id: test},
    }


def test_every_rule_of_the_pool_holds_for_made_samples(tmp_path: Path) -> None:
    seen, again = picture(tmp_path, 1), picture(tmp_path, 1, quality=60)
    asked = problem("d", "What does the man in the grey coat carry?", seen)
    told = problem("t", "Which gas do green plants take in from the air around them by day?", target="carbon dioxide")
    overlap_of = make_overlap_check(splits(diagnosis=asked, test=told), options=FirewallOptions())

    assert overlap_of(problem("m1", "Where is the dog?", seen)) == "overlaps diagnosis by image"
    assert overlap_of(problem("m2", "Where is the dog?", again)) == "overlaps diagnosis by perceptual"
    near = "By day, which gas do the green plants take in from the air around?"
    assert overlap_of(problem("m3", near, target="carbon dioxide")) == "overlaps test by near-question"
    same = "which gas do green plants take in from the air around them by day"
    assert overlap_of(problem("m4", same, target="oxygen")) == "overlaps test by question"
    assert overlap_of(problem("m5", "Where is the dog?", picture(tmp_path, 2))) is None
    assert overlap_of(problem("m6", "Which gas do animals breathe out?", target="carbon dioxide")) is None


def test_the_drawn_scene_decides_between_drawn_pictures_alone(tmp_path: Path) -> None:
    seen, again = picture(tmp_path, 1), picture(tmp_path, 1, quality=60)
    drawn, photo = problem("d", "How many?", seen, scene="a"), problem("t", "Who?", picture(tmp_path, 3))
    overlap_of = make_overlap_check(splits(diagnosis=drawn, test=photo), options=FirewallOptions())

    assert overlap_of(problem("m1", "How many red ones?", again, scene="b")) is None
    assert overlap_of(problem("m2", "How many red ones?", again, scene="a")) == "overlaps diagnosis by scene"
    assert overlap_of(problem("m3", "How many red ones?", again)) == "overlaps diagnosis by perceptual"
    copy = picture(tmp_path, 3, quality=60)
    assert overlap_of(problem("m4", "How many red ones?", copy, scene="b")) == "overlaps test by perceptual"


def test_settings_hold_for_made_samples_as_well(tmp_path: Path) -> None:
    asked, told = problem("d", "Who is it?", picture(tmp_path, 1)), problem("t", "Which river runs through Rome?")
    found = splits(diagnosis=asked, test=told)
    words = make_overlap_check(found, options=FirewallOptions(question="text"))
    assert words(problem("m1", "who is it", picture(tmp_path, 2))) == "overlaps diagnosis by question"
    blind = make_overlap_check(found, options=FirewallOptions(perceptual=False, near=None))
    assert blind(problem("m2", "What now?", picture(tmp_path, 1, quality=60))) is None


def test_branches_ask_at_the_same_time(tmp_path: Path) -> None:
    asked, told = problem("d", "Who is it?", picture(tmp_path, 1)), problem("t", "Which river runs through Rome?")
    overlap_of = make_overlap_check(splits(diagnosis=asked, test=told), options=FirewallOptions())
    copies = [problem(f"m{q}", "What now?", picture(tmp_path, 1, quality=q)) for q in range(50, 66)]
    with ThreadPoolExecutor(4) as threads:
        assert set(threads.map(overlap_of, copies)) == {"overlaps diagnosis by perceptual"}


def test_a_protected_picture_that_is_gone_is_one_line(tmp_path: Path) -> None:
    gone = ImageRef(path=str(tmp_path / "gone.png"), sha256="0")
    found = splits(diagnosis=problem("d", "Who is it?", gone), test=problem("t", "Where is Rome?"))
    overlap_of = make_overlap_check(found, options=FirewallOptions())
    with pytest.raises(OperatorError, match=r"gone\.png"):
        overlap_of(problem("m", "What now?", picture(tmp_path, 1)))
