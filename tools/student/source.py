"""Where a student comes from: its folder, its adapter, and the first look at both. Nothing here imports torch."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

from errata.tools.errors import OperatorError
from errata.tools.records import Record

ADAPTER, ADAPTER_CONFIG = "adapter_model.safetensors", "adapter_config.json"
PARTS, PARTS_CONFIG = "trained_parts.safetensors", "trained_parts.json"
STAGES = "stages.json"
"""Files of a checkpoint: an adapter as PEFT writes it, whole weights of the parts that were trained, or a list of
folders (relative to it) of stages that are merged in order."""


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
    trust_remote_code: bool = False
    """Whether Python files in the base's folder are run to open it."""


def is_hub_name(text: str) -> bool:
    """Whether a text looks like the name of a model on a hub: owner/name."""
    return re.fullmatch(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", text) is not None


def find_base(name: str, *, where: str) -> str:
    """The folder of a base: itself, or where the hub's cache keeps it, fetched when it is not there.

    Only weights as safetensors are fetched, since other formats can run code when they are opened. Raises
    `OperatorError` when there is neither a folder nor a model of that name.
    """
    if os.path.isdir(name) or not is_hub_name(name):
        return name
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return str(snapshot_download(name, local_files_only=True, allow_patterns=FETCHED))
    except LocalEntryNotFoundError:
        print(f"fetching {name} from the hub, once", file=sys.stderr, flush=True)
    try:
        return str(snapshot_download(name, allow_patterns=FETCHED))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        said = " ".join(str(error).split())[:160]
        raise OperatorError(
            f"neither a folder nor a model that the hub gives: {said}",
            where=where,
            value=name,
            remedy="name a folder, log in with `hf auth login`, or fetch it where there is a network: hf download NAME",
        ) from error


FETCHED = ["*.json", "*.safetensors", "*.jinja", "*.txt", "*.model", "*.py"]
"""Files of a model that are fetched from a hub."""


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
    if not any((Path(folder) / name).is_file() for name in (ADAPTER_CONFIG, PARTS_CONFIG, STAGES)):
        raise OperatorError(
            "no adapter here: adapter_config.json is missing",
            where=folder,
            remedy="train again, or name the folder of a finished checkpoint",
        )
