"""Where a student comes from: its folder, its adapter, and the first look at both. Nothing here imports torch."""

from __future__ import annotations

import json
from pathlib import Path

from errata.tools.errors import OperatorError
from errata.tools.records import Record

ADAPTER, ADAPTER_CONFIG = "adapter_model.safetensors", "adapter_config.json"
PARTS, PARTS_CONFIG = "trained_parts.safetensors", "trained_parts.json"
"""Files of a checkpoint: an adapter as PEFT writes it, or whole weights of the parts that were trained."""


class StudentSource(Record):
    """Where a student comes from, and how it is asked."""

    base: str
    """Folder of model and processor."""
    adapter: str | None = None
    """Folder of a checkpoint (a LoRA adapter, or trained weights); None is the base itself."""
    checkpoint: str
    """Id of the checkpoint."""
    prompt: str = "student_cot"
    """Name of a file in prompts/."""
    image_first: bool = True
    """Pictures before the text of the question, or after it."""


def check_base(folder: str) -> None:
    """Raise `OperatorError` unless `folder` looks like a vision-language model with its processor."""
    config = Path(folder) / "config.json"
    if not config.is_file():
        raise OperatorError(
            "no model here: config.json is missing",
            where=folder,
            remedy="give the folder that save_pretrained wrote, with model and processor",
        )
    try:
        body = json.loads(config.read_text(encoding="utf-8"))
    except ValueError as error:
        raise OperatorError(f"not JSON: {error}", where=str(config), remedy="copy the model again") from error
    if not isinstance(body, dict) or "vision_config" not in body:
        kind = body.get("model_type") if isinstance(body, dict) else None
        raise OperatorError(
            "the base is no vision-language model",
            where=folder,
            value=kind,
            remedy="choose a model that AutoModelForImageTextToText loads",
        )


def check_adapter(folder: str) -> None:
    """Raise `OperatorError` unless `folder` looks like a LoRA adapter, or like the weights of a full training."""
    if not any((Path(folder) / name).is_file() for name in (ADAPTER_CONFIG, PARTS_CONFIG)):
        raise OperatorError(
            "no adapter here: adapter_config.json is missing",
            where=folder,
            remedy="train again, or name the folder of a finished checkpoint",
        )
