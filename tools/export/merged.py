"""The base's weights with an adapter added into them, as safetensors with their processor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from errata.tools.disk_space import check_space
from errata.tools.errors import OperatorError
from errata.tools.export.adapter import WEIGHTS
from errata.tools.export.base import BaseModel

MARGIN = 1.05
"""Bytes of the merged model by those of the base: the processor, and names of tensors."""


def check_merge(adapter: Path, *, to: Path, base: BaseModel) -> None:
    """Raise OperatorError if the disk of `to` has no room for the merged weights beside the adapter."""
    if not base.weight_bytes:
        remedy = "save the base as safetensors first; weights in pickles are not opened"
        raise OperatorError("no safetensors weights", where=base.folder, remedy=remedy)
    need = round(MARGIN * base.weight_bytes) + (adapter / WEIGHTS).stat().st_size
    check_space(to, need=need, what="the merged model with its adapter")


def write_merged(adapter: Path, *, to: Path, base: BaseModel) -> None:
    """Merge and save, on the CPU, in the precision that the base is stored in: one copy of the base in memory.

    The product of each adapter's two matrices is computed in float32, rounded to that precision, and added. Raises
    OperatorError for a base or adapter that cannot be loaded, for an adapter with a tensor that this base has no place
    for, and for weights that are not finite; OSError for a disk fault.
    """
    from peft import PeftModel, get_peft_model_state_dict
    from safetensors import SafetensorError, safe_open
    from transformers import AutoModelForImageTextToText, AutoProcessor

    quieten()
    try:
        model = AutoModelForImageTextToText.from_pretrained(base.folder, dtype="auto", local_files_only=True)
        processor = AutoProcessor.from_pretrained(base.folder, local_files_only=True)
        adapted = PeftModel.from_pretrained(model, str(adapter))
        with safe_open(adapter / WEIGHTS, framework="numpy") as file:
            stored = set(file.keys())
        _check_places(stored, set(get_peft_model_state_dict(adapted)), adapter=adapter)
        merged: Any = adapted.merge_and_unload(safe_merge=True)
    except (RuntimeError, ValueError, KeyError, OSError, SafetensorError) as error:
        what = f"cannot merge: {' '.join(str(error).split())[:240]}"
        raise OperatorError(what, where=str(adapter), remedy=f"is {base.folder} the base of this run?") from error
    to.mkdir(parents=True, exist_ok=True)
    try:
        merged.save_pretrained(to)
        processor.save_pretrained(to)
    except SafetensorError as error:  # the library's word for a disk fault
        raise OSError(" ".join(str(error).split())[:200]) from error
    for path in to.glob("*.safetensors"):  # the library makes them readable for their owner only
        path.chmod((to / "config.json").stat().st_mode)


def _check_places(stored: set[str], placed: set[str], *, adapter: Path) -> None:
    """PEFT leaves out tensors that it has no place for, with a warning; here they are an error."""
    lost = sorted(stored ^ placed)
    if lost:
        what = f"{len(lost)} of the adapter's {len(stored)} tensors do not fit the base, the first is {lost[0]}"
        remedy = "export with the versions of transformers and peft that trained it"
        raise OperatorError(what, where=str(adapter), remedy=remedy)


def quieten() -> None:
    """Leave progress bars and hints of transformers out of the command's output."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
