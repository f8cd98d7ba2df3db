"""The store of required skills: integers over texts, appended to, whole after any kill."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from errata.tools.errors import OperatorError
from errata.tools.skills.store import SkillStore, key_number

Rows = list[tuple[int, tuple[str, ...]]]


def contents(store: SkillStore, keys: list[int]) -> list[list[str]]:
    rows = store.read(store.find(keys))
    return [[store.texts[i] for i in rows.ids[a:b]] for a, b in zip(rows.offsets, rows.offsets[1:], strict=False)]


def test_texts_are_stored_once_and_rows_are_integers(tmp_path: Path) -> None:
    with SkillStore(tmp_path / "s", writable=True) as store:
        store.add([5, 3], [("count circles", "read maps"), ()])
        store.add([2**64 - 1], [("read maps", "counting circles")])
    with SkillStore(tmp_path / "s") as again:
        assert len(again) == 3
        assert again.texts == ["count circles", "read maps", "counting circles"]
        assert again.canonical == [0, 1, 0]
        assert again.find([3, 4, 5]).tolist() == [1, -1, 0]
        assert contents(again, [2**64 - 1, 3, 5]) == [
            ["read maps", "counting circles"],
            [],
            ["count circles", "read maps"],
        ]
        with pytest.raises(ValueError, match="opened for reading"):
            again.add([1], [()])
    assert (tmp_path / "s" / "ids.bin").stat().st_size == 4 * 4
    assert (tmp_path / "s" / "rows.bin").stat().st_size == 3 * 16


def open_unless_damaged(folder: Path) -> SkillStore | None:
    """None where not even the first batch is whole."""
    try:
        return SkillStore(folder, writable=True)
    except OperatorError:
        return None


words = st.text(max_size=6)
row = st.lists(words, max_size=4).map(tuple)


@settings(max_examples=60, deadline=None)
@given(batches=st.lists(st.lists(row, min_size=1, max_size=4), max_size=5), cut=st.integers(0, 200), data=st.data())
def test_after_any_cut_the_store_holds_whole_batches_and_goes_on(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[tuple[str, ...]]], cut: int, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("store") / "s"
    keys = iter(range(1000))
    written: Rows = []
    with SkillStore(folder, writable=True) as store:
        for batch in batches:
            numbers = [next(keys) for _ in batch]
            store.add(numbers, batch)
            written += zip(numbers, batch, strict=True)
    files = sorted(p for p in folder.iterdir() if p.suffix)
    if files:
        torn = data.draw(st.sampled_from(files))
        torn.write_bytes(torn.read_bytes()[: max(0, torn.stat().st_size - cut)])
    store = open_unless_damaged(folder)
    if store is None:
        assert torn.name != "commits.bin"
        assert cut > 0
        return
    with store:
        kept = written[: len(store)]
        assert contents(store, [k for k, _ in kept]) == [list(skills) for _, skills in kept]
        store.add([2000], [("new", "newer")])
    with SkillStore(folder) as store:
        assert contents(store, [k for k, _ in kept] + [2000])[-1] == ["new", "newer"]
        assert len(store) == len(kept) + 1


def test_a_flipped_byte_in_the_last_batch_takes_that_batch_back(tmp_path: Path) -> None:
    with SkillStore(tmp_path / "s", writable=True) as store:
        store.add([1], [("a",)])
        store.add([2], [("b",)])
    ids = tmp_path / "s" / "ids.bin"
    ids.write_bytes(ids.read_bytes()[:4] + b"\x07" + ids.read_bytes()[5:])
    with SkillStore(tmp_path / "s", writable=True) as store:
        assert store.find([1, 2]).tolist() == [0, -1]


def test_two_writers_are_one_too_many_and_readers_are_welcome(tmp_path: Path) -> None:
    with SkillStore(tmp_path / "s", writable=True) as store:
        store.add([1], [("a",)])
        with pytest.raises(OperatorError, match="another process is tagging"):
            SkillStore(tmp_path / "s", writable=True)
        assert len(SkillStore(tmp_path / "s")) == 1
    with SkillStore(tmp_path / "s", writable=True) as store:
        assert len(store) == 1


def old_store(file: Path, *rows: object, tail: str = "") -> None:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows) + tail, encoding="utf-8")


def test_the_store_of_an_older_errata_is_taken_over_once(tmp_path: Path) -> None:
    key = "00000000000000ff"
    old_store(tmp_path / "s.jsonl", {"key": key, "problem": "p", "teacher": "t", "skills": ["é", "b"]}, tail='{"key"')
    for _ in range(2):
        with SkillStore(tmp_path / "s", writable=True) as store:
            assert contents(store, [key_number(key)]) == [["é", "b"]]
            assert len(store) == 1


def test_a_broken_old_store_and_a_file_in_place_of_a_folder_are_named(tmp_path: Path) -> None:
    old_store(tmp_path / "s.jsonl", {"key": "0a", "skills": []}, {"key": "0b"})
    with pytest.raises(OperatorError, match=r"s\.jsonl:2: broken line"):
        SkillStore(tmp_path / "s", writable=True)
    with pytest.raises(OperatorError, match=r"is a folder, this is a file; give the folder .*/s: "):
        SkillStore(tmp_path / "s.jsonl", writable=True)


def test_a_hundred_thousand_rows_take_two_and_a_half_megabytes(tmp_path: Path) -> None:
    skills = [(f"skill {i % 500}", f"skill {i % 77}") for i in range(100_000)]
    with SkillStore(tmp_path / "s", writable=True) as store:
        store.add(range(100_000), skills)
        found = store.find(list(range(99_999, -1, -1)))
    assert np.array_equal(found, np.arange(99_999, -1, -1))
    assert sum(p.stat().st_size for p in (tmp_path / "s").iterdir()) < 2_500_000
