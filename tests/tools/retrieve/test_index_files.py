"""The index on disk: the same answers, whole or not at all, grown by segments, and true to its sources."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from errata.tools.errors import OperatorError
from errata.tools.retrieve.index_files import (
    Manifest,
    add_samples,
    build_index,
    open_index,
    read_manifest,
)
from errata.tools.retrieve.index_source import Source, describe_source
from errata.tools.retrieve.lexical import SkillIndex
from errata.tools.retrieve.segment import Sample
from errata.tools.retrieve.sources import SampleFile

HOUSE = Path(__file__).resolve().parents[3]
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


def draw_samples(seed: int, count: int, *, start: int = 0) -> dict[str, list[str]]:
    draw = random.Random(seed)
    skills = [" ".join(draw.choices(WORDS, k=draw.randint(1, 5))) for _ in range(40)]
    return {f"s{i}": draw.choices(skills, k=draw.randint(0, 4)) for i in range(start, start + count)}


def handed(name: str) -> Source:
    return Source(path="", sha256=name)


def build(folder: Path, samples: dict[str, list[str]], name: str = "one") -> Manifest:
    return build_index(folder, ((i, s, ()) for i, s in samples.items()), source=lambda: handed(name))


def add(folder: Path, samples: dict[str, list[str]], name: str = "more") -> Manifest:
    return add_samples(folder, ((i, s, ()) for i, s in samples.items()), source=lambda: handed(name))


def answers(index: SkillIndex) -> list[object]:
    return [index.search(query, k) for query in ("red circles", "count the row of", "pole") for k in (3, 400)]


def test_what_is_mapped_answers_as_what_is_in_memory(tmp_path: Path) -> None:
    samples = draw_samples(0, 800)
    build(tmp_path, samples)
    assert answers(open_index(tmp_path)) == answers(SkillIndex.build(samples))


@pytest.mark.parametrize("seed", range(4))
def test_additions_answer_as_a_whole_build(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    whole = draw_samples(seed, 300)
    build(tmp_path, whole)
    for step in range(12):
        more = draw_samples(seed + 10 + step, draw.randint(1, 60), start=len(whole))
        whole |= more
        made = add(tmp_path, more, f"more-{step}")
    assert answers(open_index(tmp_path)) == answers(SkillIndex.build(whole))
    assert sum(part.samples for part in made.parts) == len(whole)
    assert len(made.parts) <= 8
    assert len(list((tmp_path / "segments").iterdir())) == len(made.parts)


def test_an_addition_does_not_touch_a_larger_segment(tmp_path: Path) -> None:
    (large,) = build(tmp_path, draw_samples(0, 500)).parts
    before = {f: f.stat().st_mtime_ns for f in (tmp_path / "segments" / large.name).iterdir()}
    made = add(tmp_path, draw_samples(1, 20, start=500))
    assert made.parts[0] == large
    assert {f: f.stat().st_mtime_ns for f in before} == before


def test_ids_are_unique_over_everything(tmp_path: Path) -> None:
    rows = [("a", ["x"], ()), ("b", ["x"], ()), ("a", ["y"], ())]
    with pytest.raises(OperatorError, match=r"samples 1 and 3: two samples have one id \(got 'a'\)"):
        build_index(tmp_path, rows, source=lambda: handed("x"))
    assert read_manifest(tmp_path) is None
    build(tmp_path, {"a": ["x"]})
    with pytest.raises(OperatorError, match=r"the sample is in the index already \(got 'a'\)"):
        add(tmp_path, {"b": ["x"], "a": ["x"]})
    assert [h.sample_id for h in open_index(tmp_path).search("x", 9)] == ["a"]


def test_a_changed_source_is_refused(tmp_path: Path) -> None:
    source, folder = tmp_path / "samples.jsonl", tmp_path / "index"
    source.write_text('{"id": 1, "skills": ["red"]}\n')
    build_index(folder, SampleFile(source).read(), source=lambda: describe_source(source, folder=folder))
    assert len(open_index(folder)) == 1
    os.utime(source, (1, 1))
    assert len(open_index(folder)) == 1
    source.write_text('{"id": 2, "skills": ["red"]}\n')
    with pytest.raises(OperatorError, match="the source changed since the index was built"):
        open_index(folder)
    source.unlink()
    with pytest.raises(OperatorError, match="a source of the index is gone"):
        open_index(folder)


def test_samples_that_were_handed_over_are_held_to_their_hash(tmp_path: Path) -> None:
    build(tmp_path, {"a": ["red"]}, "one")
    assert len(open_index(tmp_path, expected="one")) == 1
    with pytest.raises(OperatorError, match="the index is of other samples"):
        open_index(tmp_path, expected="two")


def test_what_is_no_index_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="there is no index here"):
        open_index(tmp_path / "nothing")
    (tmp_path / "manifest.json").write_text('{"format": 99}')
    with pytest.raises(OperatorError, match="the manifest cannot be read"):
        open_index(tmp_path)
    made = build(tmp_path / "index", {"a": ["red"]})
    (tmp_path / "index/segments" / made.parts[0].name / "lengths.npy").unlink()
    with pytest.raises(OperatorError, match="a segment of the index cannot be read"):
        open_index(tmp_path / "index")


BUILDER = """
import sys
from pathlib import Path
from errata.tools.retrieve.index_files import build_index
from errata.tools.retrieve.index_source import Source
def samples():
    print("reading", flush=True)
    for i in range(60_000):
        yield f"n{i}", [f"skill {i % 977}", f"word {i % 31} of {i % 7}"], ()
    print("read", flush=True)
build_index(Path(sys.argv[1]), samples(), source=lambda: Source(path="", sha256="new"))
print("done", flush=True)
"""


def test_a_kill_leaves_the_old_index_or_the_new_one(tmp_path: Path) -> None:
    build(tmp_path, {"old": ["red"]}, "old")
    seen = set()
    for wait in (0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.8, None):
        made = subprocess.Popen(
            [sys.executable, "-c", BUILDER, str(tmp_path)], cwd=HOUSE, stdout=subprocess.PIPE, text=True
        )
        assert made.stdout is not None
        assert made.stdout.readline() == "reading\n"
        if wait is not None:
            if wait:
                assert made.stdout.readline() == "read\n"
                time.sleep(wait)
            made.send_signal(signal.SIGKILL)
        made.wait()
        found = open_index(tmp_path)
        seen.add(len(found))
        assert len(found) in (1, 60_000)
        assert bool(found.search("red", 1)) == (len(found) == 1)
    assert len(open_index(tmp_path)) == 60_000
    assert 1 in seen
    assert len(list((tmp_path / "segments").iterdir())) == 1


def test_two_writers_do_not_mix(tmp_path: Path) -> None:
    build(tmp_path, {"a": ["red"]})

    def meanwhile() -> Iterator[Sample]:
        with pytest.raises(OperatorError, match="the index is being written"):
            add(tmp_path, {"c": ["red"]})
        yield "b", ["red"], ()

    add_samples(tmp_path, meanwhile(), source=lambda: handed("b"))
    assert len(open_index(tmp_path)) == 2
