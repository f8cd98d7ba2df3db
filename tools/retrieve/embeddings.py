"""Embedding functions for the dense part of the skill index, chosen in the settings.

Each turns texts into unit vectors and has a name that stands for what it computes: an index that was built with one is
not served with another. Nothing is downloaded here but by Chroma's own default, once, on first use.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from tools.errors import OperatorError
from tools.records import Record
from tools.retrieve.segment import split_words

EmbeddingKind = Literal["none", "hashing", "encoder", "endpoint", "chroma"]
Vectors = NDArray[np.float32]
BATCH = 64
"""Texts that an encoder gets at once."""


class EmbeddingOptions(Record):
    """Which embedding function, and what it needs."""

    kind: EmbeddingKind = "none"
    folder: str | None = None
    """encoder: folder of a sentence-transformers model, or of any Hugging Face encoder with its tokenizer."""
    model: str | None = None
    """endpoint: name of the model behind `base_url`."""
    base_url: str | None = None
    """endpoint: OpenAI-compatible, e.g. http://127.0.0.1:8000/v1."""


class Embedding(Protocol):
    """Turns texts into unit vectors, float32[texts, size]; the same for the same."""

    name: str

    def __call__(self, texts: Sequence[str]) -> Vectors:
        """The vectors, in the order of the texts."""
        ...


class NoEmbedding:
    """Chroma keeps documents, metadata and filters; dense search is off. It wants a vector all the same."""

    name = "none"

    def __call__(self, texts: Sequence[str]) -> Vectors:
        """Two numbers by the text's check sum; they are never searched, but equal points make an index slow."""
        angles = np.array([zlib.crc32(text.encode("utf-8")) for text in texts]) * (2 * np.pi / 2**32)
        return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


class HashingEmbedding:
    """Signed hashing of letter n-grams (3 to 5, words padded by a space): needs no model and no network.

    It knows spelling, not meaning: "counting" is near "count", "tally" is not.
    """

    name = "hashing"

    def __init__(self, size: int = 512) -> None:
        self.size = size

    def __call__(self, texts: Sequence[str]) -> Vectors:
        """The vectors, in the order of the texts; a text without a word gives a zero vector."""
        vectors = np.zeros((len(texts), self.size), dtype=np.float32)
        for row, text in enumerate(texts):
            for word in split_words(text):
                padded = f" {word} "
                for n in (3, 4, 5):
                    for start in range(len(padded) - n + 1):
                        code = zlib.crc32(padded[start : start + n].encode("utf-8"))
                        vectors[row, (code >> 1) % self.size] += 1.0 if code & 1 else -1.0
        return make_unit(vectors)


class EncoderEmbedding:
    """A Hugging Face encoder on the CPU, its last hidden states pooled.

    In a sentence-transformers folder, `1_Pooling/config.json` says how (mean or first token); else it is the mean.
    """

    def __init__(self, folder: Path) -> None:
        """Loads the model; raises OperatorError for a folder that holds none, or one with other modules."""
        self._first = _reads_first_token(folder)
        self.name = f"encoder:{_hash_folder(folder)}"
        from transformers import AutoModel, AutoTokenizer

        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
            self._model: Any = AutoModel.from_pretrained(str(folder), local_files_only=True).eval()
        except (OSError, ValueError, KeyError) as error:
            raise _bad_folder(folder, f"no encoder can be loaded ({str(error).splitlines()[0]})") from error

    def __call__(self, texts: Sequence[str]) -> Vectors:
        """The vectors, in the order of the texts."""
        import torch

        found = []
        for start in range(0, len(texts), BATCH):
            part = list(texts[start : start + BATCH])
            longest = min(self._tokenizer.model_max_length, self._model.config.max_position_embeddings, 512)
            inputs = self._tokenizer(part, padding=True, truncation=True, max_length=longest, return_tensors="pt")
            with torch.inference_mode():
                states = self._model(**inputs).last_hidden_state.float()
            mask = inputs["attention_mask"].unsqueeze(-1).float()
            pooled = states[:, 0] if self._first else (states * mask).sum(1) / mask.sum(1).clamp(min=1)
            found.append(pooled.numpy())
        return make_unit(np.concatenate(found)) if found else np.zeros((0, 1), np.float32)


class ChromaDefaultEmbedding:
    """Chroma's own default (all-MiniLM-L6-v2 through onnxruntime); it is fetched on first use."""

    name = "chroma"

    def __init__(self) -> None:
        from chromadb.utils.embedding_functions import DefaultEmbeddingFunction

        self._function = DefaultEmbeddingFunction()

    def __call__(self, texts: Sequence[str]) -> Vectors:
        """The vectors, in the order of the texts. Raises OperatorError when the model is not to be had."""
        import httpx

        try:
            return make_unit(np.array(self._function(list(texts)), dtype=np.float32).reshape(len(texts), -1))
        except (httpx.HTTPError, OSError) as error:
            remedy = "connect to the network once, or name a folder with an encoder"
            raise OperatorError(
                f"Chroma's default embedding is not here and cannot be fetched ({error})",
                where="embedding",
                remedy=remedy,
            ) from error


def make_embedding(options: EmbeddingOptions, *, key: str | None = None) -> Embedding:
    """The embedding function of the settings; raises OperatorError when something that it needs is not said."""
    if options.kind == "encoder":
        if options.folder is None:
            raise _missing("encoder", "the folder of the encoder")
        return EncoderEmbedding(Path(options.folder))
    if options.kind == "endpoint":
        if options.model is None or options.base_url is None:
            raise _missing("endpoint", "the model and its base_url")
        from tools.teacher.chat_options import EndpointOptions
        from tools.teacher.embedding import open_embedding

        return open_embedding(EndpointOptions(base_url=options.base_url, model=options.model), key=key)
    if options.kind == "chroma":
        return ChromaDefaultEmbedding()
    return HashingEmbedding() if options.kind == "hashing" else NoEmbedding()


def make_unit(vectors: Vectors) -> Vectors:
    """Rows of length 1; a row of zeros stays."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: Vectors = np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0)
    return unit


def _missing(kind: str, what: str) -> OperatorError:
    return OperatorError(f"the embedding {kind} needs {what}", where="embedding", remedy="say which")


def _bad_folder(folder: Path, what: str) -> OperatorError:
    return OperatorError(what, where=str(folder), remedy="give the folder of a Hugging Face encoder")


def _hash_folder(folder: Path) -> str:
    """A digest of configuration, tokenizer and weights, wherever the folder lies."""
    files = sorted(p for p in folder.rglob("*") if p.suffix in (".json", ".safetensors", ".bin", ".txt", ".model"))
    if not files:
        raise _bad_folder(folder, "there is no model here")
    total = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            total.update(f"{path.relative_to(folder)} {hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return total.hexdigest()[:16]


def _reads_first_token(folder: Path) -> bool:
    modules = folder / "modules.json"
    if not modules.is_file():
        return False
    kinds = [entry["type"].rpartition(".")[2] for entry in json.loads(modules.read_text(encoding="utf-8"))]
    if not set(kinds) <= {"Transformer", "Pooling", "Normalize"}:
        raise _bad_folder(folder, f"a sentence-transformers model with modules that are not known here: {kinds}")
    pooling = json.loads((folder / "1_Pooling" / "config.json").read_text(encoding="utf-8"))
    first, mean = pooling.get("pooling_mode_cls_token"), pooling.get("pooling_mode_mean_tokens")
    if not (first or mean):
        raise _bad_folder(folder, "its pooling is neither the mean nor the first token")
    return bool(first)
