"""The lexical index on disk: a folder that is built whole or not at all, grows by segments, and knows its sources.

    manifest.json      format, fields, sources (path, size, sha256, counts) and the segments in order
    segments/NAME/     one .npy file per array, mapped when the index is opened; NAME is a digest of their content

The manifest is replaced in one step after everything that it names is on disk: a kill leaves the index of before,
or none. What no manifest names is cleared away by the next build. An addition writes a segment of its own; segments
no larger than what follows them are merged with it, so that n additions cost n log n and there are few segments.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from errata.tools.errors import OperatorError
from errata.tools.records import Record
from errata.tools.retrieve.index_source import Source, check_source
from errata.tools.retrieve.lexical import SkillIndex
from errata.tools.retrieve.segment import Postings, Runs, Sample, Segment, Texts, make_segment

FORMAT: Literal[1] = 1
MANIFEST = "manifest.json"
ARRAYS = ("by_id", "ranks", "times", "heavy_times", "lengths", "most")


class Part(Record):
    """A segment by the name of its folder."""

    name: str
    samples: int
    skills: int
    words: int


class Manifest(Record):
    """What an index is made of."""

    format: Literal[1]
    fields: tuple[str, ...]
    id_field: str = ""
    skills_field: str = ""
    sources: tuple[Source, ...]
    parts: tuple[Part, ...]


def read_manifest(folder: Path) -> Manifest | None:
    """What is in the folder; None where there is no index. Raises OperatorError for a foreign manifest."""
    path = folder / MANIFEST
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (ValidationError, OSError) as error:
        raise OperatorError(
            "the manifest cannot be read", where=str(path), remedy="build the index anew in another folder"
        ) from error


def build_index(
    folder: Path,
    samples: Iterable[Sample],
    *,
    source: Callable[[], Source],
    fields: Sequence[str] = (),
    names: tuple[str, str] = ("", ""),
) -> Manifest:
    """Write an index of `samples` in place of what is there.

    `source` is asked when the samples are read; `names` are the fields that ids and skills were read from. Raises
    OperatorError for an id that comes twice, a folder that cannot be written or is being written.
    """
    with _writing(folder):
        segment = make_segment(samples, fields=fields)
        made = Manifest(
            format=FORMAT,
            fields=tuple(fields),
            id_field=names[0],
            skills_field=names[1],
            sources=(source(),),
            parts=(_write_segment(folder, segment),),
        )
        _commit(folder, made)
    return made


def add_samples(folder: Path, samples: Iterable[Sample], *, source: Callable[[], Source]) -> Manifest:
    """Add samples to an index; those that are there stay as they are.

    Raises OperatorError when there is no index, for an id that is there already, or comes twice.
    """
    with _writing(folder):
        manifest = require_manifest(folder)
        _check_sources(folder, manifest)
        added = make_segment(samples, fields=manifest.fields)
        segments = [_read_segment(folder, part, manifest.fields) for part in manifest.parts]
        _refuse_known(added, segments)
        parts = list(manifest.parts)
        while parts and len(segments[-1]) <= len(added):
            parts.pop()
            added = make_segment(chain(segments.pop().samples(), added.samples()), fields=manifest.fields)
        parts.append(_write_segment(folder, added))
        made = manifest.model_copy(update={"parts": tuple(parts), "sources": (*manifest.sources, source())})
        _commit(folder, made)
    return made


def open_index(folder: Path, *, expected: str | None = None) -> SkillIndex:
    """Map an index; raises OperatorError when there is none, a file of it is missing, or its source changed.

    `expected`: the hash that samples which were handed over must have had.
    """
    manifest = require_manifest(folder)
    _check_sources(folder, manifest)
    if expected is not None and expected not in {source.sha256 for source in manifest.sources}:
        raise OperatorError("the index is of other samples", where=str(folder), remedy="build it anew")
    return SkillIndex([_read_segment(folder, part, manifest.fields) for part in manifest.parts])


def require_manifest(folder: Path) -> Manifest:
    """The manifest; raises OperatorError where there is none."""
    manifest = read_manifest(folder)
    if manifest is None:
        raise OperatorError("there is no index here", where=str(folder), remedy="build it: errata index build")
    return manifest


def disk_bytes(folder: Path) -> int:
    """Bytes of all files of the index."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _check_sources(folder: Path, manifest: Manifest) -> None:
    for source in manifest.sources:
        check_source(source, folder=folder)


def _refuse_known(added: Segment, segments: Sequence[Segment]) -> None:
    for name in added.ids.all():
        if any(segment.find(name) is not None for segment in segments):
            remedy = "leave it out: an addition changes nothing that is there; or build the index anew"
            raise OperatorError("the sample is in the index already", where="id", value=name, remedy=remedy)


@contextlib.contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """One writer at a time; the lock goes with the process. What fails in a new folder leaves none."""
    fresh = not folder.exists()
    try:
        (folder / "segments").mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("w")
    except OSError as error:
        what = f"the index cannot be written ({error.strerror})"
        raise OperatorError(what, where=str(folder), remedy="choose a writable folder") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            remedy = "wait until the other process is done"
            raise OperatorError("the index is being written", where=str(folder), remedy=remedy) from error
        try:
            yield
        except OperatorError:
            if fresh:
                shutil.rmtree(folder, ignore_errors=True)
            raise


def _commit(folder: Path, manifest: Manifest) -> None:
    """Put the manifest in place, then clear away what it does not name."""
    part = folder / f"{MANIFEST}.part"
    with part.open("wb") as file:
        file.write(manifest.model_dump_json(indent=1).encode("utf-8") + b"\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, folder / MANIFEST)
    named = {one.name for one in manifest.parts}
    for entry in sorted((folder / "segments").iterdir()):
        if entry.name not in named:
            shutil.rmtree(entry, ignore_errors=True)


def _write_segment(folder: Path, segment: Segment) -> Part:
    """Write and sync every array in a folder that gets its name when it is whole."""
    arrays, about = _flatten(segment)
    hashed = hashlib.sha256(json.dumps(about, sort_keys=True).encode("utf-8"))
    for name, values in sorted(arrays.items()):
        hashed.update(f"{name} {values.dtype.str} {values.shape}".encode())
        hashed.update(np.ascontiguousarray(values).data)
    name = hashed.hexdigest()[:24]
    place, whole = folder / "segments" / f"{name}.part", folder / "segments" / name
    shutil.rmtree(place, ignore_errors=True)
    if not whole.is_dir():
        place.mkdir()
        for file_name, values in arrays.items():
            with (place / f"{file_name}.npy").open("wb") as file:
                np.save(file, values)
                file.flush()
                os.fsync(file.fileno())
        (place / "about.json").write_text(json.dumps(about, ensure_ascii=False), encoding="utf-8")
        os.replace(place, whole)
    return Part(name=name, samples=len(segment), skills=len(segment.skills), words=len(segment.words))


def _flatten(segment: Segment) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Every array under a name of its own, and what is no array."""
    arrays: dict[str, NDArray[Any]] = {}
    for name in ("ids", "skills", "skills_of", "holders", "light", "heavy"):
        arrays |= {f"{name}.{field}": values for field, values in getattr(segment, name)._asdict().items()}
    arrays |= {name: getattr(segment, name) for name in ARRAYS}
    arrays["words"] = np.frombuffer("\n".join(segment.words).encode("utf-8"), dtype=np.uint8)
    arrays |= {f"field.{number}": codes for number, (_, codes) in enumerate(segment.fields.values())}
    values = [list(distinct) for distinct, _ in segment.fields.values()]
    return arrays, {"total": segment.total, "longest": segment.longest, "values": values}


def _read_segment(folder: Path, part: Part, fields: Sequence[str]) -> Segment:
    place = folder / "segments" / part.name

    def load(name: str) -> NDArray[Any]:
        path = place / f"{name}.npy"
        loaded: NDArray[Any] = np.load(path, mmap_mode="r" if path.stat().st_size > 4096 else None)
        return loaded.view(np.ndarray)

    try:
        about: Mapping[str, Any] = json.loads((place / "about.json").read_text(encoding="utf-8"))
        words = load("words").tobytes().decode("utf-8")
        return Segment(
            ids=Texts(*(load(f"ids.{field}") for field in Texts._fields)),
            skills=Texts(*(load(f"skills.{field}") for field in Texts._fields)),
            words={word: row for row, word in enumerate(words.split("\n"))} if words else {},
            skills_of=Runs(*(load(f"skills_of.{field}") for field in Runs._fields)),
            holders=Runs(*(load(f"holders.{field}") for field in Runs._fields)),
            **{name: load(name) for name in ARRAYS},
            light=Postings(*(load(f"light.{field}") for field in Postings._fields)),
            heavy=Postings(*(load(f"heavy.{field}") for field in Postings._fields)),
            fields={name: (about["values"][n], load(f"field.{n}")) for n, name in enumerate(fields)},
            total=about["total"],
            longest=about["longest"],
        )
    except (OSError, ValueError, KeyError) as error:
        raise OperatorError(
            f"a segment of the index cannot be read ({error})", where=str(place), remedy="build the index anew"
        ) from error
