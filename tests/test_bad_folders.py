"""Bad inputs on the command line: one line on stderr, exit code 2, and every file as it was before."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from errata.agent.run.folder import RunFolder
from errata.agent.run.outcome import read_settings
from tests.agent.loop_fakes import make_row
from tests.agent.made_run import FIRST, make_run
from tests.bad_inputs import House, complain


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
    return Case(eval_of(house, more=["--format", "csv"]), ("'csv'", "sharegpt"))


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
