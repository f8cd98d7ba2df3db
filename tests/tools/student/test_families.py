"""Each family: built from its real classes, saved, opened, checked, trained, asked, exported and opened again."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch
from PIL import Image

from errata.tools.evaluate.generate import generate_by_library, generate_greedily
from errata.tools.evaluate.student import GenerateOptions, evaluate_student
from errata.tools.records import ImageRef, Problem
from errata.tools.student.checks import check_mask, check_packing, check_passes, check_pictures, check_prompt
from errata.tools.student.collate import collate
from errata.tools.student.encode import IGNORED, encode_prompts, encode_sample
from errata.tools.student.families import FAMILIES
from errata.tools.student.features import add_features, hand_over
from errata.tools.student.load import open_student
from errata.tools.student.loss import answer_loss
from errata.tools.student.source import StudentSource
from errata.tools.train.recipe import Recipe
from errata.tools.train.run import train_student
from tests.families import BUILDERS, build_family, lacking
from tests.tiny_student import shared_host, teach

HOW = {"prompt": "student_brief", "image_first": True}
RECIPE = Recipe(learning_rate=5e-2, batch_size=4, epochs=4, lora_rank=4, lora_alpha=8, replay=0.0, device="cpu")
SIZES = ((100, 60), (64, 128), (90, 90), (200, 60))


@pytest.fixture(scope="module", params=list(BUILDERS))
def base(request, tmp_path_factory):
    if reason := lacking(request.param):
        pytest.skip(f"{FAMILIES[request.param].name}: {reason}")
    torch.set_num_threads(1)
    return build_family(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def problems(tmp_path_factory):
    """Questions of different lengths about pictures of different shapes."""
    folder, made = tmp_path_factory.mktemp("pictures"), []
    for i, (width, height) in enumerate(SIZES):
        path = folder / f"{i}.png"
        noise = np.random.RandomState(i).randint(0, 255, (height, width, 3), dtype=np.uint8)
        Image.fromarray(noise).save(path)
        ref = ImageRef(path=str(path), sha256=hashlib.sha256(path.read_bytes()).hexdigest())
        made.append(
            Problem(
                id=f"p{i}", question="Which colour? " * (i + 1), choices=("red", "blue"), target="AB"[i % 2],
                rationale="It is so.", images=(ref,),
            )
        )  # fmt: skip
    return made


@pytest.fixture(scope="module")
def student(base):
    return open_student(str(base), adapter=None, device="cpu")


@pytest.fixture(scope="module")
def samples(student, problems):
    return [encode_sample(problem, student=student, **HOW) for problem in problems]


@pytest.fixture(scope="module")
def trained(base, problems, tmp_path_factory):
    source = StudentSource(base=str(base), checkpoint="base", **HOW)
    folder = tmp_path_factory.mktemp("run") / "c1"
    losses: list[float] = []
    train_student(
        teach(problems), base=source, recipe=RECIPE, folder=folder, checkpoint_id="c1",
        on_progress=lambda progress: losses.append(progress.loss), replay=(), host=shared_host(),
    )  # fmt: skip
    return source, folder, losses


def test_what_goes_wrong_in_silence_elsewhere_does_not(student, samples, problems):
    check_pictures(samples, student=student)
    for sample, problem in zip(samples, problems, strict=True):
        check_mask(sample, problem, student=student)
        check_prompt(sample, problem, student=student, **HOW)
        assert check_passes(sample, problem, student=student, **HOW) < 1e-4


def test_padding_behind_a_sample_changes_nothing(student, samples):
    together = collate(samples, student=student)
    labels = together.pop("labels")
    student.model.train()
    with torch.no_grad():
        states = student.model(**together, use_cache=False).logits
        for row, sample in enumerate(samples):
            alone = collate([sample], student=student)
            kept = alone.pop("labels")[0] != IGNORED
            wanted = student.model(**alone, use_cache=False).logits[0][kept]
            torch.testing.assert_close(states[row][labels[row] != IGNORED], wanted, rtol=1e-4, atol=1e-4)


def test_packed_samples_are_seen_as_alone_or_the_family_says_that_it_cannot(student, samples):
    if student.family.packs:
        assert check_packing(samples, student=student) < 1e-4
    else:
        assert student.family.note


def test_our_loop_answers_as_the_library_does(student, problems):
    student.model.eval()
    batch = dict(encode_prompts(problems, student=student, **HOW))
    with torch.inference_mode():
        ours = generate_greedily(dict(batch), student=student, max_new_tokens=12)
        assert ours == generate_by_library(dict(batch), student=student, max_new_tokens=12)
    assert any(ours)


def test_training_learns_and_the_adapter_changes_the_answers(trained, problems):
    source, folder, losses = trained
    assert losses[-1] < losses[0]
    options = GenerateOptions(max_new_tokens=12, batch_size=4, device="cpu")
    before = evaluate_student(problems, model=source, options=options, host=shared_host())
    adapted = source.model_copy(update={"adapter": str(folder), "checkpoint": "c1"})
    after = evaluate_student(problems, model=adapted, options=options, host=shared_host())
    assert [a.response for a in before] != [a.response for a in after]


def test_merged_and_saved_it_says_the_same(trained, samples, tmp_path):
    source, folder, _ = trained
    adapted = open_student(source.base, adapter=str(folder), device="cpu")
    adapted.model.save_pretrained(tmp_path)
    adapted.processor.save_pretrained(tmp_path)
    again = open_student(str(tmp_path), adapter=None, device="cpu")
    inputs = {"input_ids": samples[0].ids[None]} | {k: v[None] for k, v in samples[0].per_token.items()}
    inputs |= samples[0].extras
    with torch.inference_mode():
        torch.testing.assert_close(
            adapted.model.eval()(**inputs).logits, again.model.eval()(**inputs).logits, rtol=1e-4, atol=1e-4
        )


def test_features_in_place_of_pictures_give_the_same_loss(student, samples):
    student.model.eval()
    losses = []
    for some in (samples, add_features(samples, student=student)):
        batch = collate(some, student=student)
        labels = batch.pop("labels")
        assert ("pixel_values" in batch) == (some is samples)
        with torch.inference_mode():
            losses.append(float(answer_loss(student.model, hand_over(batch, student=student), labels)))
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
