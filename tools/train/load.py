"""Open a student from disk: model, processor, adapter. The same path for the embedded student and for a user's 7B."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from peft import PeftModel
from safetensors import SafetensorError
from transformers import AutoModelForImageTextToText, AutoProcessor
from transformers.utils import logging as transformers_logging

from errata.tools.errors import OperatorError
from errata.tools.train.job import check_adapter, check_base


class Student(NamedTuple):
    """A loaded model with its processor, on `device`."""

    model: Any
    processor: Any
    device: torch.device

    @property
    def tokenizer(self) -> Any:
        """The processor's tokenizer."""
        return self.processor.tokenizer

    @property
    def end_ids(self) -> list[int]:
        """Ids that end an answer: those of the generation config and the tokenizer's own."""
        stated = self.model.generation_config.eos_token_id
        ids = stated if isinstance(stated, list) else [stated]
        return sorted({i for i in (*ids, self.tokenizer.eos_token_id) if i is not None})


def pick_device(name: str) -> torch.device:
    """`auto` is an accelerator when there is one; never switches in silence from a device that was asked for."""
    if name == "cuda" and not torch.cuda.is_available():
        raise OperatorError("no CUDA device", where="device", value=name, remedy="set device to auto or cpu")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def open_student(base: str, *, adapter: str | None, device: str) -> Student:
    """Load base and processor, merge `adapter` into the weights; float32 on CPU, bfloat16 on CUDA.

    Raises `OperatorError` for a missing or foreign folder, a broken file, or an adapter that does not fit.
    """
    check_base(base)
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    place = pick_device(device)
    kind = torch.float32 if place.type == "cpu" else torch.bfloat16
    try:
        model = AutoModelForImageTextToText.from_pretrained(base, dtype=kind, local_files_only=True)
        processor = AutoProcessor.from_pretrained(base, local_files_only=True)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise OperatorError(
            f"cannot load the base: {first_line(error)}",
            where=base,
            remedy="the folder needs a vision-language model and its processor",
        ) from error
    if not hasattr(processor, "tokenizer") or getattr(processor, "chat_template", None) is None:
        raise OperatorError(
            "the processor has no tokenizer or no chat template",
            where=base,
            remedy="save the full processor with its chat template beside the model",
        )
    processor.tokenizer.padding_side = "left"
    if adapter is not None:
        model = merge_adapter(model, adapter)
    return Student(model.to(place), processor, place)


def merge_adapter(model: Any, folder: str) -> Any:
    """Add a LoRA adapter to the weights. Raises `OperatorError` when it is missing or does not fit."""
    check_adapter(folder)
    try:
        return PeftModel.from_pretrained(model, folder).merge_and_unload()
    except (RuntimeError, ValueError, KeyError, OSError, SafetensorError) as error:
        raise OperatorError(
            f"the adapter does not fit the base: {first_line(error)}",
            where=folder,
            remedy="use the base it was trained from",
        ) from error


def first_line(error: BaseException) -> str:
    """The head of an error from a library, short enough for one line."""
    return " ".join(str(error).split())[:240]
