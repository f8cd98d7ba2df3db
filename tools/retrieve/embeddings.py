"""Embedding functions for the dense part of the skill index, chosen in the settings.

Each turns texts into unit vectors and has a name that stands for what it computes: an index that was built with one is
not served with another. Nothing is downloaded here but by Chroma's own default, once, on first use.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from errata.tools.errors import OperatorError
from errata.tools.records import Record
from errata.tools.retrieve.segment import split_words
from errata.tools.vectors import Embedding, Vectors, make_unit

EmbeddingKind = Literal["none", "hashing", "encoder", "endpoint", "chroma"]


class EmbeddingOptions(Record):
    """Which embedding function, and what it needs."""

    kind: EmbeddingKind = "none"
    folder: str | None = None
    """encoder: folder of a sentence-transformers model, or of any Hugging Face encoder with its tokenizer."""
    model: str | None = None
    """endpoint: name of the model behind `base_url`."""
    base_url: str | None = None
    """endpoint: OpenAI-compatible, e.g. http://127.0.0.1:8000/v1."""


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




class ChromaDefaultEmbedding:
    """Chroma's own default (all-MiniLM-L6-v2 through onnxruntime); it is fetched on first use."""

    name = "chroma"

    def __init__(self) -> None:
        from chromadb.utils.embedding_functions import DefaultEmbeddingFunction

        self._function = DefaultEmbeddingFunction()

    def __call__(self, texts: Sequence[str]) -> Vectors:
        """The vectors, in the order of the texts. Raises OperatorError if the model cannot be loaded."""
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


def make_embedding(options: EmbeddingOptions, *, key: str | None = None, device: str = "cpu") -> Embedding:
    """The embedding function of the settings; raises OperatorError when something that it needs is not said.

    `device` is that of an encoder: vectors of two devices differ a little, so an index has one.
    """
    if options.kind == "encoder":
        if options.folder is None:
            raise _missing("encoder", "the folder of the encoder")
        from errata.tools.retrieve.encoder import FolderEncoder

        return FolderEncoder(Path(options.folder), device=device)
    if options.kind == "endpoint":
        if options.model is None or options.base_url is None:
            raise _missing("endpoint", "the model and its base_url")
        from errata.tools.teacher.chat_options import EndpointOptions
        from errata.tools.teacher.embedding import open_embedding

        return open_embedding(EndpointOptions(base_url=options.base_url, model=options.model), key=key)
    if options.kind == "chroma":
        return ChromaDefaultEmbedding()
    return HashingEmbedding() if options.kind == "hashing" else NoEmbedding()


def _missing(kind: str, what: str) -> OperatorError:
    return OperatorError(f"the embedding {kind} needs {what}", where="embedding", remedy="say which")
