"""Picture features of a frozen encoder: computed once, handed to the model in place of the pictures.

A feature is what the connector gives the language model for one picture token. Qwen3-VL gives some of its layers
features of their own; they are kept beside the others as further levels.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import torch

from errata.tools.errors import OperatorError
from errata.tools.student.collate import join_extras
from errata.tools.student.encode import Encoded
from errata.tools.student.load import Student

FEATURES = "image_features"
"""Name under which they stand among a sample's extras: shape (blocks, picture tokens of a block, levels, width)."""
REPLACED = ("pixel_values", "pixel_attention_mask", "pixel_position_ids")
"""What a sample needs no more once it has its features."""


@torch.no_grad()
def add_features(samples: Sequence[Encoded], *, student: Student) -> list[Encoded]:
    """The samples with features in place of pictures, in the model's own precision. Raises `OperatorError`.

    Samples without a picture stay as they are.
    """
    seeing = [sample for sample in samples if "pixel_values" in sample.extras]
    if not seeing:
        return list(samples)
    inputs = {name: value.to(student.device) for name, value in join_extras(seeing).items()}
    output = student.model.model.get_image_features(**inputs)
    levels = [output.pooler_output, *(getattr(output, "deepstack_features", None) or [])]
    blocks = torch.stack([_join_blocks(level) for level in levels], dim=2)
    tokens = [int((sample.ids == student.model.config.image_token_id).sum()) for sample in seeing]
    counts = [count // blocks.shape[1] for count in tokens]
    if sum(counts) != len(blocks):
        raise OperatorError(
            f"{sum(tokens)} image tokens but {len(blocks) * blocks.shape[1]} image features",
            where=f"problems from {seeing[0].problem}",
            remedy="set train.cache_features: off",
        )
    parts = dict(zip((id(sample) for sample in seeing), torch.split(blocks.cpu(), counts), strict=True))
    done = []
    for sample in samples:
        if id(sample) in parts:
            extras = {name: value for name, value in sample.extras.items() if name not in REPLACED}
            sample = sample._replace(extras=extras | {FEATURES: parts[id(sample)].clone()})
        done.append(sample)
    return done


def _join_blocks(features: Any) -> torch.Tensor:
    """Shape (blocks, tokens of a block, width); one token a block where pictures differ in size."""
    if isinstance(features, (list, tuple)):
        return torch.cat([part.reshape(-1, 1, part.shape[-1]) for part in features])
    return torch.as_tensor(features).reshape(-1, *features.shape[-2:])


def hand_over(batch: dict[str, Any], *, student: Student) -> dict[str, Any]:
    """The batch as the model takes it: features as the output of its picture encoder."""
    if FEATURES not in batch:
        return batch
    levels: list[Any] = list(batch[FEATURES].unbind(dim=2))
    if _takes_lists(student):
        levels = [[level.flatten(0, 1)] for level in levels]
    output = SimpleNamespace(pooler_output=levels[0], deepstack_features=levels[1:])
    rest = {name: value for name, value in batch.items() if name != FEATURES}
    return rest | {"mm_encoder_outputs": {"image": output}}


def _takes_lists(student: Student) -> bool:
    """Whether the model joins its pictures' features itself; the others hold them as one tensor."""
    return student.family.axes == 3 or str(student.model.config.model_type).startswith("llava")
