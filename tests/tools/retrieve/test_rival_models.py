"""Real models, tiny, built here, saved, and opened again through the Auto classes."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from errata.tools.errors import OperatorError
from errata.tools.records import Problem
from errata.tools.retrieve.encoder import FolderEncoder
from errata.tools.retrieve.model_files import name_model, plan_batches
from errata.tools.retrieve.rivals import METHODS, Means, Request
from errata.tools.retrieve.rivals.gradients import StudentGradients
from errata.tools.retrieve.rivals.perplexity import FolderPerplexity
from errata.tools.retrieve.rivals.request import Exchange
from tests.tiny_student import build_problems, build_tokenizer, shared_folder, source

TEXTS = ["What colour is the circle ?", "how many", "the red star and the blue square in row one", "red"]


@pytest.fixture(scope="module")
def encoder_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import BertConfig, BertModel

    folder = tmp_path_factory.mktemp("encoder")
    torch.manual_seed(0)
    tokenizer = build_tokenizer()
    tokenizer.save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=16,
        pad_token_id=tokenizer.pad_token_id,
    )
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def language_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GPT-2 with 24 positions that has learned one thing: the colour of a circle is red, of a star blue."""
    from transformers import GPT2Config, GPT2LMHeadModel

    folder = tmp_path_factory.mktemp("language")
    torch.manual_seed(0)
    tokenizer = build_tokenizer()
    tokenizer.save_pretrained(folder)
    ends = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    config = GPT2Config(
        vocab_size=len(tokenizer), n_positions=24, n_embd=32, n_layer=2, n_head=2, initializer_range=0.1, **ends
    )
    model = GPT2LMHeadModel(config).eval()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    facts = [("What colour is the circle ?", "red"), ("What colour is the star ?", "blue"), ("", "red"), ("", "blue")]
    texts = [tokenizer(f"<bos> {asked} The answer is {said} .", return_tensors="pt").input_ids for asked, said in facts]
    for _ in range(60):
        optimizer.zero_grad()
        sum(model(ids, labels=ids).loss for ids in texts).backward()
        optimizer.step()
    model.save_pretrained(folder)
    return folder


def test_an_encoder_gives_unit_means_of_its_last_states(encoder_folder: Path) -> None:
    from transformers import AutoModel, AutoTokenizer

    found = FolderEncoder(encoder_folder, device="cpu")(TEXTS)
    assert found.shape == (4, 32)
    assert found.dtype == np.float32
    assert np.linalg.norm(found, axis=1) == pytest.approx(1.0, abs=1e-5)
    model, tokenizer = AutoModel.from_pretrained(encoder_folder), AutoTokenizer.from_pretrained(encoder_folder)
    for text, vector in zip(TEXTS, found, strict=True):
        with torch.inference_mode():
            mean = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].mean(dim=0)
        assert vector == pytest.approx((mean / mean.norm()).numpy(), abs=1e-5)
    assert FolderEncoder(encoder_folder)([]).shape == (0, 32)


def test_an_encoder_cuts_long_texts_and_pools_as_its_folder_says(encoder_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cls"
    shutil.copytree(encoder_folder, folder)
    (folder / "1_Pooling").mkdir()
    modes = {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"word_embedding_dimension": 32, **modes}))
    kinds = ["sentence_transformers.models.Transformer", "sentence_transformers.models.Pooling"]
    (folder / "modules.json").write_text(json.dumps([{"type": kind} for kind in kinds]))
    long, cut = "red " * 40, "red " * 16
    first, mean = FolderEncoder(folder)([long, cut, "red"]), FolderEncoder(encoder_folder)([long, cut])
    assert first[0] == pytest.approx(first[1], abs=1e-5)
    assert mean[0] == pytest.approx(mean[1], abs=1e-5)
    assert np.abs(first[0] - mean[0]).max() > 0.01
    (folder / "modules.json").write_text(json.dumps([{"type": "sentence_transformers.models.Dense"}]))
    with pytest.raises(OperatorError, match=r"has a part that is not known \(got 'Dense'\)"):
        FolderEncoder(folder)


def test_insta_with_an_encoder_finds_the_same_question(encoder_folder: Path) -> None:
    pool = {str(i): Problem(id=str(i), question=text, target="x", scoring="exact") for i, text in enumerate(TEXTS)}
    wanted = Problem(id="v", question=TEXTS[2], target="x", scoring="exact", split="diagnosis")
    request = Request(pool=pool, budget=1, validation=[wanted])
    (found,) = METHODS["insta"](request, means=Means(embed=FolderEncoder(encoder_folder))).candidates
    assert (found.problem.id, found.score) == ("2", 1.0)


def reference(folder: Path, prefix: str, answer: str) -> float:
    """Perplexity of `answer` after `prefix` by one plain forward pass."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    head = [tokenizer.bos_token_id, *tokenizer(prefix).input_ids]
    tail = tokenizer(answer).input_ids
    with torch.inference_mode():
        logs = model(torch.tensor([head + tail])).logits[0].log_softmax(dim=-1)
    losses = [-float(logs[len(head) + i - 1, token]) for i, token in enumerate(tail)]
    return math.exp(sum(losses) / len(losses))


def test_perplexities_equal_one_plain_pass_whatever_the_batch(language_folder: Path) -> None:
    exchanges = [Exchange(f"{text}\n", f"The answer is {word} .") for text in TEXTS for word in ("red", "blue")]
    measured = FolderPerplexity(language_folder, device="cpu")(exchanges)
    for exchange, found in zip(exchanges, measured, strict=True):
        assert found is not None
        assert found.tokens == 5
        assert found.given == pytest.approx(reference(language_folder, exchange.question, exchange.answer), rel=1e-4)
        assert found.alone == pytest.approx(reference(language_folder, "", exchange.answer), rel=1e-4)


def test_an_answer_of_one_token_has_a_finite_perplexity(language_folder: Path) -> None:
    (found,) = FolderPerplexity(language_folder)([Exchange("What colour is the circle ?", "red")])
    assert found is not None
    assert found.tokens == 1
    assert math.isfinite(found.given)
    assert math.isfinite(found.alone)


def test_an_answer_is_cut_the_same_in_both_texts(language_folder: Path) -> None:
    measure = FolderPerplexity(language_folder)
    long, none, empty = measure(
        [Exchange("red " * 20, "blue " * 9), Exchange("red " * 30, "blue"), Exchange("red", " ")]
    )
    assert (none, empty) == (None, None)
    assert long is not None
    assert long.tokens == 3  # 24 positions, less the beginning and the question
    assert long.alone == pytest.approx(reference(language_folder, "", "blue " * 3), rel=1e-4)
    (shorter,) = FolderPerplexity(language_folder, max_tokens=22)([Exchange("red " * 20, "blue " * 9)])
    assert shorter is not None
    assert shorter.tokens == 1


def test_superfiltering_drops_answers_that_the_question_speaks_against(language_folder: Path) -> None:
    def ask(name: str, shape: str, colour: str) -> Problem:
        question = f"What colour is the {shape} ?"
        return Problem(id=name, question=question, target=colour, scoring="exact")

    rows = [ask("known", "circle", "red"), ask("wrong", "circle", "blue"), ask("new", "star", "blue")]
    request = Request(pool={p.id: p for p in rows}, budget=3)
    selection = METHODS["superfiltering"](request, means=Means(perplexity=FolderPerplexity(language_folder)))
    kept = {c.problem.id: c.score for c in selection.candidates}
    assert {"known", "new"} == kept.keys()
    assert all(0 < score < 1 for score in kept.values())
    assert sum(selection.left_out.values()) == 1


def test_a_vision_language_model_and_its_chat_template_serve_without_pictures() -> None:
    (found,) = FolderPerplexity(shared_folder() / "base")([Exchange("What colour is the star ?", "It is red .")])
    assert found is not None
    assert found.tokens == 4
    assert found.given > 1


@pytest.mark.parametrize("kind", [FolderEncoder, FolderPerplexity])
def test_what_is_no_model_is_said_in_one_line(kind: Any, tmp_path: Path, encoder_folder: Path) -> None:
    with pytest.raises(OperatorError, match=r"(embedding|rivals\.\w+): no model here: config\.json is missing"):
        kind(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(OperatorError, match="cannot load the") as raised:
        kind(tmp_path)([Exchange("a", "b")])
    assert "\n" not in str(raised.value)
    broken = tmp_path / "broken"
    shutil.copytree(encoder_folder, broken)
    (broken / "model.safetensors").write_bytes((broken / "model.safetensors").read_bytes()[:200])
    with pytest.raises(OperatorError, match="cannot load the"):
        kind(broken)(["red"])


def test_a_model_without_all_of_its_weights_is_refused(encoder_folder: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "part"
    shutil.copytree(encoder_folder, folder)
    weights = load_file(folder / "model.safetensors")
    gone = next(name for name in weights if name.endswith("attention.self.query.weight"))
    del weights[gone]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(OperatorError, match=r"1 weights of the encoder model are missing \(got '.*query\.weight'\)"):
        FolderEncoder(folder)(["red"])
    assert name_model(folder) != name_model(encoder_folder)


def test_batches_hold_every_input_once_like_beside_like() -> None:
    lengths = [5, 1, 9, 5, 30, 2, 5]
    batches = plan_batches(lengths, tokens=20)
    assert sorted(i for batch in batches for i in batch) == list(range(7))
    assert batches == [[1, 5, 0, 3], [6, 2], [4]]
    assert plan_batches([], tokens=20) == []


@pytest.fixture(scope="module")
def pictured() -> list[Problem]:
    return build_problems(shared_folder() / "less", 6, seed=5)


def test_gradients_of_a_batch_are_those_of_each_sample_alone(pictured: list[Problem]) -> None:
    measure = StudentGradients(source(), size=64)
    together = measure(pictured)
    alone = np.concatenate([measure([problem]) for problem in pictured])
    assert together.shape == (6, 64)
    assert np.abs(together).max() > 1e-3
    assert together == pytest.approx(alone, abs=1e-4 * float(np.abs(alone).max()))


def test_gradients_are_those_of_autograd(pictured: list[Problem]) -> None:
    """The squared length of the sketch is that of the gradient, on average over sketches."""
    from peft import LoraConfig, get_peft_model

    from errata.tools.student.collate import collate
    from errata.tools.student.encode import encode_sample
    from errata.tools.student.layers import linear_names
    from errata.tools.student.load import open_student

    one = pictured[0]
    sketches = [StudentGradients(source(), size=256, seed=seed)([one]) for seed in range(4)]
    measured = float(np.mean([float((s**2).sum()) for s in sketches]))
    lengths = []
    for seed in range(4):
        student = open_student(source().base, adapter=None, device="cpu")
        torch.manual_seed(seed)
        config = LoraConfig(r=8, lora_alpha=8, target_modules=linear_names(student.model, targets="text"))
        model = get_peft_model(student.model, config).eval()
        sample = encode_sample(one, student=student, prompt="student_brief", image_first=False)
        model(**collate([sample], student=student)).loss.backward()
        lengths.append(sum(float((p.grad**2).sum()) for p in model.parameters() if p.grad is not None))
    assert measured == pytest.approx(float(np.mean(lengths)), rel=0.35)


def test_less_prefers_the_same_lesson(pictured: list[Problem]) -> None:
    wanted = pictured[0].model_copy(update={"id": "v", "split": "diagnosis"})
    request = Request(pool={p.id: p for p in pictured}, budget=2, validation=[wanted])
    found = METHODS["less"](request, means=Means(gradients=StudentGradients(source(), size=256))).candidates
    assert found[0].problem.id == pictured[0].id
    assert found[0].score == pytest.approx(1.0, abs=1e-4)
    assert found[1].score < 1
