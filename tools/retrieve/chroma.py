"""The skill index in Chroma: one document per distinct skill, with metadata, filters and, where asked, vectors.

Which samples list a skill is not kept here but in the lexical index (tools/retrieve/dense.py joins the two), since a
pool has a hundred times more samples than skills. A build fills a collection of its own; `dense.json`, which names
the collection to be served, is replaced in one step after it: a kill leaves the collection of before, or none.
Chroma is a folder on this machine, or a server; telemetry is off.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import chromadb
import httpx
import numpy as np
from chromadb.config import Settings

from errata.tools.errors import OperatorError
from errata.tools.records import digest
from errata.tools.retrieve.embeddings import NoEmbedding
from errata.tools.retrieve.segment import split_words
from errata.tools.retrieve.writer_lock import only_writer
from errata.tools.vectors import Embedding, Vectors, make_unit

VERSION = 2
ABOUT = "dense.json"
BATCH, VERIFIED = 1000, 500
SAME = 1e-4
"""Cosine distance up to which a vector is found again."""
EXACT = 20_000
"""Up to so many skills every vector is compared; above it Chroma's graph (HNSW) answers, nearly exactly."""
FAULTS = (OSError, ValueError, httpx.HTTPError, chromadb.errors.ChromaError)
"""What opening may raise."""


class SkillCollection:
    """The distinct skills of a pool in a Chroma collection."""

    def __init__(self, folder: Path, *, embedding: Embedding | None = None, server: str | None = None) -> None:
        """Opens or makes `folder`; with `server` (http://host:port) the collection lies there, else in the folder.

        Raises OperatorError for a folder or a server that cannot be used.
        """
        self.folder = folder
        self.embedding: Embedding = NoEmbedding() if embedding is None else embedding
        self._vectors: tuple[str, list[str], Vectors] | None = None
        """Fingerprint, skills and unit vectors [skills, size] of the content that was compared last."""
        self._prefix = "skills" if server is None else f"errata-{digest(str(folder.resolve()), length=12)}"
        settings = Settings(anonymized_telemetry=False)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._client = (
                chromadb.PersistentClient(str(folder), settings) if server is None else _connect(server, settings)
            )
        except FAULTS as error:
            raise _cannot_open(server or str(folder), error, folder=server is None) from error

    def build(self, skills: Mapping[str, int], *, of: str | None = None) -> bool:
        """Index skill -> how many samples list it. False when the index was made of exactly this.

        `of` stands for the content, where something shorter than the skills themselves does.
        """
        content = of if of is not None else digest(sorted(skills.items()))
        if self.is_of(content):
            return False
        with only_writer(self.folder):
            print_of, there = self._fingerprint(content), self._names()
            name = f"{self._prefix}-{print_of}"
            if name in there:
                self._client.delete_collection(name)
            self._upsert(self._make_collection(name), skills)
            self._verify(self._client.get_collection(name, embedding_function=None), skills)
            self._commit(print_of, name)
            for old in there - {name}:
                self._client.delete_collection(old)
        return True

    def is_of(self, content: str) -> bool:
        """Whether the index exists and was made from `content` (a digest)."""
        about = self._about()
        return about.get("fingerprint") == self._fingerprint(content) and about.get("collection") in self._names()

    def add(self, skills: Mapping[str, int], *, of: str) -> None:
        """Add new skills and update the counts of old ones; `of` is the digest of the content afterwards."""
        with only_writer(self.folder):
            self.open()
            name = self._about()["collection"]
            self._upsert(self._collection(), skills)
            self._verify(self._collection(), skills)
            self._commit(self._fingerprint(of), name)

    def verify(self, skills: Mapping[str, int]) -> None:
        """Ask the served collection for each skill by itself; raises OperatorError where one is missed."""
        self._verify(self._collection(), skills)

    def open(self) -> None:
        """Raise OperatorError when no index is there, or one of another embedding."""
        about = self._about()
        if about.get("embedding") != self.embedding.name or about.get("collection") not in self._names():
            remedy = f"build it with the embedding {self.embedding.name}"
            raise OperatorError(
                "no such skill index", where=str(self.folder), value=about.get("embedding"), remedy=remedy
            )

    def __len__(self) -> int:
        return int(self._collection().count())

    def find_skills(self, *, where: dict[str, Any] | None = None) -> list[str]:
        """The skills whose metadata (`samples`, `words`: counts) fit a Chroma filter, in order of text."""
        found = self._collection().get(where=where, include=["documents"])
        return sorted(found["documents"])

    def nearest_skills(self, query: str, k: int, *, where: dict[str, Any] | None = None) -> list[tuple[str, float]]:
        """The k skills most alike by cosine (rounded to 6 decimals), then by text.

        Raises OperatorError when dense search is off.
        """
        if self.embedding.name == "none":
            remedy = "set an embedding (hashing needs no model), or use the mode bm25"
            raise OperatorError("dense search is off: the index has no embedding", where="retrieve", remedy=remedy)
        vector, total = self.embedding([query]), len(self)
        if not vector.any() or not total or k < 1:
            return []
        if total <= EXACT:
            return self._compare(vector, where)[:k]
        asked = min(k + 1, total)
        while True:
            near = self._ask(vector, asked, where)
            if len(near) < asked or asked == total or near[-1][1] < near[k - 1][1]:
                return sorted(near, key=lambda pair: (-pair[1], pair[0]))[:k]
            asked = min(2 * asked, total)

    def _compare(self, vector: Vectors, where: dict[str, Any] | None) -> list[tuple[str, float]]:
        """Every skill with its cosine, in order: the graph of Chroma may miss skills that are much alike."""
        about = self._about()
        if self._vectors is None or self._vectors[0] != about["fingerprint"]:
            kept = self._collection().get(include=["documents", "embeddings"])
            matrix = make_unit(np.asarray(kept["embeddings"], dtype=np.float32))
            self._vectors = (about["fingerprint"], list(kept["documents"]), matrix)
        _, texts, matrix = self._vectors
        scores = (matrix @ make_unit(vector)[0]).round(6).tolist()
        allowed = None if where is None else set(self.find_skills(where=where))
        pairs = [(text, score) for text, score in zip(texts, scores, strict=True) if allowed is None or text in allowed]
        return sorted(pairs, key=lambda pair: (-pair[1], pair[0]))

    def close(self) -> None:
        """Release the folder."""
        self._client.close()

    def _ask(self, vector: Any, count: int, where: dict[str, Any] | None) -> list[tuple[str, float]]:
        found = self._collection().query(
            query_embeddings=vector, n_results=count, where=where, include=["documents", "distances"]
        )
        pairs = zip(found["documents"][0], found["distances"][0], strict=True)
        return [(text, round(1 - float(far), 6)) for text, far in pairs]

    def _fingerprint(self, content: str) -> str:
        return digest("skill index", VERSION, self.embedding.name, content, length=32)

    def _collection(self) -> Any:
        return self._client.get_collection(self._about()["collection"], embedding_function=None)

    def _names(self) -> set[str]:
        return {c.name for c in self._client.list_collections() if c.name.startswith(f"{self._prefix}-")}

    def _make_collection(self, name: str) -> Any:
        hnsw = {"space": "cosine", "num_threads": 1, "ef_construction": 400, "ef_search": 1000}
        if self.embedding.name == "none":
            hnsw |= {"ef_construction": 10, "ef_search": 10}
        metadata = {"embedding": self.embedding.name}
        return self._client.create_collection(
            name, configuration={"hnsw": hnsw}, metadata=metadata, embedding_function=None
        )

    def _verify(self, collection: Any, skills: Mapping[str, int]) -> None:
        """Ask for each skill the way that searches do: by its kept vector, and above EXACT through Chroma's graph."""
        texts, missed = [text for text in sorted(skills) if split_words(text)], list[str]()
        for start in range(0, len(texts), VERIFIED):
            part = {digest("skill", text): text for text in texts[start : start + VERIFIED]}
            kept = collection.get(ids=list(part), include=["embeddings"])
            missed += [part[name] for name in part.keys() - set(kept["ids"])]
            vectors = np.asarray(kept["embeddings"], dtype=np.float32).reshape(len(kept["ids"]), -1)
            asked = np.flatnonzero(vectors.any(axis=1))
            if not len(asked) or self.embedding.name == "none" or collection.count() <= EXACT:
                continue
            found = collection.query(query_embeddings=vectors[asked], n_results=1, include=["distances"])["distances"]
            far = [row for row, near in zip(asked, found, strict=True) if not near or near[0] > SAME]
            missed += [part[kept["ids"][row]] for row in far]
        if missed:
            what = f"the index misses {len(missed)} of {len(texts)} skills when it is asked for them"
            remedy = "delete the folder and build it again, with one process at a time"
            raise OperatorError(what, where=str(self.folder), value=sorted(missed)[0], remedy=remedy)

    def _upsert(self, collection: Any, skills: Mapping[str, int]) -> None:
        """Skills without a word cannot be searched and are left out."""
        texts = [text for text in sorted(skills) if split_words(text)]
        size = min(self._client.get_max_batch_size(), BATCH)
        for start in range(0, len(texts), size):
            part = texts[start : start + size]
            collection.upsert(
                ids=[digest("skill", text) for text in part],
                documents=part,
                metadatas=[{"samples": skills[text], "words": len(split_words(text))} for text in part],
                embeddings=np.ascontiguousarray(self.embedding(part)),
            )

    def _about(self) -> dict[str, Any]:
        try:
            about = json.loads((self.folder / ABOUT).read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return {}
        return about if isinstance(about, dict) else {}

    def _commit(self, fingerprint: str, name: str) -> None:
        about = {"fingerprint": fingerprint, "embedding": self.embedding.name, "collection": name}
        part = self.folder / f"{ABOUT}.part"
        with part.open("w", encoding="utf-8") as file:
            file.write(json.dumps(about) + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, self.folder / ABOUT)


def check_server(server: str) -> None:
    """Raise OperatorError where no Chroma server answers at this address."""
    try:
        _connect(server, Settings(anonymized_telemetry=False)).heartbeat()
    except FAULTS as error:
        raise _cannot_open(server, error, folder=False) from error


def _cannot_open(where: str, error: Exception, *, folder: bool) -> OperatorError:
    remedy = "start it (chroma run), or leave the server out to use a folder"
    if folder:
        remedy = "choose a writable folder, or delete this one: it is built anew"
    return OperatorError(f"the skill index cannot be opened ({error})", where=where, remedy=remedy)


def _connect(server: str, settings: Settings) -> Any:
    address = urlsplit(server if "//" in server else f"//{server}")
    if not address.hostname:
        raise ValueError("not an address like http://127.0.0.1:8000")
    secure = address.scheme == "https"
    return chromadb.HttpClient(
        host=address.hostname, port=address.port or (443 if secure else 8000), ssl=secure, settings=settings
    )
