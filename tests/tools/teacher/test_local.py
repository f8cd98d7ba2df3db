"""The local language model: packed and naive passes agree, replies are read by token, wrong folders are one line."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from errata.tools.errors import OperatorError
from errata.tools.records import Problem
from errata.tools.teacher.local import LocalTeacher, LocalTeacherOptions
from errata.tools.teacher.local_text import head_text, pack, prior_token, stack
from errata.tools.teacher.local_train import label_sample, make_sample, train
from errata.tools.teacher.protocol import (
    OptionRequest,
    RationaleRequest,
    ReadsSteps,
    StepCheckRequest,
    StepIndexRequest,
    Teacher,
)

STEPS = ("Cell a1 is red. ", "Cell b1 is blue. ", "Mixing red and blue gives orange. ", "So orange B. ")
QUESTION = "Which colour do cells a1 and b1 mix to?"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("local")
    train(path, steps=2, lookups=2, batch=8, seed=0)
    return path


def prefixes(problem: str = "p", prior: tuple[float, ...] = (0.6, 0.0)) -> list[OptionRequest]:
    return [
        OptionRequest(problem=problem, question=QUESTION, options=("purple", "orange"), prior=prior, steps=STEPS[:i])
        for i in range(len(STEPS) + 1)
    ]


def test_one_packed_pass_gives_what_a_pass_per_prefix_gives(folder: Path) -> None:
    asked = [*prefixes(), *reversed(prefixes(prior=())), prefixes()[2]]
    packed = LocalTeacher(LocalTeacherOptions(folder=str(folder))).option_probabilities(asked)
    naive = LocalTeacher(LocalTeacherOptions(folder=str(folder), packed=False)).option_probabilities(asked)
    differences = [abs(a - b) for x, y in zip(packed, naive, strict=True)
                   for a, b in zip(x.probabilities, y.probabilities, strict=True)]  # fmt: skip
    assert max(differences) < 1e-4
    assert max(abs(x.mass - y.mass) for x, y in zip(packed, naive, strict=True)) < 1e-4
    assert len({reply.probabilities for reply in packed}) > 5
    assert all(sum(reply.probabilities) == pytest.approx(1) for reply in packed)


def test_it_satisfies_both_protocols_and_answers_about_steps(folder: Path) -> None:
    teacher = LocalTeacher(LocalTeacherOptions(folder=str(folder), longest=8))
    assert isinstance(teacher, Teacher)
    assert isinstance(teacher, ReadsSteps)
    assert "packed_prefixes" in teacher.operations
    check = StepCheckRequest(problem="p", question=QUESTION, options=("purple", "orange"), steps=STEPS[:2])
    assert teacher.check_step([check])[0].correct in (True, False)
    name = StepIndexRequest(problem="p", question=QUESTION, options=("purple", "orange"), gold="purple", steps=STEPS)
    beside = name.model_copy(update={"reference": (*STEPS[:2], "Mixing red and blue gives purple. ")})
    outright, compared = teacher.name_step([name, beside])
    assert outright.step in range(-1, 4)
    assert compared.step == 2
    problem = Problem(id="p", question=QUESTION, choices=("purple", "orange"), target="A")
    assert isinstance(teacher.write_rationale([RationaleRequest(problem=problem)])[0].steps, tuple)


def test_a_prefix_beyond_the_models_length_is_unscored(folder: Path) -> None:
    teacher = LocalTeacher(LocalTeacherOptions(folder=str(folder)))
    long = [r.model_copy(update={"steps": (*r.steps, "red " * 3000)}) for r in prefixes()[:1]]
    short, beyond = teacher.option_probabilities([prefixes()[0], *long])
    assert short.mass > 0
    assert beyond.mass == 0
    assert beyond.probabilities == (0.5, 0.5)


def test_an_empty_folder_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match=r"no language model.*local_train"):
        LocalTeacher(LocalTeacherOptions(folder=str(tmp_path)))


def test_an_asker_sees_its_prefix_and_itself_alone() -> None:
    packed = pack([5, 6, 7], [(0, 9), (2, 9)])
    assert packed.positions.tolist() == [0, 1, 2, 0, 2]
    assert packed.seen.astype(int).tolist() == [
        [1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [1, 1, 1, 0, 0],
        [0, 0, 0, 1, 0],
        [1, 1, 0, 0, 1],
    ]
    ids, _, seen = stack([packed, pack([5], [])], pad=0)
    assert ids[1].tolist() == [5, 0, 0, 0, 0]
    assert np.array_equal(seen[1], np.eye(5, dtype=bool))


def test_the_head_is_the_beginning_of_every_prompt_and_states_the_prior_in_steps_of_five() -> None:
    assert head_text("Which?", options=("red", "blue"), prior=(0.0, 0.6)) == "Which? A red B blue <p60> B"
    assert head_text("Which?", options=("red", "blue"), prior=()) == "Which? A red B blue"
    assert [prior_token(p) for p in (0.001, 0.62, 1.0)] == ["<p5>", "<p60>", "<p100>"]


def test_training_text_has_no_unknown_words_and_labels_the_first_wrong_step(folder: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    rng = random.Random(5)
    for _ in range(100):
        assert tokenizer.unk_token_id not in make_sample(rng, tokenizer=tokenizer).packed.ids
    encoded = tokenizer([f"{QUESTION} <steps>", *STEPS], add_special_tokens=False)["input_ids"]
    sample = label_sample(encoded, tokenizer=tokenizer, wrong={2}, gold=0, writes=False)
    told = tokenizer.convert_ids_to_tokens(sample.labels[sample.asked].tolist())
    assert told == ["A"] * 5 + ["<right>", "<right>", "<wrong>", "<right>"] + ["<s2>"]
