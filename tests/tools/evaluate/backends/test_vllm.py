import json
import sys
from pathlib import Path

import pytest
import torch

from errata.tools.errors import OperatorError
from errata.tools.evaluate.backends.options import ParityOptions, VllmOptions
from errata.tools.evaluate.backends.parity import compare_sides
from errata.tools.evaluate.backends.server_client import is_plain_lora
from errata.tools.evaluate.backends.sides import Side
from errata.tools.evaluate.backends.vllm_answers import adapter_rank, plan_engine
from errata.tools.evaluate.backends.vllm_engine import EngineSettings, Request, VllmEngine
from errata.tools.evaluate.student import EvaluateJob, GenerateOptions, content_keys, evaluate_student
from errata.tools.student.encode import encode_prompts
from errata.tools.student.load import open_student
from tests.tiny_student import build_problems, shared_host, source

HERE = Path(__file__).parent
SETTINGS = EngineSettings(
    model="m", adapter=None, name="base", rank=16, pictures=1, dtype="float32", picture=None, text=""
)


def scripted(folder: Path, *, rounds, ready=None) -> VllmOptions:
    """Options whose python is the stand-in, with what it is to answer."""
    folder.mkdir(exist_ok=True)
    program = folder / "python"
    program.write_text(f"#!{sys.executable}\n" + (HERE / "scripted_vllm.py").read_text())
    program.chmod(0o755)
    (folder / "answers.json").write_text(json.dumps({"ready": {} if ready is None else ready, "rounds": rounds}))
    return VllmOptions(python=str(program))


def told(folder: Path) -> list[dict]:
    """What the stand-in was told, line by line."""
    return [json.loads(line) for line in (folder / "asked.jsonl").read_text().splitlines()]


def test_answers_come_from_vllm_in_order_with_prompts_and_pictures_of_the_student(tmp_path):
    problems = build_problems(tmp_path / "pictures", 3, seed=4)
    options = scripted(tmp_path / "v", rounds=[[[f"It is so . The answer is {p.target}.", {}, []] for p in problems]])
    attempts = evaluate_student(
        problems, model=source(), options=GenerateOptions(backend="vllm", vllm=options, device="cpu"), workers=3,
        host=shared_host(),
    )  # fmt: skip
    assert [(a.problem, a.correct) for a in attempts] == [(p.id, True) for p in problems]
    settings, asked = told(tmp_path / "v")
    assert (settings["adapter"], settings["pictures"], settings["dtype"]) == (None, 1, "float32")
    student = open_student(source().base, adapter=None, device="cpu")
    for problem in problems:
        request = next(r for r in asked["requests"] if r["id"] == problem.id)
        assert request["text"].count("<image>") == 1
        assert problem.question.split()[0] in request["text"]
        assert not Path(request["pictures"][0]).is_file()  # made for the time of the evaluation
    assert asked["ends"] == student.end_ids


def test_answers_of_one_backend_are_not_taken_for_those_of_another(tmp_path):
    problems = build_problems(tmp_path / "pictures", 2, seed=4)
    usual, other = GenerateOptions(), GenerateOptions(backend="vllm")
    keys = [set(content_keys(problems, model=source(), options=o)) for o in (usual, other)]
    assert keys[0].isdisjoint(keys[1])
    assert keys[0] == set(content_keys(problems, model=source(), options=GenerateOptions(vllm=VllmOptions(gpus=2))))


def test_a_vllm_that_does_not_start_or_dies_is_one_line(tmp_path):
    with pytest.raises(OperatorError, match=r"vllm.python: cannot start: No such file.*/absent/python"):
        VllmEngine(SETTINGS, options=VllmOptions(python="/absent/python"))
    none = scripted(tmp_path / "none", rounds=[])
    (tmp_path / "none" / "answers.json").write_text(json.dumps({"ready": None, "rounds": []}))
    with pytest.raises(OperatorError, match=r"died \(exit code 1\): RuntimeError: no room for the model"):
        VllmEngine(SETTINGS, options=none)
    options = scripted(tmp_path / "short", rounds=[])
    with VllmEngine(SETTINGS, options=options) as engine, pytest.raises(OperatorError, match="nothing is left"):
        list(engine.ask([Request("a", "text", ())], max_new_tokens=3, ends=[1]))


@pytest.mark.parametrize(("rank", "held"), [(4, 8), (16, 16), (128, 128), (200, 256)])
def test_the_rank_that_vllm_is_started_with_holds_the_adapter(tmp_path, rank, held):
    (tmp_path / "adapter_config.json").write_text(json.dumps({"r": rank}))
    assert adapter_rank(str(tmp_path)) == held
    job = EvaluateJob(model=source(), options=GenerateOptions(device="cpu"), batches=())
    adapted = source(adapter=str(tmp_path), checkpoint="c7")
    settings = plan_engine(adapted, requests=[Request("a", "t", ("1.png", "2.png"))], job=job)
    assert (settings.name, settings.rank, settings.pictures, settings.picture) == ("c7", held, 2, None)


def test_adapters_that_vllm_cannot_take_are_refused_with_the_way_out(tmp_path):
    for config, says in (({"r": 4, "use_dora": True}, "no DoRA"), ({"r": 600}, r"this rank.*600")):
        (tmp_path / "adapter_config.json").write_text(json.dumps(config))
        with pytest.raises(OperatorError, match=rf"{says}.*vllm.merged: true"):
            adapter_rank(str(tmp_path))


def side(*answers: tuple[int, ...], first: float = 0.6, prompt: int = 7) -> Side:
    return Side(answers, tuple({1: first, 2: 1 - first} for _ in answers), tuple((prompt,) for _ in answers))


BASE, TRAINED = side((1,), (2,), first=0.5), side((3,), (2,))
SAME = {"template": "t", "pixels": "p"}


@pytest.mark.parametrize(
    ("theirs", "found", "says"),
    [
        ([BASE, TRAINED], SAME, ()),
        ([BASE, BASE], SAME, ("1 of 2 greedy answers", "the adapter is ignored: it changes 50%")),
        ([BASE, TRAINED], SAME | {"template": "other"}, ("the chat templates differ",)),
        ([BASE, TRAINED], SAME | {"pixels": "other"}, ("other pixels|different pixels",)),
        ([BASE, side((3,), (2,), prompt=8)], SAME, ("2 of 2 prompts are other tokens",)),
        ([BASE, side((3,), (2,), first=0.2)], SAME, (r"differs by 0\.400, at most 0\.1",)),
    ],
)
def test_a_certificate_names_each_thing_that_differs(theirs, found, says):
    import re

    parity = compare_sides(
        [BASE, TRAINED], theirs, described=SAME, found=found, checkpoint="c1", form="adapter", options=ParityOptions()
    )
    assert parity.passed == (not says)
    assert len(parity.faults) == len(says)
    for words, fault in zip(says, parity.faults, strict=True):
        assert re.search(words, fault)
    assert parity.changed == 0.5


def test_a_run_stops_before_the_first_answer_when_vllm_sees_another_student(tmp_path):
    problems = build_problems(tmp_path / "pictures", 2, seed=4)
    student = open_student(source().base, adapter=None, device="cpu")
    how = {"prompt": source().prompt, "image_first": source().image_first}
    with torch.inference_mode():
        ids = {p.id: encode_prompts([p], student=student, **how)["input_ids"][0].tolist() for p in problems}
    options = scripted(tmp_path / "v", rounds=[[["", {"0": 0.0}, [0]] for _ in problems]], ready={"template": "other"})
    (tmp_path / "v" / "prompts.json").write_text(json.dumps(ids))
    generate = GenerateOptions(backend="vllm", vllm=options, device="cpu", max_new_tokens=3)
    certificate = tmp_path / "parity.json"
    for _ in range(2):
        with pytest.raises(OperatorError, match=r"checkpoint base \(base\).*the chat templates differ"):
            evaluate_student(
                problems, model=source(), options=generate, host=shared_host(), certificate=certificate,
                store=tmp_path / "answers.jsonl",
            )  # fmt: skip
    assert json.loads(certificate.read_text())["prompts_equal"] == 2
    assert len(told(tmp_path / "v")) == 2  # asked once: the second time the certificate was read
    assert not (tmp_path / "answers.jsonl").exists()


@pytest.mark.parametrize(
    ("layers", "plain"),
    [
        (["model.text_model.layers.0.mlp.up_proj", "model.language_model.layers.0.self_attn.q_proj"], True),
        (["q_proj"], True),
        (["model.text_model.layers.0.mlp.up_proj", "model.connector.modality_projection.proj"], False),
        (["model.visual.blocks.0.attn.qkv"], False),
    ],
)
def test_adapters_beyond_the_language_model_are_merged_since_vllm_leaves_those_layers_out(tmp_path, layers, plain):
    (tmp_path / "adapter_config.json").write_text(json.dumps({"r": 4, "target_modules": layers}))
    assert is_plain_lora(str(tmp_path)) == plain
