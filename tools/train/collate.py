"""From problems to tensors: messages, token ids, labels masked to the answer, pictures, and the checks on
them.

Users of other trainers lose days to a mask that hides everything, to pictures that never reach the model, and
to "image tokens and features do not match"; each is checked here before the first step, with row, cause and
cure.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from jinja2 import TemplateError
from PIL import Image

from errata.prompts import PromptMissing, render_prompt
from errata.tools.errors import OperatorError
from errata.tools.pictures import PictureFault, open_picture
from errata.tools.records import Problem
from errata.tools.train.load import Student

IGNORED = -100
"""The label that torch's cross entropy leaves out."""


class Encoded(NamedTuple):
    """One sample. `ids` and `labels` have shape (tokens,); `extras` keep the processor's leading axis."""

    problem: str
    ids: torch.Tensor
    labels: torch.Tensor
    extras: dict[str, torch.Tensor]


def student_question(problem: Problem, *, prompt: str) -> str:
    """The text of the request. Raises `OperatorError` for an unknown prompt."""
    try:
        return render_prompt(
            prompt,
            question=problem.question,
            choices=tuple(zip(problem.letters, problem.choices, strict=True)),
        )
    except PromptMissing as error:
        raise OperatorError(
            str(error), where="prompt", value=prompt, remedy="name a file of prompts/"
        ) from error


def student_answer(problem: Problem) -> str:
    """The target text: the rationale, then the answer sentence ("The answer is B.")."""
    return f"{problem.rationale.strip()} The answer is {problem.target}.".strip()


def make_messages(problem: Problem, *, prompt: str, image_first: bool) -> list[dict[str, Any]]:
    """One user turn; its pictures before the text or after it."""
    text = [{"type": "text", "text": student_question(problem, prompt=prompt)}]
    pictures = [{"type": "image"} for _ in problem.images]
    return [{"role": "user", "content": [*pictures, *text] if image_first else [*text, *pictures]}]


def open_pictures(problem: Problem) -> list[Image.Image]:
    """Pictures as RGB. Raises `OperatorError` for one that is missing or unreadable."""
    pictures = []
    for ref in problem.images:
        try:
            pictures.append(open_picture(ref.path).image)
        except PictureFault as error:
            where, what = f"problem {problem.id}", f"unreadable picture: {error.what}"
            raise OperatorError(what, where=where, value=ref.path, remedy="mend or remove the file") from error
    return pictures


def _call_processor(student: Student, texts: list[str], pictures: list[list[Image.Image]], **how: Any) -> Any:
    images = [some for some in pictures if some] or None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return student.processor(text=texts, images=images, **how)


def _template(student: Student, messages: list[dict[str, Any]], *, where: str, prompt_only: bool) -> str:
    try:
        return str(
            student.processor.apply_chat_template(messages, add_generation_prompt=prompt_only, tokenize=False)
        )
    except (TemplateError, ValueError) as error:
        raise OperatorError(
            f"the chat template fails: {error}", where=where, remedy="mend the processor's chat template"
        ) from error


def encode_prompts(problems: Sequence[Problem], *, student: Student, prompt: str, image_first: bool) -> Any:
    """A left-padded batch for generation: the processor's tensors, first axis = sample. Raises `OperatorError`."""
    texts, pictures = [], []
    for problem in problems:
        messages = make_messages(problem, prompt=prompt, image_first=image_first)
        texts.append(_template(student, messages, where=f"problem {problem.id}", prompt_only=True))
        pictures.append(open_pictures(problem))
    try:
        return _call_processor(student, texts, pictures, padding=True, return_tensors="pt")
    except ValueError as error:
        raise OperatorError(
            f"the processor refuses a batch: {error}",
            where=f"problems from {problems[0].id}",
            remedy="check the number of pictures of each problem",
        ) from error


def encode_sample(problem: Problem, *, student: Student, prompt: str, image_first: bool) -> Encoded:
    """One training sample with labels on the answer and its end token only. Raises `OperatorError` with the row."""
    where = f"problem {problem.id}"
    messages = make_messages(problem, prompt=prompt, image_first=image_first)
    reply = {"role": "assistant", "content": [{"type": "text", "text": student_answer(problem)}]}
    pictures = [open_pictures(problem)]
    encoded = []
    for turns, prompt_only in ((messages, True), ([*messages, reply], False)):
        text = _template(student, turns, where=where, prompt_only=prompt_only)
        try:
            encoded.append(_call_processor(student, [text], pictures, return_tensors="pt"))
        except ValueError as error:
            raise OperatorError(
                f"the processor refuses the sample: {error}",
                where=where,
                remedy="check its pictures and its text",
            ) from error
    head, full = (batch["input_ids"][0] for batch in encoded)
    if len(full) <= len(head) or not torch.equal(full[: len(head)], head):
        raise OperatorError(
            "the prompt is no prefix of the conversation, so the answer cannot be masked",
            where=where,
            remedy="use a chat template whose generation prompt opens the assistant's turn",
        )
    if not any(end in student.end_ids for end in full[len(head) :].tolist()):
        full = torch.cat([full, full.new_tensor(student.end_ids[:1])])
    labels = full.clone()
    labels[: len(head)] = IGNORED
    extras = {k: v for k, v in encoded[1].items() if k not in ("input_ids", "attention_mask")}
    extras = {k: v for k, v in extras.items() if v.shape[:2] != encoded[1]["input_ids"].shape}
    return Encoded(problem.id, full, labels, extras)


def collate(samples: Sequence[Encoded], *, student: Student) -> dict[str, torch.Tensor]:
    """Right-padded batch of shape (samples, longest); pictures joined along their first axis, zero-padded to fit."""
    longest = max(len(sample.ids) for sample in samples)
    pad = student.tokenizer.pad_token_id or 0
    batch = {
        "input_ids": torch.full((len(samples), longest), pad),
        "labels": torch.full((len(samples), longest), IGNORED),
        "attention_mask": torch.zeros((len(samples), longest), dtype=torch.long),
    }
    for row, sample in enumerate(samples):
        batch["input_ids"][row, : len(sample.ids)] = sample.ids
        batch["labels"][row, : len(sample.ids)] = sample.labels
        batch["attention_mask"][row, : len(sample.ids)] = 1
    for name in sorted({name for sample in samples for name in sample.extras}):
        batch[name] = _join([sample.extras[name] for sample in samples if name in sample.extras])
    return {name: value.to(student.device) for name, value in batch.items()}


def _join(parts: list[torch.Tensor]) -> torch.Tensor:
    shape = tuple(max(sizes) for sizes in zip(*(part.shape[1:] for part in parts), strict=True))
    if all(part.shape[1:] == shape for part in parts):
        return torch.cat(parts)
    joined = parts[0].new_zeros((sum(len(part) for part in parts), *shape))
    row = 0
    for part in parts:
        joined[(slice(row, row + len(part)), *(slice(0, size) for size in part.shape[1:]))] = part
        row += len(part)
    return joined


@torch.inference_mode()
def check_pictures(samples: Sequence[Encoded], *, student: Student) -> None:
    """Image tokens equal image features in every sample, and the picture changes what the model says.

    The features are computed once per distinct picture shape. Raises `OperatorError` with the row.
    """
    model, token = student.model, getattr(student.model.config, "image_token_id", None)
    with_pictures = [sample for sample in samples if "pixel_values" in sample.extras]
    if token is None or not with_pictures or not hasattr(model, "get_image_features"):
        return
    known: dict[tuple[object, ...], int] = {}
    names = inspect.signature(model.get_image_features).parameters
    for sample in with_pictures:
        if not bool(sample.extras["pixel_values"].any()):
            raise OperatorError(
                "the picture is all zeros after the processor, the model drops it",
                where=f"problem {sample.problem}",
                remedy="remove the blank picture",
            )
        shape = tuple((name, tuple(value.shape)) for name, value in sorted(sample.extras.items()))
        if shape not in known:
            inputs = {k: v.to(student.device) for k, v in sample.extras.items() if k in names}
            known[shape] = _count_features(model.get_image_features(**inputs))
        tokens = int((sample.ids == token).sum())
        if tokens != known[shape]:
            raise OperatorError(
                f"{tokens} image tokens but {known[shape]} image features",
                where=f"problem {sample.problem}",
                remedy="processor and model do not belong together: save both from one base",
            )
    _check_sight(with_pictures[0], student)


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
