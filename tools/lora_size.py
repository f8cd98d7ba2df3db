"""Bytes of a LoRA adapter, told from the headers of the base's safetensors files: no weight is read."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path

TEXT = ("text_model", "language_model")
JOINT = ("connector", "projector")
NOT_TEXT = ("vision", "visual", "embed", "lm_head")
FLOAT = 4
"""Bytes of a parameter of the adapter, which is kept in float32."""
LARGEST_HEADER = 1 << 28
"""Bytes; a longer header is not that of a safetensors file."""


def estimate_lora_bytes(base: str, *, rank: int, targets: str | tuple[str, ...]) -> int:
    """Bytes of the adapter's tensors: rank * (rows + columns) for every matrix that gets one.

    `targets` as in the recipe: `text`, `text-and-connector`, or names of modules. Names in files may differ from those
    of the loaded model; where no name says which part is the text model, all matrices but those of vision, embedding
    and head are counted. 0 where the base has no safetensors file that can be read.
    """
    shapes = dict(_read_matrices(Path(base)))
    if isinstance(targets, tuple):
        chosen = [name for name in shapes if any(name == t or name.endswith(f".{t}") for t in targets)]
    else:
        parts = (*TEXT, *JOINT) if targets == "text-and-connector" else TEXT
        named = [name for name in shapes if any(part in name for part in parts)]
        chosen = [name for name in named or shapes if not any(part in name for part in NOT_TEXT)]
    return FLOAT * rank * sum(sum(shapes[name]) for name in chosen)


def _read_matrices(folder: Path) -> Iterator[tuple[str, tuple[int, int]]]:
    """Name without `.weight`, and shape, of every tensor of two dimensions."""
    for path in sorted(folder.glob("*.safetensors")):
        for name, entry in _read_header(path).items():
            shape: list[int] = entry["shape"] if isinstance(entry, dict) and "shape" in entry else []
            if len(shape) == 2 and name.endswith(".weight"):
                yield name.removesuffix(".weight"), (int(shape[0]), int(shape[1]))


def _read_header(path: Path) -> dict[str, object]:
    """The header: its length as a little-endian uint64, then JSON. Empty for another kind of file."""
    with path.open("rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if not 0 < length <= LARGEST_HEADER:
            return {}
        try:
            header = json.loads(file.read(length))
        except ValueError:
            return {}
    return header if isinstance(header, dict) else {}
