"""A real collection on disk; importing chromadb takes seconds, so the tests are few."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tools.errors import OperatorError
from tools.retrieve.chroma import HashingEmbedding, SkillCollection
from tools.retrieve.lexical import SkillIndex
from tools.retrieve.select import HybridIndex

SAMPLES = {
    "a": ["count the circles", "read a colour"],
    "b": ["counting circles"],
    "c": ["mix two colours"],
    "d": [],
}


@pytest.fixture
def collection(tmp_path: Path) -> Iterator[SkillCollection]:
    made = SkillCollection(tmp_path / "index", embedding="hashing")
    made.build(SAMPLES)
    yield made
    made.close()


def test_spelling_alike_is_near(collection: SkillCollection) -> None:
    assert [skill for skill, _ in collection.nearest_skills("count circles", 2)] == [
        "count the circles",
        "counting circles",
    ]
    assert [h.sample_id for h in collection.search("counts circles", 2)] == ["a", "b"]
    assert collection.search("", 3) == []
    hits = HybridIndex(SkillIndex.build(SAMPLES), collection).search("mix colours", 1)
    assert [h.sample_id for h in hits] == ["c"]


def test_dense_scores_are_exact_cosines(collection: SkillCollection) -> None:
    vectors = HashingEmbedding()(["colour of poles", "mix two colours"])
    near = dict(collection.nearest_skills("colour of poles", 9))
    assert len(near) == 4
    assert near["mix two colours"] == pytest.approx(float(vectors[0] @ vectors[1]), abs=2e-6)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 1], abs=1e-6)


def test_metadata_can_be_filtered(collection: SkillCollection) -> None:
    assert collection.find_skills(where={"words": {"$lte": 2}}) == ["counting circles"]
    assert [s for s, _ in collection.nearest_skills("circles", 9, where={"words": 2})] == ["counting circles"]


def test_it_is_built_again_only_when_the_source_changed(tmp_path: Path, collection: SkillCollection) -> None:
    assert collection.build(SAMPLES) is False
    assert collection.build({**SAMPLES, "d": ["count the circles"]}) is True
    assert [h.sample_id for h in collection.search("count the circles", 2)] == ["a", "d"]
    (tmp_path / "index/index.json").unlink()
    assert collection.build(SAMPLES) is True
    assert len(collection.find_skills()) == 4


def test_what_was_built_can_be_opened_later(tmp_path: Path, collection: SkillCollection) -> None:
    again = SkillCollection(tmp_path / "index", embedding="hashing")
    again.open()
    assert again.search("counts circles", 5) == collection.search("counts circles", 5)
    again.close()


def test_without_an_embedding_dense_search_says_that_it_is_off(tmp_path: Path) -> None:
    plain = SkillCollection(tmp_path / "plain")
    assert plain.build(SAMPLES) is True
    assert plain.find_skills(
        where={
            "samples": 1,
        }
    ) == sorted({s for found in SAMPLES.values() for s in found})
    with pytest.raises(OperatorError, match="dense search is off"):
        plain.search("count", 3)
    about = json.loads((tmp_path / "plain/index.json").read_text())
    assert (about["embedding"], about["skills"]) == ("none", 4)
    plain.close()
    with pytest.raises(OperatorError, match=r"no such skill index \(got 'none'\)"):
        SkillCollection(tmp_path / "plain", embedding="hashing").open()


def test_unknown_embeddings_and_unusable_folders_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match=r"unknown embedding \(got 'magic'\); use one of none, hashing"):
        SkillCollection(tmp_path, embedding="magic")
    (tmp_path / "file").write_text("x")
    with pytest.raises(OperatorError, match="the skill index cannot be opened"):
        SkillCollection(tmp_path / "file")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/chroma.sqlite3").write_text("not a database")
    with pytest.raises(OperatorError, match="the skill index cannot be opened"):
        SkillCollection(tmp_path / "broken")


def test_an_empty_pool_has_an_empty_index(tmp_path: Path) -> None:
    empty = SkillCollection(tmp_path / "empty", embedding="hashing")
    empty.build({"a": []})
    assert empty.search("count", 3) == []
    assert empty.find_skills() == []
    empty.close()
