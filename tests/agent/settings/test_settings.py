"""Settings: the file, the overrides, and one line for every mistake in them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from errata.agent.settings.file import dump_settings, load_settings, valid_keys
from errata.agent.settings.tree import Settings
from errata.tools.errors import OperatorError

GOOD = """\
run: {name: t, seed: 3}
student:
  base: base
data:
  world:
    seed: 1
train:
  learning_rate: 2e-4
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "base").mkdir()
    path = tmp_path / "run.yaml"
    path.write_text(GOOD)
    return path


def test_paths_are_relative_to_the_file_and_numbers_are_those_of_yaml_1_2(file: Path) -> None:
    settings = load_settings(file)
    assert settings.student.base == str(file.parent / "base")
    assert settings.train.learning_rate == 2e-4


def test_overrides_win_in_order_and_their_paths_start_here(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "other").mkdir(parents=True)
    monkeypatch.chdir(elsewhere)
    settings = load_settings(
        file, ["train.epochs=3", "train.epochs=4", "student.base=other", "gate.min_gain=0.1"]
    )
    assert (settings.train.epochs, settings.gate.min_gain) == (4, 0.1)
    assert settings.student.base == str(elsewhere / "other")


def test_saved_settings_are_read_back_from_any_folder(file: Path, tmp_path: Path) -> None:
    settings = load_settings(file, ["train.target_modules=[q_proj, v_proj]"])
    (tmp_path / "deep" / "er").mkdir(parents=True)
    saved = tmp_path / "deep" / "er" / "settings.yaml"
    saved.write_text(dump_settings(settings))
    assert load_settings(saved) == settings


def test_sources_start_at_data_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "base").mkdir()
    (tmp_path / "sets").mkdir()
    (tmp_path / "sets" / "a.jsonl").touch()
    path = tmp_path / "run.yaml"
    sources = {s: {"path": "a.jsonl"} for s in ("pool", "diagnosis", "gate", "test")}
    path.write_text(yaml.safe_dump({"student": {"base": "base"}, "data": sources}))
    monkeypatch.chdir(tmp_path)
    settings = load_settings(path, ["data.root=sets"])
    assert settings.data.gate is not None
    assert settings.data.gate.path == str(tmp_path / "sets" / "a.jsonl")


@pytest.mark.parametrize(
    ("text", "overrides", "said"),
    [
        (GOOD + "trian: {}\n", [], r"run\.yaml:9: trian: unknown key .*did you mean train\?"),
        (GOOD + "  epoch: 3\n", [], r"run\.yaml:9: train\.epoch: unknown key .*did you mean train\.epochs\?"),
        (GOOD + "epochs: 3\n", [], r"run\.yaml:9: epochs: unknown key .*did you mean train\.epochs\?"),
        (GOOD + "  epochs: three\n", [], r"run\.yaml:9: train\.epochs: wrong value \(got 'three'\).*integer"),
        (GOOD + "  epochs: 0\n", [], r"run\.yaml:9: train\.epochs: wrong value \(got 0\).*greater than"),
        (GOOD + "  epochs: true\n", [], r"run\.yaml:9: train\.epochs: wrong value \(got True\)"),
        (GOOD, ["train.epochs=many"], r"command line: train\.epochs=many: train\.epochs: wrong value"),
        (GOOD, ["train.epochs"], r"command line: train\.epochs: not an override; write key\.path=value"),
        (GOOD, ["train.epoch=1"], r"command line.*train\.epoch: unknown key.*did you mean train\.epochs"),
        (GOOD, ["run.name.x=1"], r"command line: run\.name\.x=1: name is a value, not a branch"),
        (GOOD, ["student.base=gone"], r"student\.base: no such folder \(got '.*gone'\)"),
        (GOOD, ["data.pool.path=gone"], r"data: data\.world and data\.pool exclude each other; remove one"),
        (GOOD, ["control=rando"], r"control: wrong value \(got 'rando'\).*'random'"),
        (GOOD, ["control=insta"], r"insta needs a sentence encoder; set retrieve\.embedding, or rivals\.embedder"),
        (GOOD, ["control=superfiltering"], r"needs a language model; set rivals\.language_model"),
        (GOOD, ["rivals.embedder=gone"], r"command line: .*rivals\.embedder: no such folder \(got '.*gone'\)"),
        (
            GOOD,
            ["retrieve.embedding=encoder", "retrieve.embedding_model=gone"],
            r"retrieve\.embedding_model: no such folder \(got '/.*gone'\)",
        ),
        (GOOD, ["decide.model=gpt"], r"decide\.base_url is needed"),
        (GOOD.replace("  base: base", "  {"), [], r"run\.yaml:\d+: not valid YAML"),
        (GOOD + "train: {}\n", [], r"run\.yaml:9: train: the key stands twice"),
        ("", [], r"run\.yaml: the file is empty; start from"),
        ("- a\n", [], r"does not hold keys and values"),
        ("run: {name: Bad Name}\nstudent: {base: base}\ndata: {world: {}}\n", [], r"run\.yaml:1: run\.name"),
        ("student: {base: base}\n", [], r"run\.yaml: data: the key is missing; give data"),
        (
            "student: {base: base}\ndata: {pool: {path: x}}\n",
            [],
            r"run\.yaml:2: data: no source for diagnosis",
        ),
    ],
)
def test_one_line_with_file_key_value_and_remedy(
    text: str, overrides: list[str], said: str, file: Path
) -> None:
    file.write_text(text)
    with pytest.raises(OperatorError, match=said) as raised:
        load_settings(file, overrides)
    assert "\n" not in str(raised.value)


def test_missing_file_names_those_that_there_are(file: Path) -> None:
    with pytest.raises(OperatorError, match=r"gone\.yaml: cannot read.*there are run\.yaml"):
        load_settings(file.parent / "gone.yaml")


def test_missing_source_is_named(file: Path) -> None:
    sources = "".join(f"  {s}: {{path: gone.jsonl}}\n" for s in ("pool", "diagnosis", "gate", "test"))
    file.write_text(f"student: {{base: base}}\ndata:\n{sources}")
    with pytest.raises(
        OperatorError, match=r"run\.yaml:3: data\.pool\.path: no such file.*data\.root=FOLDER"
    ):
        load_settings(file)


def test_the_demo_settings_use_known_keys() -> None:
    tree = yaml.safe_load(Path("runs/configs/demo.yaml").read_text())
    assert Settings.model_validate_json(json.dumps(tree)).run.name == "demo"
    assert "train.epochs" in set(valid_keys())


@pytest.mark.parametrize("value", ["none", "0", "-1", "true", "2.5", "[best]", "null"])
def test_a_policy_of_checkpoints_that_is_none(value: str, file: Path) -> None:
    with pytest.raises(OperatorError, match=r"run\.keep_checkpoints: .* write all, best, or a number from 1 on"):
        load_settings(file, [f"run.keep_checkpoints={value}"])


def test_policies_of_checkpoints(file: Path) -> None:
    assert load_settings(file).run.keep_checkpoints == "all"
    kept = [load_settings(file, [f"run.keep_checkpoints={value}"]).run.keep_checkpoints for value in ("best", "3")]
    assert kept == ["best", 3]
