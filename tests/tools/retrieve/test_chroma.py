"""A real collection on disk; importing chromadb takes seconds, so the tests are few."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from errata.tools.errors import OperatorError
from errata.tools.retrieve.chroma import SkillCollection
from errata.tools.retrieve.dense import DenseIndex, FilteredIndex
from errata.tools.retrieve.embeddings import HashingEmbedding
from errata.tools.retrieve.lexical import SkillIndex
from errata.tools.retrieve.select import HybridIndex

SAMPLES = {
    "a": ["count the circles", "read a colour"],
    "b": ["counting circles"],
    "c": ["mix two colours"],
    "d": ["--"],
}
HOUSE = Path(__file__).resolve().parents[3]
LEXICAL = SkillIndex.build(SAMPLES)
SKILLS = LEXICAL.count_skills()


@pytest.fixture
def collection(tmp_path: Path) -> Iterator[SkillCollection]:
    made = SkillCollection(tmp_path / "index", embedding=HashingEmbedding())
    made.build(SKILLS)
    yield made
    made.close()


def test_spelling_alike_is_near(collection: SkillCollection) -> None:
    assert [skill for skill, _ in collection.nearest_skills("count circles", 2)] == [
        "count the circles",
        "counting circles",
    ]
    dense = DenseIndex(collection, LEXICAL)
    assert [h.sample_id for h in dense.search("counts circles", 2)] == ["a", "b"]
    assert dense.search("", 3) == dense.search("counts", 0) == []
    hits = HybridIndex(LEXICAL, dense).search("mix colours", 1)
    assert [h.sample_id for h in hits] == ["c"]


def test_samples_that_tie_come_by_id_and_none_is_lost(tmp_path: Path) -> None:
    samples = {f"s{i:03d}": [f"skill number {i % 150}", "read a colour"] for i in range(300)}
    index = SkillIndex.build(samples)
    collection = SkillCollection(tmp_path / "many", embedding=HashingEmbedding())
    collection.build(index.count_skills())
    dense = DenseIndex(collection, index)
    whole = dense.search("read a colour", 1000)
    assert [h.sample_id for h in whole] == sorted(samples)
    assert dense.search("read a colour", 7) == whole[:7]
    assert {h.sample_id for h in dense.search("skill number 149", 2)} == {"s149", "s299"}
    collection.close()


def test_dense_search_can_be_filtered(collection: SkillCollection) -> None:
    from errata.tools.retrieve.segment import make_segment

    kept = SkillIndex([make_segment(((n, s, [n]) for n, s in SAMPLES.items()), fields=["name"])])
    found = FilteredIndex(DenseIndex(collection, kept), {"name": ["b", "c"]}).search("count circles", 9)
    assert [h.sample_id for h in found] == ["b"] or {h.sample_id for h in found} == {"b", "c"}
    assert "a" not in {h.sample_id for h in found}


def test_dense_scores_are_exact_cosines(collection: SkillCollection) -> None:
    vectors = HashingEmbedding()(["colour of poles", "mix two colours"])
    near = dict(collection.nearest_skills("colour of poles", 9))
    assert len(near) == 4
    assert near["mix two colours"] == pytest.approx(float(vectors[0] @ vectors[1]), abs=2e-6)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 1], abs=1e-6)


def test_metadata_can_be_filtered(collection: SkillCollection) -> None:
    assert collection.find_skills(where={"words": {"$lte": 2}}) == ["counting circles"]
    assert [s for s, _ in collection.nearest_skills("circles", 9, where={"words": 2})] == ["counting circles"]


def test_it_is_built_again_only_when_the_skills_changed(tmp_path: Path, collection: SkillCollection) -> None:
    assert collection.build(SKILLS) is False
    assert collection.build({**SKILLS, "count the circles": 2}) is True
    assert collection.find_skills(where={"samples": 2}) == ["count the circles"]
    (tmp_path / "index/dense.json").unlink()
    assert collection.build(SKILLS) is True
    assert len(collection.find_skills()) == len(collection) == 4


def test_skills_can_be_added(collection: SkillCollection) -> None:
    collection.add({"find the pole": 3, "counting circles": 4}, of="both")
    assert (len(collection), collection.is_of("both")) == (5, True)
    assert collection.find_skills(where={"samples": {"$gte": 3}}) == ["counting circles", "find the pole"]
    assert collection.nearest_skills("finding poles", 1)[0][0] == "find the pole"


def test_what_was_built_can_be_opened_later(tmp_path: Path, collection: SkillCollection) -> None:
    again = SkillCollection(tmp_path / "index", embedding=HashingEmbedding())
    again.open()
    assert again.nearest_skills("counts circles", 5) == collection.nearest_skills("counts circles", 5)
    again.close()


def test_without_an_embedding_dense_search_says_that_it_is_off(tmp_path: Path) -> None:
    plain = SkillCollection(tmp_path / "plain")
    assert plain.build(SKILLS) is True
    assert plain.find_skills(where={"samples": 1}) == sorted(SKILLS)
    with pytest.raises(OperatorError, match="dense search is off"):
        DenseIndex(plain, LEXICAL).search("count", 3)
    about = json.loads((tmp_path / "plain/dense.json").read_text())
    assert about["embedding"] == "none"
    plain.close()
    with pytest.raises(OperatorError, match=r"no such skill index \(got 'none'\)"):
        SkillCollection(tmp_path / "plain", embedding=HashingEmbedding()).open()


def test_unusable_folders_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(OperatorError, match="the skill index cannot be opened"):
        SkillCollection(tmp_path / "file")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/chroma.sqlite3").write_text("not a database")
    with pytest.raises(OperatorError, match="the skill index cannot be opened"):
        SkillCollection(tmp_path / "broken")


def test_an_empty_pool_has_an_empty_index(tmp_path: Path) -> None:
    empty = SkillCollection(tmp_path / "empty", embedding=HashingEmbedding())
    empty.build({})
    assert DenseIndex(empty, SkillIndex.build({"a": []})).search("count", 3) == []
    assert empty.find_skills() == []
    empty.close()


BUILDER = """
import sys
from pathlib import Path
from errata.tools.retrieve.chroma import SkillCollection
from errata.tools.retrieve.embeddings import HashingEmbedding
class Telling(HashingEmbedding):
    def __call__(self, texts):
        print("batch", flush=True)
        return super().__call__(texts)
made = SkillCollection(Path(sys.argv[1]), embedding=Telling())
made.build({f"skill number {i} of many": 1 for i in range(6000)})
"""
READER = """
import sys
from pathlib import Path
from errata.tools.retrieve.chroma import SkillCollection
from errata.tools.retrieve.embeddings import HashingEmbedding
found = SkillCollection(Path(sys.argv[1]), embedding=HashingEmbedding())
found.open()
print(found.nearest_skills("counts circles", 2))
"""


def test_a_kill_during_a_build_leaves_the_old_index(tmp_path: Path, collection: SkillCollection) -> None:
    before = collection.nearest_skills("counts circles", 2)
    collection.close()
    folder = tmp_path / "index"
    for batches in (1, 3):
        made = subprocess.Popen(
            [sys.executable, "-c", BUILDER, str(folder)], cwd=HOUSE, stdout=subprocess.PIPE, text=True
        )
        assert made.stdout is not None
        for _ in range(batches):
            assert made.stdout.readline() == "batch\n"
        made.kill()
        made.wait()
        again = SkillCollection(folder, embedding=HashingEmbedding())
        again.open()
        assert again.nearest_skills("counts circles", 2) == before
        assert again.build(SKILLS) is False
        again.close()


def test_a_second_process_can_read_it(tmp_path: Path, collection: SkillCollection) -> None:
    done = subprocess.run(
        [sys.executable, "-c", READER, str(tmp_path / "index")], cwd=HOUSE, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == str(collection.nearest_skills("counts circles", 2))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """A real Chroma server on the loopback address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-c", "from chromadb.cli.cli import app; app()", "run", "--host", "127.0.0.1"]
    with (tmp_path / "server.log").open("w") as log:
        running = subprocess.Popen(
            [*command, "--port", str(port), "--path", str(tmp_path / "server")], stdout=log, stderr=log
        )
        try:
            for _ in range(300):
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.1)
            yield f"http://127.0.0.1:{port}"
        finally:
            running.terminate()
            running.wait()


@pytest.mark.allow_hosts(["127.0.0.1"])
def test_a_server_holds_the_same(tmp_path: Path, collection: SkillCollection, server: str) -> None:
    remote = SkillCollection(tmp_path / "remote", embedding=HashingEmbedding(), server=server)
    other = SkillCollection(tmp_path / "other", embedding=HashingEmbedding(), server=server)
    assert remote.build(SKILLS) is True
    assert other.build({"find the pole": 1}) is True
    assert remote.nearest_skills("counts circles", 3) == collection.nearest_skills("counts circles", 3)
    assert remote.find_skills(where={"words": {"$lte": 2}}) == ["counting circles"]
    assert remote.build(SKILLS) is False
    assert [h.sample_id for h in DenseIndex(remote, LEXICAL).search("counts circles", 2)] == ["a", "b"]


@pytest.mark.allow_hosts(["127.0.0.1"])
def test_a_server_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match=r"http://127.0.0.1:9: the skill index cannot be opened"):
        SkillCollection(tmp_path, server="http://127.0.0.1:9")
