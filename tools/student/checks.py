"""What must hold of samples and student before a training starts. Each failure names the row, the cause and the cure.

Users of other trainers lose days to a mask that hides everything, to pictures that never reach the model, to
"image tokens and features do not match", and to positions that differ between training and answering.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from transformers import DynamicCache

from errata.tools.errors import OperatorError
from errata.tools.records import Problem
from errata.tools.student.collate import collate, pack
from errata.tools.student.encode import IGNORED, Encoded, encode_prompts, student_answer
from errata.tools.student.load import Student
from errata.tools.student.positions import find_positions

CLOSE = {torch.float32: 1e-3, torch.bfloat16: 0.25, torch.float16: 0.05}
"""Largest difference of two logits, in units of their spread over the vocabulary, that rounding explains."""


@torch.inference_mode()
def check_pictures(samples: Sequence[Encoded], *, student: Student) -> None:
    """Image tokens equal image features in every sample, and the picture changes what the model says.

    The features are computed once per distinct size of pictures. Raises `OperatorError` with the row.
    """
    model, token = student.model, getattr(student.model.config, "image_token_id", None)
    with_pictures = [sample for sample in samples if "pixel_values" in sample.extras]
    if token is None or not with_pictures or not hasattr(model, "get_image_features"):
        return
    known: dict[object, int] = {}
    names = inspect.signature(model.get_image_features).parameters
    for sample in with_pictures:
        if not bool(sample.extras["pixel_values"].any()):
            raise OperatorError(
                "the picture is all zeros after the processor, the model drops it",
                where=f"problem {sample.problem}",
                remedy="remove the blank picture",
            )
        sizes = picture_sizes(sample)
        if sizes not in known:
            inputs = {k: v.to(student.device) for k, v in sample.extras.items() if k in names}
            known[sizes] = _count_features(model.get_image_features(**inputs))
        tokens = int((sample.ids == token).sum())
        if tokens != known[sizes]:
            raise OperatorError(
                f"{tokens} image tokens but {known[sizes]} image features",
                where=f"problem {sample.problem}",
                remedy="processor and model do not belong together: save both from one base",
            )
    _check_sight(with_pictures[0], student)


def picture_sizes(sample: Encoded) -> object:
    """What the number of picture features depends on: shapes, and the values of sizes, grids and counts."""
    return tuple(
        (
            name,
            tuple(value.shape),
            None if value.is_floating_point() or value.numel() > 64 else tuple(value.flatten().tolist()),
        )
        for name, value in sorted(sample.extras.items())
    )


def _count_features(output: Any) -> int:
    features = output.pooler_output if hasattr(output, "pooler_output") else output
    parts = list(features) if isinstance(features, (list, tuple)) else [features]
    return sum(part.numel() // part.shape[-1] for part in parts)


def _check_sight(sample: Encoded, student: Student) -> None:
    batch = collate([sample], student=student)
    batch.pop("labels")
    seen = student.model(**batch).logits
    blind = student.model(**batch | {"pixel_values": -batch["pixel_values"]}).logits
    if torch.equal(seen, blind):
        raise OperatorError(
            "the picture does not change what the model says",
            where=f"problem {sample.problem}",
            remedy="check processor, chat template and image tokens of the base",
        )


def check_mask(sample: Encoded, problem: Problem, *, student: Student) -> None:
    """Labels are the answer and the token that ends it, and nothing else. Raises `OperatorError` with the row."""
    kept = sample.labels != IGNORED
    where = f"problem {problem.id}"
    first = int(kept.int().argmax())
    if not bool(kept.any()) or not bool(kept[first:].all()) or not torch.equal(sample.ids[kept], sample.labels[kept]):
        raise OperatorError(
            "the labels are not the tail of the sample", where=where, value=int(kept.sum()), remedy="report this"
        )
    said = student.tokenizer.decode(sample.labels[kept], skip_special_tokens=True)
    wanted = student.tokenizer.decode(
        student.tokenizer(student_answer(problem), add_special_tokens=False)["input_ids"], skip_special_tokens=True
    )
    if " ".join(said.split()) != " ".join(wanted.split()):
        raise OperatorError(
            "the labels are not the answer",
            where=where,
            value=said[:80],
            remedy="check the chat template: what it writes behind the assistant's text",
        )
    if int(sample.labels[-1]) not in student.end_ids:
        raise OperatorError(
            "the answer does not end with an end token",
            where=where,
            remedy="check the generation config's eos_token_id",
        )


def check_prompt(sample: Encoded, problem: Problem, *, student: Student, prompt: str, image_first: bool) -> None:
    """The prompt of training is that of answering, token by token. Raises `OperatorError` with the row."""
    asked = encode_prompts([problem], student=student, prompt=prompt, image_first=image_first)["input_ids"][0]
    taught = sample.ids[sample.labels == IGNORED]
    if not torch.equal(asked, taught):
        same = int((asked[: len(taught)] != taught[: len(asked)]).int().argmax()) if len(asked) and len(taught) else 0
        raise OperatorError(
            "the prompt of training is not the prompt of answering",
            where=f"problem {problem.id}, token {same}",
            value=student.tokenizer.decode(taught[same : same + 8]),
            remedy="use one processor and one chat template for both",
        )


@torch.inference_mode()
def check_passes(sample: Encoded, problem: Problem, *, student: Student, prompt: str, image_first: bool) -> float:
    """Training and answering give one answer's tokens the same logits; returns the largest difference.

    Training sees the whole sample at once, answering a left-padded prompt and then the answer behind a cache. The
    difference is in units of the logits' spread. Raises `OperatorError` with the row.
    """
    was_training = student.model.training
    student.model.train()
    taught = answer_logits(sample, student=student)
    student.model.train(was_training)
    asked = asked_logits(sample, problem, student=student, prompt=prompt, image_first=image_first)
    difference = float((taught - asked).abs().max() / taught.std().clamp(min=1e-6))
    if not difference <= CLOSE[student.model.dtype]:
        raise OperatorError(
            "training and answering see the same tokens differently",
            where=f"problem {problem.id}",
            value=f"{difference:.3g} of the logits' spread",
            remedy="an input of the model is missing in one of both; use another version of transformers",
        )
    return difference


def answer_logits(sample: Encoded, *, student: Student) -> torch.Tensor:
    """Logits float32 (answer tokens, vocabulary) as a training's forward pass gives them."""
    batch = collate([sample], student=student)
    batch.pop("labels")
    start = int((sample.labels != IGNORED).int().argmax())
    logits: torch.Tensor = student.model(**batch, use_cache=False).logits[0, start - 1 : -1]
    return logits.float()


def asked_logits(
    sample: Encoded, problem: Problem, *, student: Student, prompt: str, image_first: bool
) -> torch.Tensor:
    """The same logits as answering gives them: the prompt in a left-padded batch, then the answer behind the cache."""
    model = student.model.eval()
    answer = sample.labels[sample.labels != IGNORED].to(student.device)
    short = problem.model_copy(
        update={"id": f"{problem.id}-padded", "question": f"{problem.question} {problem.question}"}
    )
    batch = encode_prompts([problem, short], student=student, prompt=prompt, image_first=image_first)
    inputs = {name: value.to(student.device) for name, value in batch.items()}
    positions, following = find_positions(inputs, student=student)
    cache = DynamicCache(config=model.config.get_text_config())
    first = model(**inputs, position_ids=positions, past_key_values=cache, use_cache=True).logits[:1, -1:]
    mask = torch.cat([inputs["attention_mask"], inputs["attention_mask"].new_ones((2, len(answer) - 1))], dim=1)
    steps = following + torch.arange(len(answer) - 1, device=student.device)
    rest = model(
        input_ids=answer[:-1].expand(2, -1),
        attention_mask=mask,
        position_ids=steps,
        past_key_values=cache,
        use_cache=True,
    ).logits[:1]
    logits: torch.Tensor = torch.cat([first, rest], dim=1)[0]
    return logits.float()


@torch.inference_mode()
def check_packing(samples: Sequence[Encoded], *, student: Student) -> float:
    """Samples in one packed row get the logits they get alone; returns the largest difference.

    No sample sees another, and positions are those of the sample alone, in every axis. Raises `OperatorError`.
    """
    packed = pack(samples, student=student)
    packed.pop("labels")
    logits = student.model(**packed, use_cache=False).logits[0].float()
    worst, at = 0.0, 0
    for sample in samples:
        alone = collate([sample], student=student)
        alone.pop("labels")
        wanted = student.model(**alone, use_cache=False).logits[0].float()
        got = logits[at : at + len(sample.ids)]
        at += len(sample.ids)
        difference = float((got - wanted).abs().max() / wanted.std().clamp(min=1e-6))
        worst = max(worst, difference)
        if not difference <= CLOSE[student.model.dtype]:
            raise OperatorError(
                "packed into one row, a sample is seen differently than alone",
                where=f"problem {sample.problem}",
                value=f"{difference:.3g} of the logits' spread",
                remedy="set packing to off",
            )
    return worst
