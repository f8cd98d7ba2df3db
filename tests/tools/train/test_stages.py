import json

import pytest
import torch

from errata.agent.cli.main import main
from errata.tools.records import to_jsonl
from errata.tools.student.load import open_student
from errata.tools.train.recipe import Recipe
from errata.tools.train.stages import PLANS, find_trap, kind_of, split_samples
from tests.tiny_student import build_problems, shared_folder

BASE = ("--base", str(shared_folder() / "base"), "--prompt", "student_brief")
FAST = ("device=cpu", "learning_rate=1e-2", "epochs=1", "batch_size=4")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Perception questions and questions with rationales, as `errata matrices make` keeps them apart."""
    folder = tmp_path_factory.mktemp("stages")
    whole = build_problems(folder / "pictures", 12, seed=21)
    seen = [
        p.model_copy(update={"id": f"see-{i}", "metadata": {"level": "fine", "matrix": f"m{i // 4}", "place": i % 4}})
        for i, p in enumerate(whole[:8])
    ]
    (folder / "perception.jsonl").write_text(to_jsonl(seen))
    (folder / "whole.jsonl").write_text(to_jsonl(whole[8:]))
    return folder, seen, whole[8:]


def test_p3_is_data_and_says_what_the_paper_says():
    perception, reasoning = PLANS["p3"]
    assert (perception.uses, perception.recipe.target_modules) == (("perception",), "vision-and-connector")
    assert (perception.recipe.learning_rate, perception.recipe.epochs, perception.recipe.batch_size) == (1e-5, 4, 2)
    assert (reasoning.uses, reasoning.recipe.target_modules) == (("perception", "reasoning"), "all")
    assert (reasoning.recipe.learning_rate, reasoning.recipe.epochs, reasoning.recipe.batch_size) == (2e-6, 1, 4)
    assert reasoning.recipe.replay == 0.1


def test_each_stage_gets_its_kind_of_samples(files):
    _, seen, whole = files
    parts = split_samples([*seen, *whole], PLANS["p3"])
    assert [len(part) for part in parts] == [8, 12]
    assert {kind_of(problem) for problem in parts[0]} == {"perception"}


def test_fine_questions_in_grid_order_are_warned_of(files):
    _, seen, _ = files
    assert find_trap(seen).startswith("100% of the fine questions follow the grid's order")
    assert find_trap([*seen[3::-1], *seen[:3:-1]]) == ""


def test_two_stages_train_what_they_say_and_open_as_one_checkpoint(files, tmp_path, capsys):
    folder, *_ = files
    out = tmp_path / "p3"
    words = ["train", str(folder / "perception.jsonl"), "--also", str(folder / "whole.jsonl"), *BASE, "--plan", "p3"]
    assert main([*words, "--out", str(out), "--json", *FAST]) == 0
    said = capsys.readouterr()
    assert [stage["samples"] for stage in json.loads(said.out)["stages"]] == [8, 12]
    assert "the grid's order" in said.err
    opened = {
        name: open_student(BASE[1], adapter=adapter, device="cpu").model.state_dict()
        for name, adapter in (("base", None), ("first", str(out / "1-perception")), ("both", str(out)))
    }
    text, sight = "model.text_model.layers.0.mlp.up_proj.weight", "model.connector.modality_projection.proj.weight"
    assert torch.equal(opened["base"][text], opened["first"][text])
    assert not torch.equal(opened["base"][sight], opened["first"][sight])
    assert not torch.equal(opened["first"][text], opened["both"][text])
    assert not torch.equal(opened["first"][sight], opened["both"][sight])
    last = open_student(BASE[1], adapter=str(out / "2-reasoning"), device="cpu").model.state_dict()
    assert all(torch.equal(last[name], value) for name, value in opened["both"].items())
    before = (out / "1-perception" / "trained_parts.safetensors").stat().st_mtime_ns
    assert main([*words, "--out", str(out), *FAST]) == 0
    assert (out / "1-perception" / "trained_parts.safetensors").stat().st_mtime_ns == before


def test_explain_and_missing_samples_name_the_stage(files, tmp_path, capsys):
    folder, *_ = files
    words = ["train", str(folder / "whole.jsonl"), *BASE, "--plan", "p3"]
    assert main([*words, "--out", str(tmp_path / "x"), *FAST]) == 2
    assert "no samples for the stage perception" in capsys.readouterr().err
    assert main([*words, "--also", str(folder / "perception.jsonl"), "--explain", *FAST]) == 0
    lines = capsys.readouterr().out.splitlines()
    first, second = lines.index("stage perception:"), lines.index("stage reasoning:")
    assert any(line.startswith("  text:") and line.endswith("frozen") for line in lines[first:second])
    assert any(line.startswith("  text:") and "trained itself" in line for line in lines[second:])


def test_each_stage_gets_its_share_of_general_samples_and_none_twice(files, tmp_path):
    _, seen, whole = files
    general = [p.model_copy(update={"id": f"general-{i}"}) for i, p in enumerate(build_problems(tmp_path, 6, seed=5))]
    stages = tuple(s.model_copy(update={"recipe": Recipe(replay=0.2)}) for s in PLANS["p3"])
    parts = split_samples([*seen, *whole], stages, replay=[*general, general[0], seen[0]])
    assert [[p.id.startswith("general") for p in part].count(True) for part in parts] == [2, 3]
    assert [len({p.id for p in part}) for part in parts] == [10, 15]


def test_replay_on_the_command_line(files, tmp_path, capsys):
    folder, *_ = files
    general = tmp_path / "general.jsonl"
    general.write_text(to_jsonl([p.model_copy(update={"id": f"g-{p.id}"}) for p in build_problems(tmp_path, 3)]))
    words = ["train", str(folder / "whole.jsonl"), *BASE, "--out", str(tmp_path / "x"), "--json", *FAST]
    assert main([*words, "--replay", str(general), "replay=0.2"]) == 0
    assert json.loads(capsys.readouterr().out)["samples"] == 5
    assert main([*words, "replay=0.2"]) == 2
    said = json.loads(capsys.readouterr().err)
    assert (said["error"], said["remedy"]) == ("no samples to replay", "name the general samples by --replay FILE")
