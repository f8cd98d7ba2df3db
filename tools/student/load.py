"""Open a student from disk: model, processor, adapter. The same path for the embedded student and for a user's 7B."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import torch
from peft import PeftModel, get_peft_model_state_dict
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor, GenerationConfig
from transformers.utils import is_bitsandbytes_available, is_flash_attn_2_available
from transformers.utils import logging as transformers_logging

from errata.tools.errors import OperatorError
from errata.tools.student.families import Family, find_family
from errata.tools.student.source import ADAPTER, PARTS, STAGES, StudentSource, check_adapter, check_base


class Student(NamedTuple):
    """A loaded model with its processor, on `device`."""

    model: Any
    processor: Any
    device: torch.device
    family: Family

    @property
    def template(self) -> str | None:
        """The chat template; None for a family that is asked without one."""
        return str(self.processor.chat_template) if self.family.own_template else None

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


def pick_attention(place: torch.device) -> str | None:
    """flash-attention where it is installed on a GPU, else what transformers picks for the model."""
    return "flash_attention_2" if place.type == "cuda" and is_flash_attn_2_available() else None


def four_bits(place: torch.device) -> dict[str, Any]:
    """How to load a base in 4 bits (NF4, double quantization). Raises `OperatorError` where that cannot be done."""
    if place.type != "cuda" or not is_bitsandbytes_available():
        raise OperatorError(
            "qlora needs a CUDA device and bitsandbytes",
            where="train.method",
            value="qlora",
            remedy="pip install bitsandbytes on a machine with a GPU, or set it to lora",
        )
    from transformers import BitsAndBytesConfig

    config = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
    return {"quantization_config": config, "device_map": {"": 0}}


def open_student(
    base: str, *, adapter: str | None, device: str, trust_remote_code: bool = False, quantized: bool = False
) -> Student:
    """Load base and processor, merge `adapter` into the weights; float32 on CPU, bfloat16 on CUDA.

    Weights are read from safetensors only. Raises `OperatorError` for a missing or foreign folder, a broken file,
    or an adapter that does not fit.
    """
    check_base(base)
    _be_quiet()
    place = pick_device(device)
    how: dict[str, Any] = {
        "dtype": torch.float32 if place.type == "cpu" else torch.bfloat16,
        "use_safetensors": True,
        "attn_implementation": pick_attention(place),
        "local_files_only": True,
        "trust_remote_code": trust_remote_code,
    }
    try:
        model = AutoModelForImageTextToText.from_pretrained(base, **how, **(four_bits(place) if quantized else {}))
    except LOADING_FAULTS as error:
        raise _cannot_load(base, error) from error
    if adapter is not None:
        model = merge_adapter(model, adapter)
    processor = _open_processor(base, family=find_family(model), trust_remote_code=trust_remote_code)
    return Student(model.to(place), processor, place, find_family(model))


def open_source(source: StudentSource, *, device: str, quantized: bool = False) -> Student:
    """The student that a source names, as `open_student` opens it."""
    return open_student(
        source.base,
        adapter=source.adapter,
        device=device,
        trust_remote_code=source.trust_remote_code,
        quantized=quantized,
    )


def open_blueprint(base: str, *, trust_remote_code: bool = False) -> Student:
    """The student without its weights: shapes, processor and template, in seconds for any size.

    Raises `OperatorError` as `open_student` does.
    """
    check_base(base)
    _be_quiet()
    how = {"local_files_only": True, "trust_remote_code": trust_remote_code}
    try:
        config = AutoConfig.from_pretrained(base, **how)
        with torch.device("meta"):
            model = AutoModelForImageTextToText.from_config(config, trust_remote_code=trust_remote_code)
        if (Path(base) / "generation_config.json").is_file():
            model.generation_config = GenerationConfig.from_pretrained(base, local_files_only=True)
    except LOADING_FAULTS as error:
        raise _cannot_load(base, error) from error
    family = find_family(model)
    return Student(model, _open_processor(base, family=family, **how), torch.device("meta"), family)


LOADING_FAULTS = (OSError, ValueError, KeyError, ImportError, SafetensorError)
"""What the libraries raise for a folder that is no student."""


def _be_quiet() -> None:
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()


def _cannot_load(base: str, error: BaseException) -> OperatorError:
    return OperatorError(
        f"cannot load the base: {first_line(error)}",
        where=base,
        remedy="the folder needs a vision-language model (safetensors) and its processor",
    )


def _open_processor(base: str, *, family: Family, trust_remote_code: bool, local_files_only: bool = True) -> Any:
    try:
        processor = AutoProcessor.from_pretrained(
            base, local_files_only=local_files_only, trust_remote_code=trust_remote_code
        )
    except LOADING_FAULTS as error:
        raise _cannot_load(base, error) from error
    if not hasattr(processor, "tokenizer"):
        raise OperatorError(
            "the processor has no tokenizer", where=base, remedy="save the full processor beside the model"
        )
    if family.own_template and getattr(processor, "chat_template", None) is None:
        raise OperatorError(
            "the processor has no chat template",
            where=base,
            remedy="save the full processor with its chat template beside the model",
        )
    processor.tokenizer.padding_side = "left"
    return processor


def merge_adapter(model: Any, folder: str) -> Any:
    """Add a checkpoint to the weights. Raises `OperatorError` when it is missing or does not fit.

    An adapter whose names meet no layer of the base is refused: the libraries would go on with the base alone.
    """
    check_adapter(folder)
    stages = Path(folder) / STAGES
    names = json.loads(stages.read_text(encoding="utf-8")) if stages.is_file() else ["."]
    for name in names:
        model = _merge_one(model, str((Path(folder) / name).resolve() if name != "." else folder))
    return model


def _merge_one(model: Any, folder: str) -> Any:
    try:
        if (Path(folder) / PARTS).is_file():
            return _put_parts(model, folder)
        wrapped = PeftModel.from_pretrained(model, folder)
        _check_coverage(wrapped, folder)
        return wrapped.merge_and_unload()
    except (RuntimeError, ValueError, KeyError, OSError, SafetensorError) as error:
        raise OperatorError(
            f"the adapter does not fit the base: {first_line(error)}",
            where=folder,
            remedy="use the base it was trained from",
        ) from error


def _put_parts(model: Any, folder: str) -> Any:
    parts = load_file(Path(folder) / PARTS)
    lacking = set(parts) - {name for name, _ in model.named_parameters()}
    if lacking:
        raise OperatorError(
            f"{len(lacking)} of {len(parts)} trained weights are not in the base",
            where=folder,
            value=min(lacking),
            remedy="use the base it was trained from",
        )
    model.load_state_dict({name: value.to(model.dtype) for name, value in parts.items()}, strict=False)
    return model


def _check_coverage(wrapped: Any, folder: str) -> None:
    """Every tensor of the adapter's file has its place in the model. Raises `OperatorError` otherwise."""
    with safe_open(Path(folder) / ADAPTER, framework="pt") as file:
        stored = set(file.keys())
    placed = set(get_peft_model_state_dict(wrapped))
    if stored != placed:
        differing = min(stored ^ placed)
        raise OperatorError(
            f"the adapter covers {len(stored & placed)} of {len(stored)} of its tensors in this base",
            where=folder,
            value=differing,
            remedy="use the base and the version of transformers that it was trained with",
        )


def first_line(error: BaseException) -> str:
    """The head of an error from a library, short enough for one line."""
    return " ".join(str(error).split())[:240]
