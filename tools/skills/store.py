"""Required skills of a supporting dataset on disk: integers over a table of distinct texts (methods, section 3).

A store is a folder of four files that are only ever appended to:

    texts.jsonl   one distinct wording a line, with the id of its canonical wording; the line number is the id
    ids.bin       uint32, the ids of all samples one after the other
    rows.bin      uint64 pairs: the key of a sample, and where its ids end
    commits.bin   one record a batch: how long the others are, and a checksum of what the batch added

A batch counts once its commit is on disk. What a kill or a loss of power left behind it is cut off when the store
is opened for writing next; one process may write at a time, any number may read.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, NamedTuple

from errata.tools.errors import OperatorError
from errata.tools.skills.names import SkillNames

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TEXTS, IDS, ROWS, COMMITS, LOCK = "texts.jsonl", "ids.bin", "rows.bin", "commits.bin", "lock"
_COMMIT = struct.Struct("<QQQII")
"""Bytes of texts, ids and rows; checksum of the batch; checksum of this record so far."""


class _Sizes(NamedTuple):
    texts: int = 0
    ids: int = 0
    rows: int = 0


class SkillRows(NamedTuple):
    """Skills of n samples: those of sample i are `ids[offsets[i] : offsets[i + 1]]`."""

    offsets: NDArray[np.int64]
    """int64[n + 1]"""
    ids: NDArray[np.uint32]


class SkillStore:
    """An open store. Use as a context manager; `writable` takes the lock and cuts off what was not committed.

    Raises OperatorError when another process writes, for a store of an older Errata, and for a damaged one.
    """

    def __init__(self, folder: Path, *, writable: bool = False) -> None:
        self.folder = folder
        _refuse_file(folder, where=str(folder))
        self._lock: IO[bytes] | None = None
        if writable:
            try:
                folder.mkdir(parents=True, exist_ok=True)
                self._lock = _take_lock(folder / LOCK)
            except OSError as error:
                what = f"the store of required skills cannot be written ({error.strerror})"
                raise OperatorError(what, where=str(folder), remedy="choose a writable folder") from error
        self._sizes = self._recover()
        self.texts: list[str] = []
        """Distinct wordings; the place is the id."""
        self.canonical: list[int] = []
        """Of each wording, the id of its canonical one; a canonical wording names itself."""
        self._ids: dict[str, int] = {}
        self._names = SkillNames()
        self._read_texts()
        self._order: tuple[NDArray[np.uint64], NDArray[np.int64]] | None = None
        if writable and not self._sizes.rows:
            self._take_over()

    def __enter__(self) -> SkillStore:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def __len__(self) -> int:
        return self._sizes.rows // 16

    def close(self) -> None:
        """Give the lock back."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def add(self, keys: Sequence[int], skills: Sequence[Sequence[str]]) -> None:
        """Append one batch; it is on disk, whole, when this returns."""
        if self._lock is None:
            raise ValueError("the store was opened for reading")
        if not keys:
            return
        import numpy as np

        first = len(self.texts)
        ids = np.array([self._id_of(text) for row in skills for text in row], dtype="<u4")
        ends = np.cumsum([len(row) for row in skills], dtype=np.uint64) + np.uint64(self._sizes.ids // 4)
        rows = np.stack([np.array(keys, dtype="<u8"), ends.astype("<u8")], axis=1)
        lines = [
            json.dumps({"text": text, "canonical": name}, ensure_ascii=False) + "\n"
            for text, name in zip(self.texts[first:], self.canonical[first:], strict=True)
        ]
        parts = {TEXTS: "".join(lines).encode("utf-8", "surrogatepass"), IDS: ids.tobytes(), ROWS: rows.tobytes()}
        for (name, data), size in zip(parts.items(), self._sizes, strict=True):
            _write_at(self.folder / name, data, size)
        before = self._sizes
        self._sizes = _Sizes(*(size + len(data) for size, data in zip(before, parts.values(), strict=True)))
        checksum = zlib.crc32(b"".join(parts.values()))
        head = _COMMIT.pack(*self._sizes, checksum, 0)[:-4]
        commits = self.folder / COMMITS
        size = commits.stat().st_size if commits.exists() else 0
        _write_at(commits, head + struct.pack("<I", zlib.crc32(head)), size - size % _COMMIT.size)
        self._order = None

    def find(self, keys: Sequence[int]) -> NDArray[np.int64]:
        """int64[n]: the row of each key, -1 for one that is not here."""
        import numpy as np

        if self._order is None:
            stored = np.ascontiguousarray(self._rows()[:, 0])
            order = np.argsort(stored, kind="stable")
            self._order = stored[order], order
        known, order = self._order
        asked = np.array(keys, dtype=np.uint64)
        if not len(known):
            return np.full(len(asked), -1)
        place = np.minimum(np.searchsorted(known, asked), len(known) - 1)
        return np.where(known[place] == asked, order[place], -1)

    def read(self, rows: NDArray[np.int64]) -> SkillRows:
        """The skills of rows, in the order asked, as ids."""
        import numpy as np

        ends = self._rows()[:, 1].astype(np.int64)
        starts = np.where(rows > 0, ends[rows - 1], 0)
        lengths = ends[rows] - starts
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        places = np.repeat(starts - offsets[:-1], lengths) + np.arange(offsets[-1])
        return SkillRows(offsets, self._map(IDS, "<u4", self._sizes.ids // 4)[places])

    def everything(self) -> tuple[list[int], list[list[str]]]:
        """Keys and skills of all rows, in order."""
        import numpy as np

        rows = self.read(np.arange(len(self)))
        ids, ends = rows.ids.tolist(), rows.offsets.tolist()
        skills = [[self.texts[i] for i in ids[a:b]] for a, b in pairwise(ends)]
        return self._rows()[:, 0].tolist(), skills

    def _id_of(self, text: str) -> int:
        known = self._ids.get(text)
        if known is None:
            known = self._ids[text] = len(self.texts)
            self.texts.append(text)
            self.canonical.append(self._ids[self._names.join(text)])
        return known

    def _rows(self) -> NDArray[np.uint64]:
        return self._map(ROWS, "<u8", self._sizes.rows // 8).reshape(-1, 2)

    def _map(self, name: str, kind: str, count: int) -> NDArray[np.uint64]:
        import numpy as np

        if not count:
            return np.zeros(0, dtype=kind)
        return np.memmap(self.folder / name, dtype=kind, mode="r", shape=(count,))

    def _recover(self) -> _Sizes:
        """The last commit that holds; in a store for writing, what lies behind it is cut off."""
        commits = self.folder / COMMITS
        data = commits.read_bytes() if commits.exists() else b""
        whole = [data[i : i + _COMMIT.size] for i in range(0, len(data) - _COMMIT.size + 1, _COMMIT.size)]
        kept, sizes = len(whole), _Sizes()
        while kept and not self._holds(whole[kept - 1], _sizes_of(whole[kept - 2]) if kept > 1 else _Sizes()):
            kept -= 1
        if whole and not kept:
            remedy = "delete the folder; its samples are tagged again"
            raise OperatorError("the store of required skills is damaged", where=str(self.folder), remedy=remedy)
        if kept:
            sizes = _sizes_of(whole[kept - 1])
        if self._lock is not None:
            for name, size in ((COMMITS, kept * _COMMIT.size), *zip((TEXTS, IDS, ROWS), sizes, strict=True)):
                file = self.folder / name
                if file.exists() and file.stat().st_size > size:
                    os.truncate(file, size)
        return sizes

    def _holds(self, record: bytes, before: _Sizes) -> bool:
        fields: tuple[int, ...] = _COMMIT.unpack(record)
        if zlib.crc32(record[:-4]) != fields[4]:
            return False
        found = 0
        for name, start, end in zip((TEXTS, IDS, ROWS), before, _sizes_of(record), strict=True):
            file = self.folder / name
            if end and (not file.exists() or file.stat().st_size < end):
                return False
            part = _read_part(file, start, end)
            found = zlib.crc32(part, found)
        return found == fields[3]

    def _read_texts(self) -> None:
        data = _read_part(self.folder / TEXTS, 0, self._sizes.texts)
        for number, line in enumerate(data.decode("utf-8", "surrogatepass").split("\n")[:-1]):
            try:
                row = json.loads(line)
                text, canonical = str(row["text"]), int(row["canonical"])
            except (ValueError, KeyError, TypeError) as error:
                remedy = "delete the folder; its samples are tagged again"
                where = f"{self.folder / TEXTS}:{number + 1}"
                raise OperatorError("broken line of skill texts", where=where, remedy=remedy) from error
            self._ids[text] = number
            self.texts.append(text)
            self.canonical.append(canonical)
            if canonical == number:
                self._names.lead(text)
            else:
                self._names.follow(text, self.texts[canonical])

    def _take_over(self) -> None:
        """Read the JSONL store of an older Errata that lies beside the folder, once and whole."""
        old = self.folder.with_name(self.folder.name + ".jsonl")
        if old.is_file():
            rows = list(_read_old(old))
            self.add([key for key, _ in rows], [skills for _, skills in rows])


def key_number(key: str) -> int:
    """The first 16 hex digits of a digest as an unsigned 64-bit number."""
    return int(key[:16], 16)


def refuse_no_store(folder: Path, *, where: str) -> None:
    """Raise OperatorError for a place that a store cannot be written to; makes nothing."""
    _refuse_file(folder, where=where)
    above = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        what, remedy = "the store of required skills cannot be written", "choose a writable folder"
        raise OperatorError(what, where=where, value=str(folder), remedy=remedy)


def _refuse_file(folder: Path, *, where: str) -> None:
    if folder.is_file():
        remedy = f"give the folder {folder.with_suffix('')}: the file beside it is taken over"
        raise OperatorError("a store of required skills is a folder, this is a file", where=where, remedy=remedy)


def _take_lock(path: Path) -> IO[bytes]:
    import fcntl

    file = path.open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        remedy = "wait for it, or give this one another folder"
        raise OperatorError("another process is tagging into this store", where=str(path), remedy=remedy) from None
    return file


def _sizes_of(record: bytes) -> _Sizes:
    return _Sizes(*_COMMIT.unpack(record)[:3])


def _read_part(file: Path, start: int, end: int) -> bytes:
    if not file.exists():
        return b""
    with file.open("rb") as opened:
        opened.seek(start)
        return opened.read(end - start)


def _write_at(file: Path, data: bytes, size: int) -> None:
    with file.open("r+b" if file.exists() else "w+b") as opened:
        opened.seek(size)
        opened.write(data)
        opened.flush()
        os.fsync(opened.fileno())


def _read_old(file: Path) -> Iterator[tuple[int, Sequence[str]]]:
    """Rows of the JSONL store; an unfinished last line is left out, a broken one before it raises OperatorError."""
    whole = file.read_bytes()
    lines: Iterable[bytes] = whole[: whole.rfind(b"\n") + 1].split(b"\n")
    for number, line in enumerate(lines, start=1):
        if line:
            try:
                row = json.loads(line)
                yield key_number(row["key"]), [str(skill) for skill in row["skills"]]
            except (ValueError, KeyError, TypeError) as error:
                remedy = "delete the line; its samples are tagged again"
                raise OperatorError("broken line of stored skills", where=f"{file}:{number}", remedy=remedy) from error
