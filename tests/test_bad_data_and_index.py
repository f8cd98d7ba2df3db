"""Wrong calls of `errata data`, `index` and `eval`: one line on stderr, exit code 2, and no file is changed."""

from __future__ import annotations

import pytest

from errata.agent.cli.main import main
from tests.bad_inputs import House, complain

POOL, GATE = "data/pool.jsonl", "data/gate.jsonl"
BUILD = ("index", "build", "new", POOL)

# Words of the command line, within the folder of the house; what must be named.
CALLS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "check of a table without known columns": (("data", "check", "odd.csv"), ("odd.csv", "'a, b'", "--field")),
    "check of a file that breaks at once": (("data", "check", "broken.jsonl"), ("broken.jsonl:1", "JSON")),
    "check of an empty file": (("data", "check", "empty.csv"), ("empty.csv", "no questions")),
    "an option that the format does not read": (("data", "check", GATE, "--part", "dev"), ("part", "'dev'", "errata")),
    "a map for conversations": (
        ("data", "check", GATE, "--format", "llava", "--field", "question=q"),
        ("fields", "llava", "table"),
    ),
    "a map of no field": (("data", "check", "odd.csv", "--field", "quest=a"), ("fields", "'quest'", "question")),
    "LLaVA in a file of lines": (
        ("data", "convert", GATE, "out/a.jsonl", "--to", "llava"),
        ("out/a.jsonl", "llava", "out/a.json:"),
    ),
    "messages in a list": (("data", "convert", GATE, "out/a.json", "--to", "messages"), ("messages", "out/a.jsonl")),
    "a file without an ending": (("data", "convert", GATE, "out/a", "--to", "sharegpt"), ("out/a", ".json")),
    "writing over what is read": (
        ("data", "convert", GATE, GATE, "--to", "errata", "--force"),
        (GATE, "write over what it reads"),
    ),
    "a share of 7": (
        ("data", "convert", GATE, "out/a.json", "--to", "llava", "--max-bad-share", "7"),
        ("--max-bad-share", "7"),
    ),
    "a sheet that is no PNG": (("data", "stats", GATE, "--sheet", "sheet.jpg"), ("--sheet", "'sheet.jpg'", ".png")),
    "an encoder that is not named": ((*BUILD, "--embedding", "encoder"), ("--model", "encoder")),
    "an encoder that is none": ((*BUILD, "--embedding", "encoder", "--model", "data"), ("config.json", "'data'")),
    "an endpoint without an address": (
        (*BUILD, "--embedding", "endpoint", "--model", "m"),
        ("--url", "endpoint"),
    ),
    "an endpoint at no address": (
        (*BUILD, "--embedding", "endpoint", "--model", "m", "--url", "foo"),
        ("--url", "'foo'", "http://"),
    ),
    "a model that nothing reads": ((*BUILD, "--embedding", "hashing", "--model", "m"), ("--model", "'m'", "hashing")),
    "a key that nothing reads": ((*BUILD, "--key-env", "KEY"), ("--key-env", "'KEY'")),
    "a Chroma server without vectors": ((*BUILD, "--chroma", "http://127.0.0.1:9"), ("--chroma", "--embedding")),
    "a negative share": ((*BUILD, "--max-bad-share", "-1"), ("--max-bad-share", "-1")),
    "a field that no row has": ((*BUILD, "--keep", "topik"), ("--keep", "'topik'")),
    "a folder for samples": (("index", "build", "new", "data"), ("data", "--format")),
    "search for nothing": (("index", "search", "there", "  "), ("nothing to look for",)),
    "no samples wanted": (("index", "search", "there", "x", "-k", "0"), ("-k", "0")),
    "a filter without a value": (("index", "search", "there", "x", "--where", "a"), ("--where", "'a'")),
    "a filter of a field that is not kept": (("index", "search", "there", "x", "--where", "a=b"), ("'a'", "metadata")),
    "an addition that is there": (("index", "add", "there", POOL), ("pool-000", "already")),
    "questions of an unknown format": (
        ("eval", GATE, "--model", "student", "--format", "csv"),
        ("--format", "'csv'", "llava"),
    ),
    "questions with a map that does not fit": (
        ("eval", GATE, "--model", "student", "--format", "table", "--field", "question=Ask"),
        ("gate.jsonl:1", "no column Ask"),
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_wrong_call(
    name: str, house: House, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words, names = CALLS[name]
    monkeypatch.chdir(house.folder)
    (house.folder / "odd.csv").write_text("a,b\n1,2\n")
    (house.folder / "broken.jsonl").write_text('{"id": ')
    (house.folder / "empty.csv").write_text("")
    if "there" in words:
        assert main(["index", "build", "there", POOL]) == 0
        capsys.readouterr()
    complain(house, list(words), names=names, capsys=capsys)


def test_a_broken_choice_of_embedding_stops_an_addition_before_it_begins(
    house: House, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(house.folder)
    assert main(["index", "build", "there", POOL]) == 0
    (house.folder / "there/index.json").write_text("{")
    capsys.readouterr()
    complain(house, ["index", "add", "there", GATE], names=("there", "embedding"), capsys=capsys)
