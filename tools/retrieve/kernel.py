"""The search of scoring.Searcher in C, for many queries at once: the very same rows and scores.

kernel.c is compiled with the C compiler of the machine when it is first needed, in about a second, and kept in the
user's cache under a digest of its text. Where there is no compiler, or the cache cannot be written, the search in numpy
does the work: slower, with the same results.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import platform
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from errata.tools.retrieve.scoring import Best, Searcher, Term
from errata.tools.retrieve.segment import Ints, Postings

SOURCE = Path(__file__).with_suffix(".c")
COMMAND = ("cc", "-std=c99", "-O3", "-ffp-contract=off", "-fPIC", "-shared")
"""Without contraction: a fused multiply and add rounds once where numpy rounds twice."""
_POINTER = ctypes.c_void_p


class _Postings(ctypes.Structure):
    _fields_ = [(name, _POINTER) for name in Postings._fields]


class _Segment(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_int64) for name in ("samples", "longest", "k")),
        *((name, _POINTER) for name in ("ends", "ranks")),
        *((name, _Postings) for name in ("light", "heavy")),
        *((name, _POINTER) for name in ("times", "most", "norms", "allowed")),
    ]


def user_cache() -> Path:
    """The user's cache folder of Errata. Raises RuntimeError where the user has no home."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base and os.path.isabs(base) else Path.home() / ".cache") / "errata"


@cache
def load_kernel(folder: Path | None = None) -> ctypes.CDLL | None:
    """The compiled search, from `folder` (the user's cache when None); None where it cannot be had."""
    source = SOURCE.read_bytes()
    result = b" ".join([*map(str.encode, COMMAND), platform.machine().encode(), source])
    with contextlib.suppress(OSError, RuntimeError, subprocess.SubprocessError):
        place = (folder or user_cache()) / f"kernel-{hashlib.sha256(result).hexdigest()[:16]}.so"
        if not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            part = place.with_suffix(f".{os.getpid()}.part")
            subprocess.run([*COMMAND, "-o", part, SOURCE, "-lm"], check=True, capture_output=True, timeout=60)
            os.replace(part, place)
        return ctypes.CDLL(str(place))
    return None


class Batch:
    """Answers many queries from one segment; safe to use from several threads."""

    def __init__(self, searcher: Searcher, kernel: ctypes.CDLL) -> None:
        segment = searcher.segment
        self._kernel, self._words = kernel, segment.words
        self._size, self._longest = len(segment), segment.longest
        self._arrays = {
            "ends": _hold(searcher.ends, np.int64),
            "ranks": _hold(segment.ranks, np.int32),
            "times": _hold(segment.heavy_times, np.int32),
            "most": _hold(segment.most, np.float64),
            "norms": _hold(searcher.norms, np.float64),
        }
        self._lists = {name: _hold_postings(one) for name, one in (("light", segment.light), ("heavy", segment.heavy))}

    def find_best(
        self,
        queries: Sequence[Sequence[Term]],
        k: int,
        *,
        floors: Sequence[float],
        allowed: NDArray[np.bool_] | None = None,
    ) -> list[Best]:
        """For each query what Searcher.find_best gives for it; `k` is above 0."""
        k = min(k, self._size)
        known = [[(t.weight, self._words[t.word]) for t in terms if t.word in self._words] for terms in queries]
        given = (
            np.cumsum([0, *map(len, known)], dtype=np.int64),
            np.array([row for terms in known for _, row in terms], dtype=np.int64),
            np.array([weight for terms in known for weight, _ in terms], dtype=np.float64),
            np.array(floors, dtype=np.float64),
        )
        rows, scores = np.zeros((len(known), k), dtype=np.int32), np.zeros((len(known), k))
        sizes = np.zeros(len(known), dtype=np.int64)
        fits = None if allowed is None else _hold(allowed, np.bool_)
        segment = self._describe(k, fits)
        pointers = [ctypes.c_void_p(values.ctypes.data) for values in (*given, rows, scores, sizes)]
        if self._size and self._kernel.search(ctypes.byref(segment), ctypes.c_int64(len(known)), *pointers):
            raise MemoryError
        return [
            Best(rows[i, :n], scores[i, :n], max(floor, float(scores[i, n - 1])) if 0 < n == k else floor)
            for i, (n, floor) in enumerate(zip(sizes.tolist(), floors, strict=True))
        ]

    def _describe(self, k: int, allowed: NDArray[Any] | None) -> _Segment:
        arrays = {name: values.ctypes.data for name, values in self._arrays.items()}
        lists = {name: _Postings(*(one.ctypes.data for one in held)) for name, held in self._lists.items()}
        fits = None if allowed is None else allowed.ctypes.data
        return _Segment(samples=self._size, longest=self._longest, k=k, allowed=fits, **arrays, **lists)


def _hold(values: NDArray[Any], dtype: DTypeLike) -> NDArray[Any]:
    """In the one type that the kernel knows; not copied where it is of that type."""
    return np.ascontiguousarray(values, dtype=dtype)


def _hold_postings(postings: Postings) -> tuple[Ints, ...]:
    types = (np.int64, np.int64, np.int64, np.uint16, np.int32)
    return tuple(_hold(values, dtype) for values, dtype in zip(postings, types, strict=True))
