"""Where each token of a prompt stands, and where the first token of the answer will."""

from __future__ import annotations

import torch

from errata.tools.student.load import Student


def find_positions(inputs: dict[str, torch.Tensor], *, student: Student) -> tuple[torch.Tensor, torch.Tensor]:
    """Positions of a left-padded batch and of the token behind it.

    Shapes (rows, tokens) and (rows, 1); for a family with three axes (3, rows, tokens) and (3, rows, 1).
    """
    mask = inputs["attention_mask"]
    first = student.family.first_position
    plain = (mask.cumsum(-1) - 1).clamp(min=0) + first
    following = plain[:, -1:] + 1
    if student.family.axes == 1:
        return plain, following
    if "image_grid_thw" not in inputs:
        return plain.expand(3, *plain.shape), following.expand(3, *following.shape)
    kinds = inputs["mm_token_type_ids"]
    positions, shift = student.model.model.get_rope_index(
        inputs["input_ids"],
        mm_token_type_ids=kinds,
        image_grid_thw=inputs["image_grid_thw"],
        attention_mask=mask,
    )
    after = mask.sum(-1, keepdim=True) + shift.to(mask.device)
    return positions, after.expand(3, *after.shape)
