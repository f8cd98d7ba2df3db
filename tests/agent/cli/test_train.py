import json
from pathlib import Path

import pytest

from errata.agent.cli.main import main
from errata.tools.records import Problem, from_jsonl, to_jsonl
from errata.tools.student.encode import IGNORED, encode_sample
from errata.tools.student.load import open_student
from tests.tiny_student import build_problems, shared_folder

BASE = ("--base", str(shared_folder() / "base"), "--prompt", "student_brief")
RECIPE = ("batch_size=4", "lora_rank=2", "lora_alpha=4", "learning_rate=1e-2", "device=cpu")


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    folder = tmp_path_factory.mktemp("samples")
    (folder / "pool.jsonl").write_text(to_jsonl(build_problems(folder / "pictures", 8, seed=9)))
    return str(folder / "pool.jsonl")


def test_a_training_by_itself_writes_a_checkpoint_that_opens(samples, tmp_path, capsys):
    out = tmp_path / "mine"
    assert main(["train", samples, *BASE, "--out", str(out), "--json", *RECIPE]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["samples"], said["steps"], said["skipped"], said["folder"]) == (8, 2, 0, str(out))
    assert open_student(BASE[1], adapter=str(out), device="cpu").family.name == "Idefics3"


@pytest.mark.parametrize("method", ["dora", "full"])
def test_other_methods_of_training_are_opened_the_same_way(samples, tmp_path, capsys, method):
    import torch

    out = tmp_path / method
    assert main(["train", samples, *BASE, "--out", str(out), f"method={method}", *RECIPE]) == 0
    assert "in 2 steps" in capsys.readouterr().out
    base, trained = (open_student(BASE[1], adapter=adapter, device="cpu").model for adapter in (None, str(out)))
    layers = [model.model.text_model.layers[0].self_attn.q_proj.weight for model in (base, trained)]
    assert not torch.equal(*layers)
    pictures = [model.model.vision_model.encoder.layers[0].mlp.fc1.weight for model in (base, trained)]
    assert torch.equal(*pictures)


def test_explain_says_what_trains_and_where_values_come_from_and_trains_nothing(samples, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["train", samples, *BASE, "--explain", "--json", "epochs=3", *RECIPE]) == 0
    said = json.loads(capsys.readouterr().out)
    model = open_student(BASE[1], adapter=None, device="cpu").model
    assert said["parameters"] == sum(weight.numel() for weight in model.parameters())
    parts = {part["part"]: part for part in said["parts"]}
    assert parts["text"]["layers"] == 14
    assert parts["vision"]["trained"] == parts["connector"]["trained"] == 0
    assert said["trained"] == parts["text"]["trained"] > 0
    assert (said["steps"], said["warmup_steps"], said["samples"], said["family"]) == (6, 1, 8, "Idefics3")
    student = open_student(BASE[1], adapter=None, device="cpu")
    problems = from_jsonl(Path(samples).read_text(), Problem)
    encoded = [encode_sample(p, student=student, prompt="student_brief", image_first=False) for p in problems]
    assert said["tokens"] == round(sum(len(sample.ids) for sample in encoded) / 8)
    assert said["answer_tokens"] == round(sum(int((sample.labels != IGNORED).sum()) for sample in encoded) / 8)
    origins = {setting["name"]: setting["origin"] for setting in said["settings"]}
    assert (origins["epochs"], origins["schedule"], origins["seed"]) == (
        "given",
        "inferred from LLaVA's public recipe",
        "Errata's default",
    )
    assert list(tmp_path.iterdir()) == []
    assert main(["train", samples, *BASE, "--explain", "target_modules=vision-and-connector", *RECIPE]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("  text:") and line.endswith("frozen") for line in lines)
    assert any(line.startswith("  vision:") and "adapters on" in line for line in lines)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("foo=1",), "no setting of the recipe"),
        (("epochs=none",), "epochs"),
        (("epochs",), "write KEY=VALUE"),
        (("method=qlora",), "qlora needs a CUDA device"),
        (("--base", "/absent"), "--base: no such folder"),
        (("--adapter", "."), "no adapter here"),
        (("target_modules=[absent]",), "no linear layer matches"),
        (("packing=on", "max_tokens=9"), "longer than 9 tokens"),
    ],
)
def test_what_a_person_has_to_mend_is_one_line(samples, tmp_path, capsys, words, says):
    options = [word for word in words if "=" not in word] if words[0].startswith("--") else []
    pairs = [] if options else list(words)
    assert main(["train", samples, *BASE, "--out", str(tmp_path / "t"), *options, *RECIPE, *pairs]) == 2
    said = capsys.readouterr().err
    assert says in said
    assert "Traceback" not in said
    assert said.strip().splitlines()[-1].startswith("errata: ")
