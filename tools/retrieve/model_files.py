"""Open a small model from a folder, alone or inside a vision-language model, and name it by its content."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from errata.tools.errors import OperatorError
from errata.tools.records import digest

HEAD_BYTES = 1 << 20
"""How much of each file goes into the name; its size goes in too."""


class Opened(NamedTuple):
    """A model in evaluation mode on its device, and its tokenizer."""

    model: Any
    tokenizer: Any
    device: Any
    sighted: bool
    """Whether it also takes pictures; its chat template then wants typed parts."""


def open_model(folder: Path, *, kind: Literal["encoder", "language"], device: str = "auto") -> Opened:
    """float32 on CPU, bfloat16 on CUDA. A language model may be a vision-language one: it is asked without
    pictures. Raises OperatorError for a folder that holds no such model, or not all of its weights.
    """
    import torch
    from safetensors import SafetensorError
    from transformers import (
        AutoConfig,
        AutoModel,
        AutoModelForCausalLM,
        AutoModelForImageTextToText,
        AutoTokenizer,
    )
    from transformers.utils import logging as transformers_logging

    check_model(folder, where=str(folder))
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    place = torch.device("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu")
    dtype = torch.float32 if place.type == "cpu" else torch.bfloat16
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
        sighted = hasattr(config, "vision_config")
        language = AutoModelForImageTextToText if sighted else AutoModelForCausalLM
        loader = AutoModel if kind == "encoder" else language
        model, info = loader.from_pretrained(folder, dtype=dtype, local_files_only=True, output_loading_info=True)
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        what = f"cannot load the {kind} model: {' '.join(str(error).split())[:200]}"
        raise OperatorError(what, where=str(folder), remedy="save model and tokenizer into one folder") from error
    missing = sorted(name for name in info["missing_keys"] if "pooler" not in name)
    if missing:
        what, remedy = f"{len(missing)} weights of the {kind} model are missing", "save the whole model again"
        raise OperatorError(what, where=str(folder), value=missing[0], remedy=remedy)
    return Opened(model.to(place).eval(), tokenizer, place, sighted)


def check_model(folder: Path, *, where: str) -> None:
    """Raise OperatorError unless the folder looks like a saved model; loads nothing."""
    if not (folder / "config.json").is_file():
        remedy = "give the folder that save_pretrained wrote, with model and tokenizer"
        raise OperatorError("no model here: config.json is missing", where=where, value=str(folder), remedy=remedy)


def name_model(folder: Path) -> str:
    """The same for the same files in any place: names, sizes and the first MiB of each."""
    prints = []
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        with path.open("rb") as file:
            head = hashlib.sha256(file.read(HEAD_BYTES)).hexdigest()
        prints.append([path.relative_to(folder).as_posix(), path.stat().st_size, head])
    return digest("model", prints)


def longest_input(model: Any, wanted: int) -> int:
    """`wanted`, or the number of positions that the model has where that is less."""
    limit = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    return min(wanted, limit) if isinstance(limit, int) and limit > 0 else wanted


def plan_batches(lengths: Sequence[int], *, tokens: int) -> list[list[int]]:
    """Numbers of inputs, like beside like (by length, then number), `tokens` with padding per batch at most."""
    batches: list[list[int]] = []
    for number in sorted(range(len(lengths)), key=lambda i: (lengths[i], i)):
        if batches and (len(batches[-1]) + 1) * lengths[number] <= tokens:
            batches[-1].append(number)
        else:
            batches.append([number])
    return batches
