"""A copy of a LoRA adapter that names the base it belongs to."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

from errata.tools.errors import OperatorError
from errata.tools.export.base import BaseModel

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
CHUNK = 1 << 24
"""Bytes that are hashed at a time."""


def check_weights(folder: Path, *, digest: str | None) -> None:
    """Raise OperatorError unless the adapter's files are there, can be read, and are those that the run trained.

    `digest`: beginning of the SHA-256 of the weights as the training wrote it down; None where it did not.
    """
    from safetensors import SafetensorError, safe_open

    remedy = "resume the run to train it again, or name another checkpoint"
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise OperatorError(f"{name} is missing", where=str(folder), remedy=remedy)
    path = folder / WEIGHTS
    try:
        with safe_open(path, framework="numpy") as file:
            names = list(file.keys())
    except (SafetensorError, OSError) as error:
        raise OperatorError("the adapter cannot be read", where=str(path), value=str(error), remedy=remedy) from None
    if not names:
        raise OperatorError("the adapter is empty", where=str(path), remedy=remedy)
    if digest is not None and not hash_file(path).startswith(digest):
        what = "these are not the weights that the run trained and measured"
        raise OperatorError(what, where=str(path), remedy="put the old file back, or name another checkpoint")


def hash_file(path: Path) -> str:
    """SHA-256 of a file as 64 hex digits."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(CHUNK):
            found.update(part)
    return found.hexdigest()


def copy_adapter(source: Path, *, to: Path, base: BaseModel) -> None:
    """Weights as they are; the configuration with name and revision of the base. Raises OperatorError."""
    try:
        config = json.loads((source / CONFIG).read_text(encoding="utf-8"))
    except ValueError as error:
        remedy = "put the old file back, or name another checkpoint"
        raise OperatorError("not JSON", where=str(source / CONFIG), value=str(error), remedy=remedy) from None
    config |= {"base_model_name_or_path": base.name, "revision": base.revision, "inference_mode": True}
    (to / CONFIG).write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    shutil.copyfile(source / WEIGHTS, to / WEIGHTS)
