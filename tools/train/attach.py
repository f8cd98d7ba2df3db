"""What is trained of a student: adapters on its linear layers, or its own weights; and how that is kept.

Adapters and trained weights are float32. On a GPU they are used in bfloat16 under autocast: PEFT by itself turns the
layer's input to float32, which makes every product of an adapter a float32 product.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from peft.helpers import disable_input_dtype_casting
from safetensors.torch import save as safetensors_bytes

from errata.tools.student.layers import linear_names, parameter_names
from errata.tools.student.load import Student
from errata.tools.student.source import ADAPTER, ADAPTER_CONFIG, PARTS, PARTS_CONFIG
from errata.tools.train.job import write_atomic
from errata.tools.train.recipe import Recipe


class Attached(NamedTuple):
    """A student ready to be trained. `inner` is the transformers model, `model` what holds it."""

    model: Any
    inner: Any
    names: tuple[str, ...]
    """Layers with an adapter, or weights that are trained themselves."""
    weights: tuple[torch.nn.Parameter, ...]
    full: bool

    def state(self) -> dict[str, torch.Tensor]:
        """The trained tensors by name."""
        if not self.full:
            return dict(get_peft_model_state_dict(self.model))
        return {name: weight.detach() for name, weight in zip(self.names, self.weights, strict=True)}

    def load(self, state: dict[str, torch.Tensor]) -> None:
        """Put tensors of `state()` back."""
        if not self.full:
            set_peft_model_state_dict(self.model, state)
            return
        with torch.no_grad():
            for name, weight in zip(self.names, self.weights, strict=True):
                weight.copy_(state[name])


def attach(student: Student, recipe: Recipe) -> Attached:
    """Make the recipe's parts trainable and freeze the rest. Raises `OperatorError` when nothing matches."""
    if recipe.method == "full":
        wanted = set(parameter_names(student.model, targets=recipe.target_modules))
        names, weights = [], []
        for name, weight in student.model.named_parameters():
            weight.requires_grad_(name in wanted)
            if name in wanted:
                weight.data = weight.data.float()
                names.append(name)
                weights.append(weight)
        return Attached(student.model, student.model, tuple(names), tuple(weights), full=True)
    layers = linear_names(student.model, targets=recipe.target_modules)
    config = LoraConfig(
        r=recipe.lora_rank,
        lora_alpha=recipe.lora_alpha,
        lora_dropout=recipe.lora_dropout,
        use_dora=recipe.method == "dora",
        target_modules=layers,
    )
    model = get_peft_model(student.model, config)
    weights = [p for p in model.parameters() if p.requires_grad]
    return Attached(model, model.get_base_model(), tuple(layers), tuple(weights), full=False)


@contextmanager
def low_precision(attached: Attached, device: torch.device) -> Iterator[None]:
    """bfloat16 products on a GPU, adapters included; on a CPU nothing changes."""
    if device.type == "cpu":
        yield
        return
    with torch.autocast(device.type, torch.bfloat16):
        if attached.full:
            yield
        else:
            with disable_input_dtype_casting(attached.model):
                yield


def write_attached(attached: Attached, folder: Path) -> bytes:
    """The adapter as PEFT reads it, or the trained weights under their names; returns the file's content.

    Raises `OperatorError` on a full or read-only disk.
    """
    tensors = {name: value.contiguous() for name, value in attached.state().items()}
    body = safetensors_bytes(tensors, metadata={"format": "pt"})
    if attached.full:
        write_atomic(folder / PARTS, body)
        write_atomic(folder / PARTS_CONFIG, json.dumps({"weights": list(attached.names)}, indent=1).encode())
        return body
    write_atomic(folder / ADAPTER, body)
    config = attached.model.peft_config["default"].to_dict() | {"inference_mode": True}
    config = {k: sorted(v) if isinstance(v, set) else v for k, v in config.items()}
    write_atomic(folder / ADAPTER_CONFIG, json.dumps(config, indent=1, default=str).encode())
    return body
