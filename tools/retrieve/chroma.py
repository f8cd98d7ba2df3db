"""The skill index in Chroma: one document per distinct skill, with metadata, filters and, where asked,
vectors.

Which samples need a skill is kept beside it (`skills.jsonl`), since a pool has a hundred times more samples
than skills. `index.json` is written last and holds a fingerprint of all that went in: an index that was cut
off, or whose source changed, is built anew. Everything is local and telemetry is off.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import chromadb
import numpy as np
from chromadb.config import Settings
from numpy.typing import NDArray

from tools.errors import OperatorError
from tools.records import Route, digest
from tools.retrieve.lexical import Hit, split_words, top_hits

VERSION = 1
COLLECTION = "skills"


class Embedding(Protocol):
    """Turns texts into unit vectors, float32[texts, size]; must give the same for the same on every
    machine.
    """

    name: str

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The vectors, in the order of the texts."""
        ...


class HashingEmbedding:
    """Signed hashing of letter n-grams (3 to 5, words padded by a space): needs no model and no network.

    It knows spelling, not meaning: "counting" is near "count", "tally" is not.
    """

    name = "hashing"

    def __init__(self, size: int = 512) -> None:
        self.size = size

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The vectors, in the order of the texts; a text without a word gives a zero vector."""
        vectors = np.zeros((len(texts), self.size), dtype=np.float32)
        for row, text in enumerate(texts):
            for word in split_words(text):
                padded = f" {word} "
                for n in (3, 4, 5):
                    for start in range(len(padded) - n + 1):
                        code = zlib.crc32(padded[start : start + n].encode("utf-8"))
                        vectors[row, (code >> 1) % self.size] += 1.0 if code & 1 else -1.0
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        np.divide(vectors, norms, out=vectors, where=norms > 0)
        return vectors


class NoEmbedding:
    """Chroma keeps documents, metadata and filters; dense search is off. It wants a vector all the same."""

    name = "none"

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """One constant per text; it is never searched."""
        return np.ones((len(texts), 1), dtype=np.float32)


EMBEDDINGS: dict[str, type[HashingEmbedding] | type[NoEmbedding]] = {
    "none": NoEmbedding,
    "hashing": HashingEmbedding,
}


class SkillCollection:
    """The distinct skills of a pool in a persistent Chroma collection, and the samples that need them."""

    route: Route = "dense"

    def __init__(self, folder: Path, *, embedding: str | Embedding = "none") -> None:
        """Opens or makes `folder`. Raises OperatorError for an unknown embedding or an unusable folder."""
        self.folder = folder
        self.embedding: Embedding = _named(embedding) if isinstance(embedding, str) else embedding
        self._samples: dict[str, tuple[str, ...]] = {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            settings = Settings(anonymized_telemetry=False)
            self._client = chromadb.PersistentClient(str(folder), settings=settings)
        except (OSError, chromadb.errors.ChromaError) as error:
            remedy = "choose a writable folder, or delete the index: it is built anew"
            raise OperatorError(
                f"the skill index cannot be opened ({error})", where=str(folder), remedy=remedy
            ) from error

    def build(self, samples: Mapping[str, Sequence[str]]) -> bool:
        """Index sample id -> required skills. False when the index on disk was made of exactly this."""
        self._samples = _invert(samples)
        print_of = digest("skill index", VERSION, self.embedding.name, sorted(self._samples.items()), length=32)
        if self._fingerprint() == print_of:
            return False
        (self.folder / "index.json").unlink(missing_ok=True)
        if COLLECTION in {c.name for c in self._client.list_collections()}:
            self._client.delete_collection(COLLECTION)
        self._upsert(self._make_collection())
        rows = (json.dumps({"skill": s, "samples": ids}, ensure_ascii=False) for s, ids in self._samples.items())
        _write(self.folder / "skills.jsonl", "".join(row + "\n" for row in rows))
        about = {"fingerprint": print_of, "embedding": self.embedding.name, "skills": len(self._samples)}
        _write(self.folder / "index.json", json.dumps(about) + "\n")
        return True

    def open(self) -> None:
        """Read what an earlier `build` left; raises OperatorError when it is not there or of another
        embedding.
        """
        about = self._about()
        if about.get("embedding") != self.embedding.name:
            remedy = f"build it with the embedding {self.embedding.name}"
            raise OperatorError(
                "no such skill index", where=str(self.folder), value=about.get("embedding"), remedy=remedy
            )
        lines = (self.folder / "skills.jsonl").read_text(encoding="utf-8").split("\n")
        rows = [json.loads(line) for line in lines if line]
        self._samples = {row["skill"]: tuple(row["samples"]) for row in rows}

    def find_skills(self, *, where: dict[str, Any] | None = None) -> list[str]:
        """The skills whose metadata (`samples`, `words`: counts) fit a Chroma filter, in order of text."""
        found = self._collection().get(where=where, include=["documents"])
        return sorted(found["documents"])

    def nearest_skills(self, query: str, k: int, *, where: dict[str, Any] | None = None) -> list[tuple[str, float]]:
        """The k skills most alike by cosine (rounded to 6 decimals), then by text; raises OperatorError if
        off.
        """
        if self.embedding.name == "none":
            remedy = "set retrieve.embedding (hashing needs no model), or use the mode bm25"
            raise OperatorError("dense search is off: the index has no embedding", where="retrieve", remedy=remedy)
        vector = self.embedding([query])
        if not vector.any() or not self._samples:
            return []
        found = self._collection().query(
            query_embeddings=vector,
            n_results=len(self._samples),
            where=where,
            include=["documents", "distances"],
        )
        pairs = zip(found["documents"][0], found["distances"][0], strict=True)
        near = sorted(((text, round(1 - float(far), 6)) for text, far in pairs), key=lambda p: (-p[1], p[0]))
        return near[:k]

    def search(self, query: str, k: int) -> list[Hit]:
        """The k best samples by the cosine of their nearest skill, above 0; by score descending, id
        ascending.
        """
        best: dict[str, float] = {}
        for skill, score in self.nearest_skills(query, len(self._samples)):
            for sample in self._samples[skill]:
                best[sample] = max(score, best.get(sample, 0.0))
        ids = sorted(best)
        return top_hits(ids, np.array([best[name] for name in ids]), k)

    def close(self) -> None:
        """Release the folder."""
        self._client.close()

    def _collection(self) -> Any:
        return self._client.get_collection(COLLECTION, embedding_function=None)

    def _make_collection(self) -> Any:
        hnsw = {"space": "cosine", "num_threads": 1, "ef_construction": 400, "ef_search": 1000}
        return self._client.create_collection(
            COLLECTION,
            configuration={"hnsw": hnsw},
            metadata={"embedding": self.embedding.name},
            embedding_function=None,
        )

    def _upsert(self, collection: Any) -> None:
        texts = list(self._samples)
        size = min(self._client.get_max_batch_size(), 1000)
        for start in range(0, len(texts), size):
            part = texts[start : start + size]
            collection.upsert(
                ids=[digest("skill", text) for text in part],
                documents=part,
                metadatas=[{"samples": len(self._samples[t]), "words": len(split_words(t))} for t in part],
                embeddings=self.embedding(part),
            )

    def _about(self) -> dict[str, Any]:
        try:
            about = json.loads((self.folder / "index.json").read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return {}
        return about if isinstance(about, dict) else {}

    def _fingerprint(self) -> object:
        have = {c.name for c in self._client.list_collections()}
        return self._about().get("fingerprint") if COLLECTION in have else None


def _named(embedding: str) -> Embedding:
    if embedding not in EMBEDDINGS:
        remedy = f"use one of {', '.join(EMBEDDINGS)}"
        raise OperatorError("unknown embedding", where="retrieve.embedding", value=embedding, remedy=remedy)
    return EMBEDDINGS[embedding]()


def _invert(samples: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """skill -> samples, both sorted; skills without a word cannot be searched and are left out."""
    found: dict[str, set[str]] = {}
    for name, skills in samples.items():
        for skill in skills:
            if split_words(skill):
                found.setdefault(skill, set()).add(name)
    return {skill: tuple(sorted(found[skill])) for skill in sorted(found)}


def _write(path: Path, text: str) -> None:
    part = path.with_suffix(".part")
    part.write_text(text, encoding="utf-8")
    os.replace(part, path)
