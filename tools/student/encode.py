"""From problems to token ids: the prompt exactly as it is asked, then the answer, and labels on the answer only.

A training sample is the prompt of answering with the answer behind it. What the processor returns for the prompt
(pictures, sizes, types of tokens) goes to the model in training as in answering: nothing is dropped by its shape.
"""

from __future__ import annotations

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
from errata.tools.student.load import Student

IGNORED = -100
"""The label that torch's cross entropy leaves out."""
_MARK = "\u2402answer\u2403"
"""Stands for the answer where the chat template is asked what it writes behind one."""


class Encoded(NamedTuple):
    """One sample. `ids` and `labels` have shape (tokens,)."""

    problem: str
    ids: torch.Tensor
    labels: torch.Tensor
    per_token: dict[str, torch.Tensor]
    """What the processor says of every token, beside ids and mask: shape (tokens,)."""
    extras: dict[str, torch.Tensor]
    """Pictures and their sizes, with the processor's leading axis."""


def student_question(problem: Problem, *, prompt: str) -> str:
    """The text of the request. Raises `OperatorError` for an unknown prompt."""
    try:
        return render_prompt(
            prompt,
            question=problem.question,
            choices=tuple(zip(problem.letters, problem.choices, strict=True)),
        )
    except PromptMissing as error:
        raise OperatorError(str(error), where="prompt", value=prompt, remedy="name a file of prompts/") from error


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


class Frame(NamedTuple):
    """What the template writes around an answer."""

    before: str
    """The prompt, as it is asked."""
    lead: str
    """White space between prompt and answer: LLaVA-1.5 is asked with `ASSISTANT:` and answers ` The`."""
    behind: str


def render_text(problem: Problem, *, student: Student, prompt: str, image_first: bool) -> Frame:
    """The prompt and what stands around its answer. Raises `OperatorError` when the template fails or loses it."""
    where = f"problem {problem.id}"
    if student.template is None:
        marks = student.processor.image_token * len(problem.images)
        return Frame(marks + student_question(problem, prompt=prompt), "", "")
    messages = make_messages(problem, prompt=prompt, image_first=image_first)
    before = _template(student, messages, where=where, opens_answer=True)
    rendered = ""
    for content in (
        [{"type": "text", "text": _MARK}],
        _MARK,
    ):  # some templates take a plain text here
        turns = [*messages, {"role": "assistant", "content": content}]
        rendered = _template(student, turns, where=where, opens_answer=False)
        if f"'{_MARK}'" not in rendered:
            break
    whole, found, behind = rendered.rpartition(_MARK)
    if not found:
        raise OperatorError(
            "the chat template leaves out what the assistant said",
            where=where,
            remedy="use a chat template that renders an assistant's turn whose content is a list of texts",
        )
    lead = whole[len(before) :] if whole.startswith(before) else ""
    return Frame(before, lead if lead.isspace() else "", behind.rstrip())


def _template(student: Student, messages: list[dict[str, Any]], *, where: str, opens_answer: bool) -> str:
    try:
        return str(student.processor.apply_chat_template(messages, add_generation_prompt=opens_answer, tokenize=False))
    except (TemplateError, ValueError, TypeError) as error:
        raise OperatorError(
            f"the chat template fails: {error}", where=where, remedy="mend the processor's chat template"
        ) from error


def _call_processor(student: Student, texts: list[str], pictures: list[list[Image.Image]], *, where: str) -> Any:
    """The processor's tensors, left-padded, first axis = sample."""
    if student.family.needs_picture and not all(pictures):
        raise OperatorError(
            f"{student.family.name} takes no question without a picture",
            where=where,
            remedy="leave out the questions without pictures, or choose another student",
        )
    images = [some for some in pictures if some] or None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            batch = student.processor(text=texts, images=images, padding=True, return_tensors="pt")
    except ValueError as error:
        raise OperatorError(
            f"the processor refuses its input: {error}",
            where=where,
            remedy="check the number of pictures and the text of each problem",
        ) from error
    batch.pop("labels", None)
    return batch


def encode_prompts(problems: Sequence[Problem], *, student: Student, prompt: str, image_first: bool) -> Any:
    """A left-padded batch for answering: the processor's tensors, first axis = sample. Raises `OperatorError`."""
    texts = [render_text(p, student=student, prompt=prompt, image_first=image_first).before for p in problems]
    where = f"problems from {problems[0].id}" if len(problems) > 1 else f"problem {problems[0].id}"
    return _call_processor(student, texts, [open_pictures(p) for p in problems], where=where)


def encode_sample(problem: Problem, *, student: Student, prompt: str, image_first: bool) -> Encoded:
    """One training sample with labels on the answer and its end token only. Raises `OperatorError` with the row."""
    frame = render_text(problem, student=student, prompt=prompt, image_first=image_first)
    batch = _call_processor(student, [frame.before], [open_pictures(problem)], where=f"problem {problem.id}")
    head = batch["input_ids"][0]
    answer = head.new_tensor(answer_ids(problem, frame, student=student))
    ids = torch.cat([head, answer])
    per_token, extras = {}, {}
    for name, value in batch.items():
        if name in ("input_ids", "attention_mask"):
            continue
        if value.shape == batch["input_ids"].shape:
            kind = student.family.answer_type if name == "token_type_ids" else 0
            per_token[name] = torch.cat([value[0], torch.full_like(answer, kind, dtype=value.dtype)])
        else:
            extras[name] = value
    labels = torch.cat([torch.full_like(head, IGNORED), answer])
    return Encoded(problem.id, ids, labels, per_token, extras)


def answer_ids(problem: Problem, frame: Frame, *, student: Student) -> list[int]:
    """Token ids of the answer and of the token that ends it.

    Cut from the tokens of the whole text where the prompt's tokens are its head; otherwise (tokens that reach over
    the border, or a processor that adds to the prompt) the answer is tokenized by itself.
    """
    text = frame.lead + student_answer(problem) + frame.behind
    tokens: list[int] = []
    if student.template is not None:
        head = student.tokenizer(frame.before)["input_ids"]
        whole = student.tokenizer(frame.before + text)["input_ids"]
        if whole[: len(head)] == head:
            tokens = whole[len(head) :]
    if not tokens:
        tokens = student.tokenizer(text, add_special_tokens=False)["input_ids"]
    ends = student.end_ids
    end = next((i for i, token in enumerate(tokens) if token in ends), None)
    return [*tokens, ends[0]] if end is None else tokens[: end + 1]
