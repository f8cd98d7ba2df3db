"""`errata index` from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from errata.agent.cli.main import main
from errata.tools.retrieve.index_files import build_index
from errata.tools.retrieve.index_source import describe_source
from errata.tools.retrieve.sources import SampleFile

ROWS = [
    {"id": "a", "skills": ["count the circles", "read a colour"], "topic": "counting"},
    {"id": "b", "skills": ["counting circles"], "topic": "counting"},
    {"id": "c", "skills": ["mix two colours"], "topic": "colour"},
    {"id": "d", "skills": []},
]


def write_rows(path: Path, rows: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def last(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    found: dict[str, object] = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    source = write_rows(tmp_path / "pool.jsonl", ROWS)
    place = tmp_path / "index"
    assert main(["index", "build", str(place), str(source), "--keep", "topic", "--embedding", "hashing"]) == 0
    return place


def test_search_prints_samples_skills_and_reasons(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["index", "search", str(folder), "count circles"]) == 0
    out = capsys.readouterr().out
    assert out.index("  a\n") < out.index("  b\n")
    assert "skills: count the circles; read a colour" in out
    assert "why:    count " in out
    assert "  c\n" not in out
    assert main(["index", "search", str(folder), "count circles", "--json", "--where", "topic=counting"]) == 0
    hits = last(capsys)["hits"]
    assert isinstance(hits, list)
    assert [sum(w["adds"] for w in hit["why"]) for hit in hits] == pytest.approx([h["score"] for h in hits], abs=1e-5)


@pytest.mark.parametrize("mode", ["dense", "hybrid"])
def test_dense_and_hybrid_find_what_is_spelled_alike(
    folder: Path, capsys: pytest.CaptureFixture[str], mode: str
) -> None:
    words = ["index", "search", str(folder), "counted circle", "--mode", mode, "--json", "-k", "2"]
    capsys.readouterr()
    assert main(words) == 0
    hits = last(capsys)["hits"]
    assert isinstance(hits, list)
    assert {hit["id"] for hit in hits} == {"a", "b"}
    assert main([*words, "--where", "topic=colour"]) == 0
    hits = last(capsys)["hits"]
    assert isinstance(hits, list)
    assert {hit["id"] for hit in hits} <= {"c"}


def test_added_samples_are_found_in_every_mode(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = write_rows(tmp_path / "more.jsonl", [{"id": "e", "skills": ["find the pole of a magnet"]}])
    assert main(["index", "add", str(folder), str(more)]) == 0
    capsys.readouterr()
    for mode in ("bm25", "dense", "hybrid"):
        assert main(["index", "search", str(folder), "magnet pole", "--mode", mode, "--json", "-k", "1"]) == 0
        hits = last(capsys)["hits"]
        assert isinstance(hits, list)
        assert hits[0]["id"] == "e"
    assert main(["index", "stats", str(folder), "--json"]) == 0
    told = last(capsys)
    assert (told["samples"], told["without_skill"], told["skills"]) == (5, 1, 5)
    more.write_text("{}\n")
    assert main(["index", "search", str(folder), "magnet"]) == 2
    assert "the source changed since the index was built" in capsys.readouterr().err


def test_without_an_embedding_the_dense_part_says_that_it_is_off(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, place = write_rows(tmp_path / "pool.jsonl", ROWS), str(tmp_path / "index")
    assert main(["index", "build", place, str(source)]) == 0
    assert "dense search is off: no embedding was chosen" in capsys.readouterr().out
    assert main(["index", "search", place, "count", "--mode", "dense"]) == 2
    assert "dense search is off" in capsys.readouterr().err
    assert main(["index", "stats", place]) == 0
    assert "dense search is off" in capsys.readouterr().out


def test_skipped_rows_are_counted_and_written_down(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "pool.jsonl"
    source.write_text('{"id": "a", "skills": ["red"]}\nno\n')
    place = tmp_path / "index"
    assert main(["index", "build", str(place), str(source)]) == 2
    assert "1 of 2 rows are no samples" in capsys.readouterr().err
    assert not (place / "lexical/manifest.json").exists()
    assert main(["index", "build", str(place), str(source), "--max-bad-share", "0.5"]) == 0
    assert "1 rows are no samples; row 2: it is no JSON object" in capsys.readouterr().out
    assert json.loads((place / "skipped.jsonl").read_text())["row"] == 2


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["search", "nowhere", "red"], "there is no index here"),
        (["add", "nowhere", "file"], "there is no index here"),
        (["build", "index", "absent.jsonl"], "the source cannot be read"),
    ],
)
def test_bad_calls_are_one_line(
    words: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["index", *words]) == 2
    err = capsys.readouterr().err
    assert told in err
    assert err.count("\n") == 1


def test_a_build_that_was_killed_before_its_dense_part_is_caught_up(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The lexical index is committed first; what a kill leaves then is one without its skills in Chroma."""
    source = write_rows(tmp_path / "new.jsonl", [{"id": "n", "skills": ["find the pole of a magnet"]}])
    build_index(
        folder / "lexical",
        SampleFile(source).read(),
        source=lambda: describe_source(source, folder=folder / "lexical"),
        names=("id", "skills"),
    )
    capsys.readouterr()
    for mode in ("dense", "hybrid"):
        assert main(["index", "search", str(folder), "magnets", "--mode", mode, "--json"]) == 0
        hits = last(capsys)["hits"]
        assert isinstance(hits, list)
        assert [hit["id"] for hit in hits] == ["n"]
    (folder / "chroma/dense.json").unlink()
    assert main(["index", "search", str(folder), "magnets", "--mode", "dense", "--json"]) == 0
