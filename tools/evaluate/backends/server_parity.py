"""The parity certificate of a server: the same questions in transformers and there.

A server that gives token ids (vLLM) is held to them. Of another one the lengths of prompts, the texts of answers and
the texts of first tokens are compared.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from errata.tools.errors import OperatorError
from errata.tools.evaluate.backends.server_answers import ask_all, check_template, open_server
from errata.tools.evaluate.backends.server_client import WHERE, Said, first_ids
from errata.tools.evaluate.backends.sides import LIKELIEST, Side, ask_transformers, choose_questions
from errata.tools.evaluate.student import GenerateOptions
from errata.tools.records import Problem
from errata.tools.student.load import Student, open_source
from errata.tools.student.source import StudentSource


def ask_both(
    problems: Sequence[Problem], *, model: StudentSource, options: GenerateOptions, served: StudentSource
) -> tuple[list[Side], list[Side]]:
    """Sides of transformers and of the server: the base's, and behind it the checkpoint's where there is one.

    Raises `OperatorError` when one of them cannot be asked, and for a server that tells too little.
    """
    asked = choose_questions(problems, options.parity.questions)
    pairs = [(without_adapter(model), without_adapter(served))] + ([(model, served)] if model.adapter else [])
    ours, theirs = list[Side](), list[Side]()
    with open_server(options) as server:
        for mine, other in pairs:
            name = server.prepare(other)
            student = open_source(mine, device=options.device)
            check_template(student, base=model.base)
            how: dict[str, Any] = {
                "name": name,
                "source": model,
                "options": options,
                "ends": student.end_ids,
                "logprobs": LIKELIEST,
            }
            said = list(ask_all(asked, server=server, **how))
            side = ask_transformers(asked, student=student, source=mine, options=options)
            ours.append(side if has_ids(said) else in_texts(side, student=student))
            theirs.append(read_said(said, ends=student.end_ids))
            del student
    return ours, theirs


def without_adapter(source: StudentSource) -> StudentSource:
    """The base of a checkpoint."""
    return source.model_copy(update={"adapter": None})


def read_said(said: Sequence[Said], *, ends: Sequence[int]) -> Side:
    """Answers of a server. Raises `OperatorError` where it gives neither token ids nor what stands in for them."""
    if any(not answer.first for answer in said):
        raise OperatorError(
            "the server gives no log-probabilities, so that no parity certificate can be made",
            where=WHERE,
            remedy="serve the student with vLLM, or set student.generate.backend: transformers",
        )
    if has_ids(said):
        ids = [first_ids(answer.first) for answer in said]
        return Side(
            answers=tuple(tuple(token for token in answer.tokens or () if token not in ends) for answer in said),
            first=tuple({token: math.exp(value) for token, value in (found or {}).items()} for found in ids),
            prompts=tuple(answer.prompt or () for answer in said),
        )
    if any(answer.prompt_length is None for answer in said):
        raise OperatorError(
            "the server does not say how long a prompt was (usage.prompt_tokens)",
            where=WHERE,
            remedy="serve the student with vLLM, or set student.generate.backend: transformers",
        )
    return Side(
        answers=tuple(number_text(answer.text) for answer in said),
        first=tuple(merge_texts((t, math.exp(v)) for t, v in answer.first.items()) for answer in said),
        prompts=tuple((answer.prompt_length or 0,) for answer in said),
    )


def has_ids(said: Sequence[Said]) -> bool:
    """Whether the server gave token ids of prompts, answers and first tokens throughout."""
    return all(
        answer.tokens is not None and answer.prompt is not None and first_ids(answer.first) is not None
        for answer in said
    )


def in_texts(side: Side, *, student: Student) -> Side:
    """The same answers in the form that a server without token ids gives."""
    texts = student.tokenizer.batch_decode([list(answer) for answer in side.answers], skip_special_tokens=True)
    return Side(
        answers=tuple(number_text(text.strip()) for text in texts),
        first=tuple(merge_texts((student.tokenizer.decode([t]), p) for t, p in row.items()) for row in side.first),
        prompts=tuple((len(prompt),) for prompt in side.prompts),
    )


def number_text(text: str) -> tuple[int, ...]:
    """A text as numbers: equal for equal texts alone."""
    return tuple(text.encode())


def merge_texts(pairs: Any) -> dict[int, float]:
    """Probabilities by text of the token, white space around it aside; tokens of one text are added up."""
    found: dict[int, float] = {}
    for text, value in pairs:
        key = int.from_bytes(text.strip().encode(), "big")
        found[key] = found.get(key, 0.0) + value
    return found
