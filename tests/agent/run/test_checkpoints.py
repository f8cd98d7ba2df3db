"""Which adapters stay on disk, what is written of the others, and room for the next."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from errata.agent.run.checkpoints import (
    PRUNED,
    STATE_COPIES,
    check_training_space,
    choose_kept,
    describe_pruned,
    prune_checkpoints,
    read_pruned,
)
from errata.agent.run.folder import RunFolder
from errata.agent.settings.run_settings import Keep
from errata.agent.settings.tree import Settings
from errata.tools.errors import OperatorError
from errata.tools.lora_size import estimate_lora_bytes
from errata.tools.records import Checkpoint
from tests.agent.made_run import BASE, FIRST, SECOND, make_run
from tests.exported_run import RECIPE, trained
from tests.tiny_student import shared_folder

NAMES = ("a", "b", "c", "d")


def checkpoints() -> list[Checkpoint]:
    base = Checkpoint(id="base", parent=None, folder="/m", lessons=0, recipe="", loss=None)
    made = [Checkpoint(id=n, parent="base", folder=f"checkpoints/{n}", lessons=1, recipe="r", loss=1) for n in NAMES]
    return [base, *made]


@pytest.mark.parametrize(
    ("keep", "best", "kept"),
    [
        ("all", "a", "abcd"),
        ("best", "a", "a"),
        ("best", "base", ""),
        (1, "a", "abd"),
        (2, "b", "bcd"),
        (1, "base", "bd"),
        (9, "a", "abcd"),
    ],
)
def test_policies(keep: Keep, best: str, kept: str) -> None:
    accuracy = {"base": 0.9, "a": 0.5, "b": 0.7, "c": 0.7, "d": 0.1}
    if keep == 1:
        accuracy["c"] = 0.6
    found = choose_kept(checkpoints(), keep=keep, best=best, accuracy=accuracy)
    assert found & set(NAMES) == set(kept)


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """The made-up run with two adapters, a base inside the run folder, and a folder that no record names."""
    made, _ = make_run(tmp_path / "runs")
    for name in (FIRST, SECOND, "unrecorded"):
        place = made.path / "checkpoints" / name
        (place / "deeper").mkdir(parents=True)
        (place / "adapter_model.safetensors").write_bytes(bytes(1000))
        (place / "deeper" / "state.pt").write_bytes(bytes(500))
        (place / "finished.json").write_text("{}")
    (made.path / "student").mkdir()
    (made.path / "student" / "model.safetensors").write_bytes(b"base")
    return made


def there(folder: RunFolder, name: str) -> list[str]:
    return sorted(p.name for p in (folder.path / "checkpoints" / name).rglob("*") if p.is_file())


def test_rejected_adapters_go_and_are_written_down(folder: RunFolder) -> None:
    whole = ["adapter_model.safetensors", "finished.json", "state.pt"]
    assert prune_checkpoints(folder, keep="all", best=FIRST) == []
    assert (there(folder, SECOND), folder.has(PRUNED)) == (whole, False)
    removed = prune_checkpoints(folder, keep="best", best=FIRST)
    assert [(p.id, p.bytes) for p in removed] == [(SECOND, 1500)]
    assert describe_pruned(removed) == "1 adapter removed, 1.5 kB"
    assert there(folder, SECOND) == ["finished.json"]
    assert there(folder, FIRST) == there(folder, "unrecorded") == whole
    assert (folder.path / "student" / "model.safetensors").read_bytes() == b"base"
    assert read_pruned(folder) == removed
    assert "run.keep_checkpoints=best" in removed[0].reason
    assert [e["checkpoint"] for e in folder.events() if e["event"] == "checkpoint_removed"] == [SECOND]
    assert prune_checkpoints(folder, keep="best", best=FIRST) == []


def test_a_removal_that_was_killed_is_ended_and_told_once(folder: RunFolder) -> None:
    prune_checkpoints(folder, keep="best", best=FIRST)
    before = read_pruned(folder)
    (folder.path / "checkpoints" / SECOND / "state.pt").write_bytes(b"left")
    prune_checkpoints(folder, keep="best", best=FIRST)
    assert there(folder, SECOND) == ["finished.json"]
    assert read_pruned(folder) == before
    assert sum(e["event"] == "checkpoint_removed" for e in folder.events()) == 1


def test_nothing_outside_the_folder_of_checkpoints_is_removed(folder: RunFolder, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "model.safetensors").write_bytes(b"mine")
    shutil.rmtree(folder.path / "checkpoints" / SECOND)
    (folder.path / "checkpoints" / SECOND).symlink_to(tmp_path / "elsewhere")
    old = folder.read_records("checkpoints.jsonl", Checkpoint)
    wrong = Checkpoint(id="w", parent=BASE, folder="checkpoints", lessons=0, recipe="r", loss=None)
    folder.write_records("checkpoints.jsonl", [*old, wrong])
    assert prune_checkpoints(folder, keep="best", best=FIRST) == []
    assert (tmp_path / "elsewhere" / "model.safetensors").exists()


def test_size_of_an_adapter_is_told_from_the_base() -> None:
    base = str(shared_folder() / "base")
    with safe_open(trained() / "adapter_model.safetensors", framework="numpy") as file:
        real = sum(file.get_tensor(name).nbytes for name in file.keys())  # noqa: SIM118
    assert estimate_lora_bytes(base, rank=RECIPE.lora_rank, targets="text") == real
    with_connector = estimate_lora_bytes(base, rank=RECIPE.lora_rank, targets="text-and-connector")
    assert with_connector > real
    named = json.loads((trained() / "adapter_config.json").read_text())["target_modules"]
    short = tuple(sorted({name.rpartition(".")[2] for name in named}))
    assert estimate_lora_bytes(base, rank=RECIPE.lora_rank, targets=short) >= real > 0


def test_size_where_no_name_tells_the_text_model(tmp_path: Path) -> None:
    import numpy as np

    shapes = {"model.layers.0.q.weight": (3, 5), "visual.q.weight": (7, 7), "model.embed_tokens.weight": (9, 5)}
    shapes |= {"lm_head.weight": (9, 5), "model.norm.weight": (5,), "model.layers.0.q.bias": (2, 2)}
    save_file({name: np.zeros(shape, np.float32) for name, shape in shapes.items()}, tmp_path / "m.safetensors")
    (tmp_path / "broken.safetensors").write_bytes(b"\x05\0\0\0\0\0\0\0nope!")
    (tmp_path / "empty.safetensors").write_bytes(b"")
    assert estimate_lora_bytes(str(tmp_path), rank=2, targets="text") == 4 * 2 * (3 + 5)
    assert estimate_lora_bytes(str(tmp_path / "none"), rank=2, targets="text") == 0


def test_a_training_that_does_not_fit_is_refused_before_it_begins(tmp_path: Path) -> None:
    folder, _ = make_run(tmp_path / "runs")
    data = {s: {"path": "x"} for s in ("pool", "diagnosis", "gate", "test")}
    tree = {"data": data, "student": {"base": str(shared_folder() / "base")}}
    check_training_space(Settings.model_validate(tree), folder=folder)
    tree["train"] = {"lora_rank": 10**12}
    with pytest.raises(OperatorError, match=rf"\({STATE_COPIES} times an adapter of [\d.]+ TB\) needs .* are free"):
        check_training_space(Settings.model_validate(tree), folder=folder)
