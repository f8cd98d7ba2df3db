"""Encoded samples with their picture features on disk: written once, read back by number, not held in memory."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from safetensors.torch import load, save

from errata.tools.errors import OperatorError
from errata.tools.records import Problem, digest
from errata.tools.student.encode import Encoded
from errata.tools.student.source import StudentSource

BODY, INDEX = "samples.bin", "index.jsonl"


class FeatureStore:
    """Samples by the digest of all that they are made from; several trainings of one run share a store."""

    def __init__(self, folder: Path, *, source: StudentSource) -> None:
        self._folder, self._source = folder, source
        self._places: dict[str, tuple[int, int]] = {}
        self._maker = digest("features", _base_files(source.base), source.prompt, source.image_first, source.adapter)
        path = folder / INDEX
        if path.is_file():
            for line in path.read_text(encoding="utf-8").splitlines():
                try:
                    key, start, size = json.loads(line)
                except ValueError:
                    continue  # a line that a kill cut off: its sample is written anew
                self._places[key] = start, size

    def key_of(self, problem: Problem) -> str:
        """The key of a problem's sample."""
        return digest("sample", self._maker, problem.model_dump(mode="json"))

    def __contains__(self, key: str) -> bool:
        return key in self._places

    def put(self, keys: Sequence[str], samples: Sequence[Encoded]) -> None:
        """Append samples; first their content, then their places. Raises `OperatorError` on a full disk."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with (self._folder / BODY).open("ab") as body, (self._folder / INDEX).open("a", encoding="utf-8") as index:
                for key, sample in zip(keys, samples, strict=True):
                    start, content = body.tell(), _to_bytes(sample)
                    body.write(content)
                    body.flush()
                    index.write(json.dumps([key, start, len(content)]) + "\n")
                    self._places[key] = start, len(content)
        except OSError as error:
            raise OperatorError(
                f"cannot write: {error.strerror}",
                where=str(self._folder),
                remedy="free space there, or set train.cache_features: off",
            ) from error

    def get(self, key: str) -> Encoded:
        """The sample of a key."""
        start, size = self._places[key]
        descriptor = os.open(self._folder / BODY, os.O_RDONLY)
        try:
            return _from_bytes(os.pread(descriptor, size, start))
        finally:
            os.close(descriptor)


def enough_space(folder: Path, needed: int, *, share: float) -> bool:
    """Whether `needed` bytes are at most this share of the free space where `folder` will be."""
    existing = next(path for path in (folder, *folder.parents) if path.is_dir())
    return needed <= share * shutil.disk_usage(existing).free


def _base_files(base: str) -> list[tuple[str, int, int]]:
    files = sorted(path for path in Path(base).iterdir() if path.suffix in (".json", ".jinja", ".safetensors"))
    return [(path.name, path.stat().st_size, int(path.stat().st_mtime)) for path in files]


def _to_bytes(sample: Encoded) -> bytes:
    tensors = {"ids": sample.ids, "labels": sample.labels}
    tensors |= {f"per_token.{name}": value for name, value in sample.per_token.items()}
    tensors |= {f"extras.{name}": value.contiguous() for name, value in sample.extras.items()}
    return save(tensors, metadata={"problem": sample.problem})


def _from_bytes(body: bytes) -> Encoded:
    tensors = load(body)
    groups: dict[str, dict[str, Any]] = {"per_token": {}, "extras": {}}
    for name, value in tensors.items():
        group, _, rest = name.partition(".")
        if rest:
            groups[group][rest] = value
    length = int.from_bytes(body[:8], "little")
    problem = json.loads(body[8 : 8 + length])["__metadata__"]["problem"]
    return Encoded(problem, tensors["ids"], tensors["labels"], groups["per_token"], groups["extras"])
