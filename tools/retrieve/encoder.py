"""A sentence encoder from a folder: MiniLM or any other that `AutoModel` loads.

What sentence-transformers saves is read as it says: pooling by mean or by the first token, and the longest
input. Other folders are pooled by mean. Modules that are neither transformer, pooling nor normalising are
refused, since without them the vectors would be others.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from errata.tools.errors import OperatorError
from errata.tools.retrieve.model_files import check_model, longest_input, name_model, open_model, plan_batches

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_TOKENS = 256
BATCH_TOKENS = 8192
KNOWN = ("Transformer", "Pooling", "Normalize")


class FolderEncoder:
    """Satisfies `Embedding`. The model is loaded with the first text."""

    def __init__(self, folder: Path, *, device: str = "auto", where: str = "embedding") -> None:
        """Reads the folder's own description; `where` is the setting that names it. Raises OperatorError for what
        cannot be used.
        """
        check_model(folder, where=where)
        self._folder, self._device = folder, device
        self._opened: Any = None
        self.name = name_model(folder)
        self._first_token = _pools_first_token(folder)
        stated = _read_json(folder / "sentence_bert_config.json").get("max_seq_length")
        self._longest = stated if isinstance(stated, int) and stated > 0 else MAX_TOKENS

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """float32[texts, size], each of length 1; what is longer than the model reads is cut off at its end."""
        import numpy as np
        import torch

        if self._opened is None:
            self._opened = open_model(self._folder, kind="encoder", device=self._device)
        model, tokenizer, place, _ = self._opened
        longest = longest_input(model, self._longest)
        encoded = [tokenizer(text, truncation=True, max_length=longest)["input_ids"] for text in texts]
        vectors: list[Any] = [None] * len(texts)
        with torch.inference_mode():
            for batch in plan_batches([len(ids) for ids in encoded], tokens=BATCH_TOKENS):
                inputs = tokenizer.pad({"input_ids": [encoded[i] for i in batch]}, return_tensors="pt").to(place)
                states = model(**inputs).last_hidden_state.float()
                mask = inputs["attention_mask"].unsqueeze(-1).float()
                first = mask.argmax(dim=1, keepdim=True).expand(-1, 1, states.shape[-1])
                mean = (states * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)
                pooled = states.gather(1, first).squeeze(1) if self._first_token else mean
                for i, vector in zip(batch, torch.nn.functional.normalize(pooled).cpu().numpy(), strict=True):
                    vectors[i] = vector
        size = model.config.get_text_config().hidden_size
        return np.stack(vectors).astype(np.float32) if vectors else np.zeros((0, size), np.float32)


def _pools_first_token(folder: Path) -> bool:
    """Raises OperatorError for modules and poolings that are not known here."""
    modules = _read_json(folder / "modules.json", empty="[]")
    kinds = [str(module["type"]).rpartition(".")[2] for module in modules]
    strange = next((kind for kind in kinds if kind not in KNOWN), None)
    pooling = _read_json(folder / "1_Pooling" / "config.json")
    modes = [key for key, value in pooling.items() if key.startswith("pooling_mode_") and value is True]
    modes = modes or [f"pooling_mode_{pooling.get('pooling_mode', 'mean')}"]
    modes = ["pooling_mode_mean_tokens" if m == "pooling_mode_mean" else m for m in modes]
    modes = ["pooling_mode_cls_token" if m == "pooling_mode_cls" else m for m in modes]
    if strange is None and modes not in (["pooling_mode_mean_tokens"], ["pooling_mode_cls_token"]):
        strange = ", ".join(modes)
    if strange is not None:
        remedy = "choose an encoder that pools by mean or by the first token, without further layers"
        raise OperatorError("the encoder has a part that is not known", where=str(folder), value=strange, remedy=remedy)
    return modes == ["pooling_mode_cls_token"]


def _read_json(path: Path, *, empty: str = "{}") -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8") if path.is_file() else empty)
    except ValueError as error:
        raise OperatorError("not JSON", where=str(path), remedy="copy the model again") from error
