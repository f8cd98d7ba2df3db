"""Several samples as one batch for the student: padded to the longest, or packed behind one another in one row.

A packed row has no padding. Positions start anew with each sample, and no sample attends to another: transformers
reads the borders from positions that fall back. Where positions have three axes (Qwen-VL), each sample's own are
computed by the model and the plain count is put before them, which is what the mask is made from.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from errata.tools.student.encode import IGNORED, Encoded
from errata.tools.student.load import Student


def collate(samples: Sequence[Encoded], *, student: Student) -> dict[str, torch.Tensor]:
    """Right-padded batch of shape (samples, longest); pictures joined along their first axis, zero-padded to fit.

    A causal model gets no mask: no token sees the padding behind it, and attention without a mask is faster.
    """
    longest = max(len(sample.ids) for sample in samples)
    rows = {
        "input_ids": (student.tokenizer.pad_token_id or 0, [sample.ids for sample in samples]),
        "labels": (IGNORED, [sample.labels for sample in samples]),
    }
    if not student.family.causal:
        rows["attention_mask"] = 0, [torch.ones_like(sample.ids) for sample in samples]
    for name in sorted({name for sample in samples for name in sample.per_token}):
        rows[name] = 0, [_tokens(sample, name) for sample in samples]
    batch = {name: _pad(values, length=longest, fill=fill) for name, (fill, values) in rows.items()}
    batch |= join_extras(samples)
    return {name: value.to(student.device) for name, value in batch.items()}


def pack(samples: Sequence[Encoded], *, student: Student) -> dict[str, torch.Tensor]:
    """One row of shape (1, tokens of all samples) without padding; `position_ids` start anew with each sample.

    The first label of each sample is left out, so that no sample is predicted from the one before it.
    """
    batch = {"input_ids": torch.cat([sample.ids for sample in samples])[None]}
    labels = torch.cat([sample.labels for sample in samples])[None]
    for name in sorted({name for sample in samples for name in sample.per_token}):
        batch[name] = torch.cat([_tokens(sample, name) for sample in samples])[None]
    plain = torch.cat([torch.arange(len(sample.ids)) for sample in samples])[None]
    labels = labels.masked_fill(plain == 0, IGNORED)
    batch |= join_extras(samples)
    if student.family.axes == 3:
        axes = torch.cat([_rope_positions(sample, student.model) for sample in samples], dim=-1)
        batch["position_ids"] = torch.cat([plain[None], axes])
    else:
        batch["position_ids"] = plain + student.family.first_position
    return {name: value.to(student.device) for name, value in (batch | {"labels": labels}).items()}


def join_extras(samples: Sequence[Encoded]) -> dict[str, torch.Tensor]:
    """Pictures and their sizes of all samples, joined along the first axis, zero-padded to fit."""
    names = sorted({name for sample in samples for name in sample.extras})
    return {name: _join([sample.extras[name] for sample in samples if name in sample.extras]) for name in names}


def _tokens(sample: Encoded, name: str) -> torch.Tensor:
    """What the processor says of every token; zeros (plain text) for a sample of which it says nothing."""
    return sample.per_token.get(name, torch.zeros_like(sample.ids))


def _pad(rows: list[torch.Tensor], *, length: int, fill: int) -> torch.Tensor:
    padded = torch.full((len(rows), length), fill, dtype=rows[0].dtype)
    for i, row in enumerate(rows):
        padded[i, : len(row)] = row
    return padded


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


def _rope_positions(sample: Encoded, model: Any) -> torch.Tensor:
    """Positions of one sample in three axes, shape (3, 1, tokens), as the model computes them when it answers."""
    kinds = sample.per_token.get("mm_token_type_ids")
    grid = sample.extras.get("image_grid_thw")
    if kinds is None or grid is None:
        return torch.arange(len(sample.ids)).expand(3, 1, -1)
    positions, _ = model.model.get_rope_index(sample.ids[None], mm_token_type_ids=kinds[None], image_grid_thw=grid)
    return torch.as_tensor(positions)
