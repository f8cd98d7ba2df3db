"""One side of a comparison of backends, and transformers' own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from transformers import DynamicCache

from errata.tools.evaluate.generate import generate_greedily
from errata.tools.evaluate.student import GenerateOptions
from errata.tools.records import Problem
from errata.tools.student.encode import encode_prompts
from errata.tools.student.load import Student
from errata.tools.student.positions import find_positions
from errata.tools.student.source import StudentSource

LIKELIEST = 20
"""First tokens whose probabilities are compared."""
BATCH = 16


class Side(NamedTuple):
    """What one program says of the same questions."""

    answers: tuple[tuple[int, ...], ...]
    first: tuple[dict[int, float], ...]
    """Probabilities of the likeliest first tokens."""
    prompts: tuple[tuple[int, ...], ...]


def choose_questions(problems: Sequence[Problem], number: int) -> list[Problem]:
    """Evenly spaced problems."""
    step = max(1, len(problems) // number)
    return list(problems[::step][:number])


@torch.inference_mode()
def ask_transformers(
    problems: Sequence[Problem], *, student: Student, source: StudentSource, options: GenerateOptions
) -> Side:
    """Greedy answers and first probabilities of transformers."""
    student.model.eval()
    answers: list[tuple[int, ...]] = []
    first: list[dict[int, float]] = []
    prompts: list[tuple[int, ...]] = []
    for start in range(0, len(problems), BATCH):
        part = problems[start : start + BATCH]
        batch = encode_prompts(part, student=student, prompt=source.prompt, image_first=source.image_first)
        inputs = {name: value.to(student.device) for name, value in batch.items()}
        positions, _ = find_positions(inputs, student=student)
        cache = DynamicCache(config=student.model.config.get_text_config())
        logits = student.model(
            **inputs, position_ids=positions, past_key_values=cache, use_cache=True, logits_to_keep=1
        ).logits[:, -1]
        likeliest = logits.float().softmax(-1).topk(min(LIKELIEST, logits.shape[-1]))
        for row in range(len(part)):
            first.append(dict(zip(likeliest.indices[row].tolist(), likeliest.values[row].tolist(), strict=True)))
            kept = inputs["attention_mask"][row].bool()
            prompts.append(tuple(inputs["input_ids"][row][kept].tolist()))
        new = generate_greedily(inputs, student=student, max_new_tokens=options.max_new_tokens)
        answers += [tuple(row) for row in new]
    return Side(tuple(answers), tuple(first), tuple(prompts))
