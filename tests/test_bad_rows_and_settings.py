"""Bad inputs on the command line: one line on stderr, exit code 2, and every file as it was before."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.agent.loop_fakes import make_row
from tests.bad_inputs import CONFIG, House, call, complain


def test_the_house_is_sound(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(house.run("--dry-run")) == 0
    assert "annotations" in capsys.readouterr().out


# Rows. The second row of `diagnosis` gets other fields; where, what and the value must be named.
ROWS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "answer not among the choices": ({"target": "G"}, ("target", "'G'", "A to D")),
    "index beyond the choices": ({"target": 4}, ("target", "4", "A to D")),
    "no answer": ({"target": None}, ("target",)),
    "duplicate id": ({"id": "diagnosis-000"}, ("duplicate of row 1", "'diagnosis-000'")),
    "no id": ({"id": None}, ("'id'", "missing")),
    "empty question": ({"question": "  "}, ("question", "empty")),
    "question is a number": ({"question": 7}, ("question", "7")),
    "one choice": ({"choices": ["one"]}, ("choices", "only one", "['one']")),
    "27 choices": ({"choices": [str(i) for i in range(27)]}, ("more than 26", "27")),
    "the same choice twice": ({"choices": ["a", "b", "a", "c"]}, ("choices", "the same")),
    "an empty choice": ({"choices": ["a", "", "b", "c"]}, ("choices", "empty")),
    "choices are a text": ({"choices": "abcd"}, ("choices", "not a list", "'abcd'")),
    "unknown field": ({"colour": "red"}, ("colour", "'red'")),
    "unknown way of scoring": ({"scoring": "sideways"}, ("scoring", "sideways")),
    "scoring that does not fit": ({"scoring": "exact"}, ("scoring", "'exact'")),
    "skills are a text": ({"skills": 3}, ("skills", "3")),
    "test row in diagnosis": ({"split": "test"}, ("split", "'test'", "keep test apart")),
    "missing picture": ({"images": ["images/none.png"]}, ("no such picture", "none.png")),
    "picture without a path": ({"images": [{"sha256": "0"}]}, ("images", "path")),
    "pictures are a text": ({"images": "a.png"}, ("images", "not a list", "'a.png'")),
    "picture outside the folder": ({"images": ["../student/config.json"]}, ("leaves the data folder", "../student")),
    "picture at an absolute path": ({"images": ["/etc/hostname"]}, ("leaves the data folder", "/etc/hostname")),
    "picture is a folder": ({"images": ["."]}, ("images", "'.'")),
    "name of a picture is too long": ({"images": ["x" * 5000 + ".png"]}, ("no such picture",)),
}


@pytest.mark.parametrize("name", ROWS)
def test_a_bad_row(name: str, house: House, capsys: pytest.CaptureFixture[str]) -> None:
    changes, names = ROWS[name]
    house.change_row("diagnosis", 2, **changes)
    complain(house, house.run(), names=("diagnosis.jsonl:2", *names), capsys=capsys)


# Whole files, in the place of `diagnosis`.
GOOD = json.dumps(make_row("diagnosis", 0)).encode() + b"\n"
FILES: dict[str, tuple[bytes, tuple[str, ...]]] = {
    "empty file": (b"", ("diagnosis.jsonl", "no questions")),
    "only blank lines": (b"\n \n\n", ("diagnosis.jsonl", "no questions")),
    "truncated JSON": (GOOD + GOOD[:40], ("diagnosis.jsonl:2", "JSON")),
    "a row that is a list": (GOOD + b"[1, 2]\n", ("diagnosis.jsonl:2", "object")),
    "a row that is null": (b"null\n", ("diagnosis.jsonl:1", "object")),
    "JSON over several lines": (b'{\n"id": "a"}\n', ("diagnosis.jsonl:1", "JSON")),
    "JSON nested too deep": (GOOD + b"[" * 200_000 + b"\n", ("diagnosis.jsonl:2", "JSON")),
    "not UTF-8": (GOOD + '{"id": "Zürich"}\n'.encode("latin-1"), ("diagnosis.jsonl:2", "UTF-8")),
    "UTF-16": (GOOD.decode().encode("utf-16"), ("diagnosis.jsonl:1", "UTF-8")),
    "a picture for data": (b"\x89PNG\r\n\x1a\n" + bytes(50), ("diagnosis.jsonl:1", "UTF-8")),
}


@pytest.mark.parametrize("name", FILES)
def test_a_bad_file(name: str, house: House, capsys: pytest.CaptureFixture[str]) -> None:
    body, names = FILES[name]
    (house.data / "diagnosis.jsonl").write_bytes(body)
    complain(house, house.run(), names=names, capsys=capsys)


# Overrides of the settings.
OVERRIDES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "no equals sign": (("train.epochs",), ("train.epochs", "key.path=value")),
    "no key": (("=3",), ("=3", "key.path=value")),
    "unknown key": (("train.epoch=3",), ("train.epoch", "did you mean train.epochs?")),
    "unknown branch": (("trian.epochs=3",), ("trian", "train")),
    "branch below a value": (("run.seed.x=3",), ("run.seed.x=3",)),
    "wrong type": (("train.epochs=many",), ("train.epochs", "'many'")),
    "fraction for a count": (("budget.iterations=1.5",), ("budget.iterations", "1.5")),
    "negative budget": (("budget.total.samples=-5",), ("budget.total.samples", "-5")),
    "no budget at all": (("budget.total.samples=null", "budget.iteration.samples=null"), ("both open", "give one")),
    "0 iterations": (("budget.iterations=0",), ("budget.iterations", "0")),
    "absurd batch": (("student.generate.batch_size=-1",), ("batch_size", "-1")),
    "absurd number of workers": (("student.workers=100000",), ("student.workers", "100000")),
    "target above 1": (("budget.target=75",), ("budget.target", "75")),
    "0 validation questions": (("data.gate.limit=0",), ("data.gate.limit", "0")),
    "offset beyond the questions": (("data.gate.offset=100",), ("data.gate", "100", "lower the offset")),
    "unknown teacher": (("teacher.kind=oracle",), ("teacher.kind", "'oracle'", "annotations")),
    "unknown control": (("control=sideways",), ("control", "'sideways'", "random")),
    "insta without an encoder": (("control=insta",), ("control=insta", "rivals.embedder", "hashing")),
    "encoder that is no folder": (("control=insta", "rivals.embedder=none"), ("rivals.embedder", "none")),
    "encoder without a model": (("control=insta", "rivals.embedder=data"), ("rivals.embedder", "config.json")),
    "superfiltering without a model": (("control=superfiltering",), ("rivals.language_model",)),
    "language model that is none": (
        ("control=superfiltering", "rivals.language_model=data"),
        ("rivals.language_model", "config.json", "data"),
    ),
    "a rival's option": (("rivals.encoder=x",), ("rivals.encoder", "did you mean rivals.embedder?")),
    "unknown location method": (("locate.method=guess",), ("locate.method", "'guess'", "answer_switch")),
    "unknown prompt": (("student.prompt=shakespeare",), ("student.prompt", "shakespeare", "student_cot")),
    "unknown embedding": (("retrieve.embedding=magic",), ("retrieve.embedding", "'magic'", "hashing")),
    "dense search without vectors": (("retrieve.mode=dense",), ("retrieve", "dense", "retrieve.embedding=hashing")),
    "model that no embedding reads": (("retrieve.embedding_model=m",), ("retrieve.embedding_model", "leave it out")),
    "address without http": (
        ("retrieve.embedding=endpoint", "retrieve.embedding_model=m", "retrieve.embedding_url=foo"),
        ("retrieve.embedding_url", "'foo'", "https?://"),
    ),
    "Chroma server without http": (("retrieve.chroma_server=foo",), ("retrieve.chroma_server", "'foo'", "https?://")),
    "dense encoder without a model": (
        ("retrieve.embedding=encoder", "retrieve.embedding_model=data"),
        ("embedding", "config.json is missing", "data"),
    ),
    "unknown source of skills": (("skills.source=labels",), ("skills.source", "'labels'", "annotations")),
    "lazy annotations": (
        ("skills.tag=candidates", "skills.source=annotations"),
        ("skills.tag=candidates", "set skills.tag=all"),
    ),
    "lazy and dense": (
        ("skills.tag=candidates", "retrieve.mode=dense", "retrieve.embedding=hashing"),
        ("retrieve.mode=dense", "set retrieve.mode=bm25"),
    ),
    "store that is a file": (("skills.store=config.yaml",), ("skills.store", "config.yaml", "this is a file")),
    "store that cannot be": (("skills.store=config.yaml/x",), ("skills.store", "config.yaml/x", "cannot be written")),
    "map for a format without columns": (
        ("data.gate.fields={question: q}",),
        ("fields", "the format errata does not read this option", "table"),
    ),
    "part of a format without parts": (("data.gate.part=dev",), ("part", "'dev'", "errata", "mmbench")),
    "map of no field": (
        ("data.gate.format=table", "data.gate.fields={quest: q}"),
        ("fields", "'quest'", "use id, question"),
    ),
    "missing folder of pictures": (("data.gate.image_root=none",), ("image_root", "none", "no such folder")),
    "a file for a dataset": (("data.gate.format=huggingface",), ("gate.jsonl", "a file, not a dataset", "table")),
    "similarity below a half": (("firewall.near=0.3",), ("firewall.near", "0.3", "greater than 0.5")),
    "unknown data format": (("data.gate.format=csv",), ("data.gate.format", "'csv'", "sharegpt")),
    "data of another format": (("data.gate.format=llava",), ("gate.jsonl",)),
    "format of an older version": (("data.gate.format=scienceqa",), ("data.gate.format", "scienceqa")),
    "name with a slash": (("run.name=../escape",), ("run.name", "'../escape'")),
    "name with spaces": (("run.name=my run",), ("run.name", "'my run'")),
    "missing data file": (("data.gate.path=none.jsonl",), ("data.gate.path", "none.jsonl", "ERRATA_DATA")),
    "path that is too long": ((f"data.gate.path={'x' * 300}",), ("data.gate.path", "no such file")),
    "path with a zero byte": (('data.gate.path="a\\0b"',), ("data.gate.path",)),
    "world and files": (("data.world.seed=1",), ("data.world", "data.pool", "exclude")),
    "missing student": (("student.base=none",), ("student.base", "none", "no such folder")),
    "student is a file": (("student.base=config.yaml",), ("student.base", "config.yaml")),
    "key variable that is not set": (
        ("decide.key_env=ERRATA_NO_SUCH_KEY",),
        ("decide.key_env", "ERRATA_NO_SUCH_KEY", "export"),
    ),
    "model without an address": (("decide.model=gpt",), ("decide.base_url", "give the address")),
    "value that is no YAML": (("run.name=[a",), ("run.name=[a", "quote it")),
    "branch set to a value": (("budget=5",), ("budget", "5")),
    "data taken away": (("data=null",), ("data",)),
    "missing root": (("data.root=nowhere",), ("data.root", "nowhere", "ERRATA_DATA")),
}


@pytest.mark.parametrize("name", OVERRIDES)
def test_a_bad_override(
    name: str, house: House, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    overrides, names = OVERRIDES[name]
    monkeypatch.chdir(house.folder)
    complain(house, house.run(*overrides), names=names, capsys=capsys)


# Settings files.
CONFIGS: dict[str, tuple[bytes, tuple[str, ...]]] = {
    "empty": (b"", ("config.yaml", "empty")),
    "a list": (b"- 1\n- 2\n", ("config.yaml", "keys and values")),
    "syntax error": (CONFIG.encode() + b"run: {name: [a\n", ("config.yaml:", "YAML")),
    "a tabulator": (b"run:\n\tname: a\n", ("config.yaml:2", "YAML")),
    "not UTF-8": ("run: {name: Zürich}\n".encode("latin-1"), ("config.yaml", "UTF-8")),
    "a control character": (b"run: {name: \x07}\n", ("config.yaml", "YAML")),
    "unknown key": (CONFIG.encode() + b"colour: red\n", ("config.yaml:11", "colour", "'red'")),
    "a key twice": (CONFIG.encode() + b"run: {seed: 1}\n", ("config.yaml:11", "run", "twice")),
    "a date": (CONFIG.replace("name: bad", "name: 2024-01-01").encode(), ("config.yaml", "quote it")),
    "no student": (CONFIG.replace("student: {base: student}\n", "").encode(), ("config.yaml", "student", "missing")),
    "no data for test": (CONFIG.replace("  test: {path: data/test.jsonl}\n", "").encode(), ("data", "test")),
    "a list as key": (b"? [1, 2]\n: 3\n", ("config.yaml",)),
    "nested too deep": (b"run: " + b"[" * 5000, ("config.yaml", "nested")),
    "an alias of itself": (b"run: &a {name: *a}\n", ("config.yaml",)),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_bad_settings_file(name: str, house: House, capsys: pytest.CaptureFixture[str]) -> None:
    body, names = CONFIGS[name]
    house.config.write_bytes(body)
    complain(house, house.run(), names=names, capsys=capsys)


def test_a_missing_settings_file(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["run", str(house.folder / "none.yaml"), "--runs-dir", str(house.runs)]
    complain(house, arguments, names=("none.yaml", "config.yaml"), capsys=capsys)


# What the shell hands over.
ARGUMENTS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "unknown command": (("improve",), ("improve", "--help")),
    "no command": ((), ("COMMAND", "--help")),
    "unknown option": (("demo", "--fast"), ("--fast",)),
    "unknown control": (("demo", "--control", "sideways"), ("--control", "sideways", "random")),
    "seed that is no number": (("demo", "--seed", "one"), ("--seed", "one")),
    "limit of 0": (("show", "last", "--limit", "0"), ("--limit", "0")),
    "no model": (("eval", "x.jsonl"), ("--model",)),
    "unknown split": (("eval", "x.jsonl", "--model", "m", "--split", "dev"), ("--split", "dev", "gate")),
}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_bad_arguments(name: str, house: House, capsys: pytest.CaptureFixture[str]) -> None:
    arguments, names = ARGUMENTS[name]
    complain(house, arguments, names=names, capsys=capsys)
