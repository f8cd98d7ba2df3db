"""Greedy answers of a student as token ids, with a key-value cache."""

from __future__ import annotations

from typing import Any

import torch
from transformers import DynamicCache

from errata.tools.student.load import Student
from errata.tools.student.positions import find_positions


def generate_greedily(inputs: dict[str, torch.Tensor], *, student: Student, max_new_tokens: int) -> list[list[int]]:
    """New token ids per row, end token excluded.

    Rows that have ended leave the batch, cache included; the library's `generate` carries them to the end.
    """
    model, mask = student.model, inputs["attention_mask"]
    positions, following = find_positions(inputs, student=student)
    cache = DynamicCache(config=model.config.get_text_config())
    ends = torch.tensor(student.end_ids, device=mask.device)
    new: list[list[int]] = [[] for _ in range(len(mask))]
    rows = torch.arange(len(mask))
    step: dict[str, Any] = dict(inputs)
    for count in range(max_new_tokens):
        logits = model(**step, position_ids=positions, past_key_values=cache, use_cache=True, logits_to_keep=1).logits
        tokens = logits[:, -1].argmax(-1)
        keep = ~torch.isin(tokens, ends)
        if not bool(keep.all()):
            tokens, mask, following = tokens[keep], mask[keep], following[..., keep, :]
            rows = rows[keep.cpu()]
            if len(rows):
                cache.batch_select_indices(keep.nonzero()[:, 0])
        for row, token in zip(rows.tolist(), tokens.tolist(), strict=True):
            new[row].append(token)
        if not len(rows) or count + 1 == max_new_tokens:
            break
        mask = torch.cat([mask, mask.new_ones((len(mask), 1))], dim=1)
        positions, following = following, following + 1
        step = {"input_ids": tokens[:, None], "attention_mask": mask}
    return new


def generate_by_library(inputs: dict[str, torch.Tensor], *, student: Student, max_new_tokens: int) -> list[list[int]]:
    """The same with transformers' `generate`, to hold the loop above against."""
    ids = student.model.generate(
        **inputs,
        max_new_tokens=max_new_tokens,
        do_sample=False,
        num_beams=1,
        eos_token_id=student.end_ids,
        pad_token_id=student.tokenizer.pad_token_id or student.end_ids[0],
    )
    new = []
    for row in ids[:, inputs["input_ids"].shape[1] :].tolist():
        end = next((i for i, token in enumerate(row) if token in student.end_ids), len(row))
        new.append(row[:end])
    return new
