"""Bad inputs on the command line: one line on stderr, exit code 2, and every file as it was before.

Everything is tiny and written by the tests; no model is loaded, because each fault is found before one is needed.
"""

from __future__ import annotations

import gzip
import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from PIL import Image

from agent.cli import main
from agent.loop import Parts, run_loop
from agent.outcome import read_settings
from agent.run_folder import RunFolder
from agent.settings_file import load_settings
from tests.agent.loop_fakes import TableStudent, make_row, write_data
from tests.agent.made_run import FIRST, make_run

HOUSE = Path(__file__).resolve().parent.parent
SPLITS = ("pool", "diagnosis", "gate", "test")
CONFIG = """\
run: {name: bad}
data:
  pool: {path: data/pool.jsonl}
  diagnosis: {path: data/diagnosis.jsonl}
  gate: {path: data/gate.jsonl}
  test: {path: data/test.jsonl}
student: {base: student}
teacher: {kind: annotations}
locate: {method: whole_rationale}
budget: {total: {samples: 8}, iteration: {samples: 4}, iterations: 1}
"""


class House:
    """Data, a settings file, the outside of a student, and an empty place for runs."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.data, self.runs = folder, folder / "data", folder / "runs"
        self.config, self.student = folder / "config.yaml", folder / "student"
        write_data(self.data, pool=8, rest=4)
        self.student.mkdir()
        (self.student / "config.json").write_text('{"vision_config": {}}')
        self.config.write_text(CONFIG)

    def run(self, *overrides: str) -> list[str]:
        """Arguments of a run of the settings file."""
        return ["run", str(self.config), "--runs-dir", str(self.runs), *overrides]

    def change_row(self, split: str, number: int, /, **changes: Any) -> None:
        """Other fields in one row, counted from 1; None takes a field out."""
        path = self.data / f"{split}.jsonl"
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        rows[number - 1] = {k: v for k, v in {**rows[number - 1], **changes}.items() if v is not None}
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))

    def add_picture(self, name: str = "a.png", *, colour: str = "red") -> str:
        """A small picture beside the data; returns its path as a row gives it."""
        (self.data / "images").mkdir(exist_ok=True)
        Image.new("RGB", (8, 8), colour).save(self.data / "images" / name)
        return f"images/{name}"

    def files(self) -> dict[str, bytes]:
        """Content of every file; locks may appear, they hold nothing of a run."""
        found = sorted(p for p in self.folder.rglob("*") if p.is_file() and p.name != "lock")
        return {str(p.relative_to(self.folder)): p.read_bytes() for p in found}


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> House:
    """A sound house that each test damages in one place."""
    monkeypatch.delenv("ERRATA_DATA", raising=False)
    return House(tmp_path)


def call(arguments: Sequence[str]) -> int:
    """Exit code of the command line."""
    try:
        return main(arguments)
    except SystemExit as stop:
        return int(str(stop.code))


def complain(
    house: House, arguments: Sequence[str], *, names: Sequence[str], capsys: pytest.CaptureFixture[str]
) -> str:
    """The one line of complaint: it names what it must, and no file was made or changed."""
    before = house.files()
    code = call(arguments)
    out, err = capsys.readouterr()
    assert code == 2, err
    assert out == ""
    assert err.startswith("errata: "), err
    assert err.count("\n") == 1, err
    assert len(err) < 1000
    for name in names:
        assert name in err
    assert house.files() == before
    assert [p.name for p in house.runs.glob("bad-*")] == []
    return err


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
    "unknown data format": (("data.gate.format=csv",), ("data.gate.format", "'csv'", "scienceqa")),
    "data of another format": (("data.gate.format=scienceqa",), ("gate.jsonl",)),
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


# Damage that takes more than one field. Each returns the arguments and what must be named.
class Case(NamedTuple):
    """What is typed, and what the line must name."""

    arguments: list[str]
    names: tuple[str, ...]


def corrupt_picture(house: House) -> Case:
    """The head of a PNG and nothing behind it."""
    path = house.data / house.add_picture()
    path.write_bytes(path.read_bytes()[:40])
    house.change_row("gate", 3, images=["images/a.png"])
    return Case(house.run(), ("gate.jsonl:3", "corrupt", "a.png"))


def text_for_a_picture(house: House) -> Case:
    (house.data / "a.png").write_text("not a picture")
    house.change_row("gate", 3, images=["a.png"])
    return Case(house.run(), ("gate.jsonl:3", "corrupt", "a.png"))


def bomb(house: House) -> Case:
    """A picture that says that it is 60,000 pixels wide and high."""
    import struct
    import zlib

    head = b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head))
    (house.data / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunk)
    house.change_row("gate", 3, images=["a.png"])
    return Case(house.run(), ("gate.jsonl:3", "corrupt", "a.png"))


def other_sha256(house: House) -> Case:
    house.change_row("gate", 1, images=[{"path": house.add_picture(), "sha256": "0" * 64}])
    return Case(house.run(), ("gate.jsonl:1", "sha256 differs", "a.png"))


def broken_gzip(house: House) -> Case:
    (house.data / "gate.jsonl.gz").write_bytes(gzip.compress((house.data / "gate.jsonl").read_bytes())[:-9])
    return Case(house.run(f"data.gate.path={house.data / 'gate.jsonl.gz'}"), ("gate.jsonl.gz", "gzip"))


def gzip_in_name_only(house: House) -> Case:
    shutil.copy(house.data / "gate.jsonl", house.data / "gate.jsonl.gz")
    return Case(house.run(f"data.gate.path={house.data / 'gate.jsonl.gz'}"), ("gate.jsonl.gz", "gzip"))


def id_of_test_in_pool(house: House) -> Case:
    row = make_row("test", 2)
    house.change_row("pool", 5, **{**row, "question": "Another question?", "split": "pool"})
    return Case(house.run(), ("firewall", "'test-002'", "test"))


def question_of_test_in_pool(house: House) -> Case:
    house.change_row("pool", 5, question=make_row("test", 2)["question"])
    return Case(house.run(), ("firewall", "'pool-004'", "'test-002'", "question"))


def validation_picture_in_pool(house: House) -> Case:
    """The same bytes under another name."""
    house.change_row("gate", 2, images=[house.add_picture("a.png")])
    house.change_row("pool", 3, images=[house.add_picture("b.png")])
    return Case(house.run(), ("firewall", "'pool-002'", "'gate-001'", "image"))


def question_of_test_in_diagnosis(house: House) -> Case:
    row = make_row("test", 1)
    house.change_row("diagnosis", 2, question=row["question"], choices=row["choices"])
    return Case(house.run(), ("firewall", "'diagnosis-001'", "test"))


def the_same_id_in_two_splits(house: House) -> Case:
    house.change_row("gate", 2, id="diagnosis-001")
    return Case(house.run(), ("diagnosis", "gate", "'diagnosis-001'"))


def pool_that_is_validation(house: House) -> Case:
    """Nothing of the pool is left under the policy that excludes."""
    text = (house.data / "gate.jsonl").read_text().replace('"split": "gate"', '"split": "pool"')
    (house.data / "pool.jsonl").write_text(text)
    return Case(house.run("firewall.policy=exclude"), ("firewall", "all 4 samples"))


def student_without_model(house: House) -> Case:
    (house.student / "config.json").unlink()
    return Case(house.run(), (str(house.student), "config.json is missing"))


def student_that_sees_nothing(house: House) -> Case:
    (house.student / "config.json").write_text('{"model_type": "gpt2"}')
    return Case(house.run(), (str(house.student), "no vision-language model", "'gpt2'"))


def student_with_a_torn_config(house: House) -> Case:
    (house.student / "config.json").write_text('{"vision_config": ')
    return Case(house.run(), ("config.json", "JSON"))


def file_for_the_runs(house: House) -> Case:
    house.runs.write_text("a file")
    return Case(house.run(), (str(house.runs), "a file stands where a folder is needed"))


def unknown_run(house: House) -> Case:
    made, _ = make_run(house.runs)
    return Case(["status", "mad-1", "--runs-dir", str(house.runs)], ("'mad-1'", made.id))


def last_of_no_runs(house: House) -> Case:
    return Case(["resume", "last", "--runs-dir", str(house.runs)], ("'last'", "errata demo"))


def run_with_an_absurd_name(house: House) -> Case:
    return Case(["status", "x" * 5000, "--runs-dir", str(house.runs)], ("no such run",))


def unknown_skill(house: House) -> Case:
    make_run(house.runs)
    arguments = ["show", "made-1", "juggling with five balls", "--runs-dir", str(house.runs)]
    return Case(arguments, ("no such record", "'juggling with five balls'", "made-1"))


def beginning_of_many_ids(house: House) -> Case:
    make_run(house.runs)
    return Case(["show", "made-1", "attempt-", "--runs-dir", str(house.runs)], ("begin so", "'attempt-'"))


def torn_settings_of_a_run(house: House) -> Case:
    made, _ = make_run(house.runs)
    made.write_text("settings.yaml", "run: {name: [a\n")
    return Case(["status", "made-1", "--runs-dir", str(house.runs)], ("settings.yaml",))


def torn_records_of_a_run(house: House) -> Case:
    made, _ = make_run(house.runs)
    made.write_text("lessons.jsonl", '{"id": \n')
    return Case(["show", "made-1", "lessons", "--runs-dir", str(house.runs)], ("lessons.jsonl", "Lesson"))


def torn_result_of_a_run(house: House) -> Case:
    made, _ = make_run(house.runs)
    made.write_text("result.json", '{"run": "ma')
    return Case(["status", "made-1", "--runs-dir", str(house.runs)], ("result.json",))


def runs_with_other_questions(house: House) -> Case:
    make_run(house.runs)
    other, _ = make_run(house.runs, name="made-2")
    manifest = other.read_json("manifest.json")
    manifest["test"]["digest"] = "another"
    other.write_json("manifest.json", manifest)
    arguments = ["compare", "made-1", "made-2", "--runs-dir", str(house.runs)]
    return Case(arguments, ("different test questions", "made-1", "made-2"))


def run_without_a_manifest(house: House) -> Case:
    make_run(house.runs)
    other, _ = make_run(house.runs, name="made-2")
    (other.path / "manifest.json").unlink()
    arguments = ["compare", "made-1", "made-2", "--runs-dir", str(house.runs)]
    return Case(arguments, ("test questions", "made-1", "made-2"))


def source_path(folder: RunFolder, split: str) -> Path:
    """The file of a split of a made run."""
    source = getattr(read_settings(folder).data, split)
    assert source is not None
    return Path(source.path)


def runs_whose_questions_are_gone(house: House) -> Case:
    for name in ("made-1", "made-2"):
        made, _ = make_run(house.runs, name=name)
        for path in {source_path(made, split) for split in ("diagnosis", "gate", "test")}:
            path.unlink(missing_ok=True)
    return Case(["compare", "made-1", "made-2", "--runs-dir", str(house.runs)], ("jsonl", "no such file"))


def run_without_answers(house: House) -> Case:
    """Nothing to compare: the answers to test were taken away."""
    for name in ("made-1", "made-2"):
        made, _ = make_run(house.runs, name=name)
        (made.path / "attempts" / f"{FIRST}.test.jsonl").unlink(missing_ok=True)
    arguments = ["compare", "made-1", "made-2", "--runs-dir", str(house.runs)]
    return Case(arguments, ("made-1", "made-2"))


def eval_of(house: House, *, questions: str = "data/test.jsonl", more: Sequence[str] = ()) -> list[str]:
    """Arguments of `errata eval` with the outside of a student."""
    return ["eval", str(house.folder / questions), "--model", str(house.student), *more]


def eval_of_a_missing_file(house: House) -> Case:
    return Case(eval_of(house, questions="none.jsonl"), ("none.jsonl", "no such file"))


def eval_of_no_questions(house: House) -> Case:
    (house.folder / "empty.jsonl").touch()
    return Case(eval_of(house, questions="empty.jsonl"), ("empty.jsonl", "no questions"))


def eval_of_a_folder_without_the_split(house: House) -> Case:
    (house.folder / "bare").mkdir()
    return Case(eval_of(house, questions="bare"), ("test.jsonl", "no such file"))


def eval_of_an_unknown_format(house: House) -> Case:
    return Case(eval_of(house, more=["--format", "csv"]), ("'csv'", "scienceqa"))


def eval_with_an_unknown_prompt(house: House) -> Case:
    return Case(eval_of(house, more=["--prompt", "shakespeare"]), ("shakespeare", "student_cot"))


def eval_without_a_model(house: House) -> Case:
    (house.student / "config.json").unlink()
    return Case(eval_of(house), (str(house.student), "config.json is missing"))


def eval_with_a_missing_adapter(house: House) -> Case:
    return Case(eval_of(house, more=["--adapter", str(house.folder / "none")]), ("--adapter", "none"))


def eval_with_no_adapter_in_the_folder(house: House) -> Case:
    return Case(eval_of(house, more=["--adapter", str(house.data)]), (str(house.data), "adapter_config.json"))


def eval_with_a_folder_for_answers(house: House) -> Case:
    return Case(eval_of(house, more=["--out", str(house.data)]), ("--out", str(house.data)))


def eval_with_a_file_for_a_folder(house: House) -> Case:
    out = house.config / "answers.jsonl"
    return Case(eval_of(house, more=["--out", str(out)]), ("--out", str(out)))


def eval_with_foreign_answers(house: House) -> Case:
    return Case(eval_of(house, more=["--out", str(house.data / "gate.jsonl")]), ("gate.jsonl:1", "not an answer"))


CASES: list[Callable[[House], Case]] = [
    corrupt_picture,
    text_for_a_picture,
    bomb,
    other_sha256,
    broken_gzip,
    gzip_in_name_only,
    id_of_test_in_pool,
    question_of_test_in_pool,
    validation_picture_in_pool,
    question_of_test_in_diagnosis,
    the_same_id_in_two_splits,
    pool_that_is_validation,
    student_without_model,
    student_that_sees_nothing,
    student_with_a_torn_config,
    file_for_the_runs,
    unknown_run,
    last_of_no_runs,
    run_with_an_absurd_name,
    unknown_skill,
    beginning_of_many_ids,
    torn_settings_of_a_run,
    torn_records_of_a_run,
    torn_result_of_a_run,
    runs_with_other_questions,
    run_without_a_manifest,
    runs_whose_questions_are_gone,
    run_without_answers,
    eval_of_a_missing_file,
    eval_of_no_questions,
    eval_of_a_folder_without_the_split,
    eval_of_an_unknown_format,
    eval_with_an_unknown_prompt,
    eval_without_a_model,
    eval_with_a_missing_adapter,
    eval_with_no_adapter_in_the_folder,
    eval_with_a_folder_for_answers,
    eval_with_a_file_for_a_folder,
    eval_with_foreign_answers,
]


@pytest.mark.parametrize("damage", CASES, ids=lambda case: case.__name__)
def test_damage(damage: Callable[[House], Case], house: House, capsys: pytest.CaptureFixture[str]) -> None:
    case = damage(house)
    complain(house, case.arguments, names=case.names, capsys=capsys)


def test_questions_that_the_teacher_cannot_read(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    """Found after the data were read, so one line of progress may stand before the complaint."""
    before = house.files()
    assert call(house.run("teacher.kind=world", "locate.method=answer_switch")) == 2
    err = capsys.readouterr().err.splitlines()
    assert [line for line in err if line.startswith("errata: ")] == err[-1:]
    assert all(line.startswith("[0] ") for line in err[:-1])
    assert "cannot read this question" in err[-1]
    assert house.files() == before
    assert list(house.runs.iterdir()) == []


@pytest.mark.parametrize(
    ("given", "names"),
    [("nowhere", ("ERRATA_DATA", "nowhere", "data.root")), (None, ("data.root", "ERRATA_DATA"))],
)
def test_data_that_are_elsewhere(
    given: str | None,
    names: tuple[str, ...],
    house: House,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    house.config.write_text(CONFIG.replace("data/", "sets/"))
    if given:
        monkeypatch.setenv("ERRATA_DATA", given)
    complain(house, house.run(), names=names, capsys=capsys)


def test_the_environment_says_where_the_data_lie(
    house: House, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (house.folder / "elsewhere").mkdir()
    house.data.rename(house.folder / "elsewhere" / "data")
    monkeypatch.chdir(house.folder)
    monkeypatch.setenv("ERRATA_DATA", "elsewhere")
    assert call(house.run("--dry-run", "--json")) == 0
    told = json.loads(capsys.readouterr().out)["settings"]["data"]
    assert told["root"] == str(house.folder / "elsewhere")
    assert told["gate"]["path"] == str(house.folder / "elsewhere" / "data" / "gate.jsonl")
    assert call(house.run("--dry-run", "--json", f"data.root={house.folder}")) == 2  # what is typed comes first
    assert str(house.folder / "data" / "pool.jsonl") in capsys.readouterr().err


@pytest.fixture
def begun(house: House) -> RunFolder:
    """A run that ended, made by the loop with a student that answers from a table."""
    folder = RunFolder(house.runs / "done-1")
    run_loop(load_settings(house.config), folder=folder, parts=Parts(student=TableStudent()))
    return folder


def test_resume_with_changed_data(begun: RunFolder, house: House, capsys: pytest.CaptureFixture[str]) -> None:
    house.change_row("gate", 2, question="Another question?")
    arguments = ["resume", "done-1", "--runs-dir", str(house.runs)]
    complain(house, arguments, names=("gate data changed", str(begun.path), "new run"), capsys=capsys)


def test_resume_without_its_data(begun: RunFolder, house: House, capsys: pytest.CaptureFixture[str]) -> None:
    (house.data / "gate.jsonl").unlink()
    arguments = ["resume", begun.id, "--runs-dir", str(house.runs)]
    complain(house, arguments, names=("data.gate.path", "gate.jsonl"), capsys=capsys)


def test_resume_of_an_ended_run_changes_no_record(
    begun: RunFolder, house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    """No fault: it prints the result again."""
    before = {name: body for name, body in house.files().items() if name.endswith((".jsonl", "result.json"))}
    assert call(["resume", begun.id, "--runs-dir", str(house.runs), "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["run"] == "done-1"
    after = house.files()
    logs = ("runs/done-1/events.jsonl", "runs/done-1/ledger.jsonl")
    assert {n: b for n, b in before.items() if n not in logs} == {n: after[n] for n in before if n not in logs}


HOLD = """
import fcntl, os, sys
file = open(sys.argv[1], "w")
fcntl.flock(file, fcntl.LOCK_EX)
print(os.getpid(), file=file, flush=True)
print("held", flush=True)
sys.stdin.read()
"""


def test_two_processes_on_one_run(begun: RunFolder, house: House, capsys: pytest.CaptureFixture[str]) -> None:
    command = [sys.executable, "-c", HOLD, str(begun.path / "lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        arguments = ["resume", begun.id, "--runs-dir", str(house.runs)]
        names = ("another process works on this run", f"pid {other.pid}", str(begun.path / "stop"))
        complain(house, arguments, names=names, capsys=capsys)
        other.communicate()


@pytest.fixture
def small_disk(house: House) -> Iterator[Path]:
    """A file system of 16 kB at the place of the runs; skipped where nothing may be mounted."""
    house.runs.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(house.runs)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("no right to mount a file system")
    yield house.runs
    subprocess.run(["umount", str(house.runs)], check=True)


def test_a_full_disk(small_disk: Path, house: House, capsys: pytest.CaptureFixture[str]) -> None:
    (small_disk / "ballast").write_bytes(bytes(16 * 1024))
    complain(house, house.run(), names=(str(small_disk), "disk is full", "make room"), capsys=capsys)


def test_a_disk_that_fills_while_the_data_are_read(
    small_disk: Path, house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    """Room for the first files of a run, not for all."""
    (small_disk / "ballast").write_bytes(bytes(8 * 1024))
    complain(house, house.run(), names=(str(small_disk), "disk is full", "make room"), capsys=capsys)


def test_a_read_only_disk(small_disk: Path, house: House, capsys: pytest.CaptureFixture[str]) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    complain(house, house.run(), names=(str(small_disk), "read-only"), capsys=capsys)


def test_a_read_only_run(begun: RunFolder, house: House, capsys: pytest.CaptureFixture[str]) -> None:
    """By permission bits, which do not bind root: then by the attribute that does, else skipped."""
    arguments = ["resume", begun.id, "--runs-dir", str(house.runs)]
    (begun.path / "lock").unlink()
    root = os.geteuid() == 0
    if root and (
        shutil.which("chattr") is None
        or subprocess.run(["chattr", "+i", str(begun.path)], capture_output=True, check=False).returncode
    ):
        pytest.skip("root may write everywhere here")
    begun.path.chmod(0o555) if not root else None
    try:
        complain(house, arguments, names=(str(begun.path), "may not be written to"), capsys=capsys)
    finally:
        begun.path.chmod(0o755) if not root else subprocess.run(["chattr", "-i", str(begun.path)], check=True)


def test_files_that_may_not_grow(house: House) -> None:
    """Stands for a quota, needs no rights: in a process of its own that may write files of 100 bytes at most."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))

    before = house.files()
    done = subprocess.run(
        [sys.executable, "-B", "-m", "agent", *house.run()],
        cwd=HOUSE,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        preexec_fn=limit,
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("errata: "), done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert str(house.runs) in done.stderr
    assert house.files() == before
