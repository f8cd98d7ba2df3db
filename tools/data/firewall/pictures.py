"""Pictures that look the same: saved again, scaled, or with a strip cut off (methods, section 4).

Two stages. *Propose*: a 64-bit cosine hash of the whole picture and of 16 windows of it (one to four sides cut by a
twentieth, all four by a fortieth); a pair is proposed when the whole of one is near to any window of the other.
Drawn pictures propose each other by the dozen (maps, tables, grids). *Verify*: the closest few proposals are laid over
each other and must agree everywhere, not on the average (`errata.tools.data.firewall.overlay`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from errata.tools.data.firewall.overlay import UNITS, agree_closely, average_matrix, lay_over
from errata.tools.data.firewall.thumbnails import (
    GRID,
    LARGE,
    Hashes,
    Pixels,
    Views,
    read_thumbnail,
    read_views,
    stack_views,
)

if TYPE_CHECKING:
    from errata.tools.data.firewall.changed import ChangedCopies

STRIP = UNITS // 20
SPANS = (*((low, UNITS - high) for low in (0, STRIP) for high in (0, STRIP)), (STRIP // 2, UNITS - STRIP // 2))
"""What may be kept of one axis."""
PAIRS = (*((down, across) for down in range(4) for across in range(4)), (4, 4))
"""Spans of each window, vertical first."""
WINDOWS = len(PAIRS)
SMALL = 24
VERIFIED = 6
"""How many of the proposals of one picture are laid over it, the closest first."""
FAR = 5000.0
"""Mean square difference (grey levels squared, window not yet fitted) beyond which no copy was seen."""


class Look(NamedTuple):
    """Row of the block looks like row of the known; `score` is their correlation, 1 for equal."""

    row: int
    known: int
    score: float


@lru_cache(maxsize=1)
def _wave_matrix() -> NDArray[np.float32]:
    """float32[5, 8, 128]: the cosine terms 1 to 8 of each span of an axis."""
    waves = np.cos(np.pi / 64 * (np.arange(64) + 0.5) * np.arange(1, 9)[:, None])
    return np.stack([waves @ average_matrix(low, high, 64, GRID) for low, high in SPANS]).astype(np.float32)


def hash_thumbnails(pixels: Pixels) -> Hashes:
    """uint64[n, 17]: the hash of each window, the whole picture first.

    pHash: 64 bits, the signs of the 8 x 8 lowest cosine terms (constant ones left out) against their median.
    All zero for a picture of one grey, which is never compared.
    """
    if not len(pixels):
        return np.zeros((0, WINDOWS), np.uint64)
    red, green, blue = np.moveaxis(pixels, 3, 0)
    grey = np.float32(0.299) * red + np.float32(0.587) * green + np.float32(0.114) * blue
    waves = _wave_matrix()
    rows = np.einsum("vij,njk->nvik", waves, grey, optimize=True)
    terms = np.stack([rows[:, down] @ waves[across].T for down, across in PAIRS], axis=1)
    terms = np.round(terms.reshape(len(pixels), WINDOWS, 64), 2)
    bits = terms > np.median(terms, axis=2, keepdims=True)
    hashes = np.packbits(bits, axis=2).view(np.uint64)[..., 0]
    flat = grey.reshape(len(grey), -1)
    hashes[flat.max(axis=1) - flat.min(axis=1) < 1] = 0
    return np.asarray(hashes, dtype=np.uint64)


def perceptual_hash(path: str) -> Hashes:
    """uint64[17]: `hash_thumbnails` of one file."""
    windows: Hashes = hash_thumbnails(read_thumbnail(path)[None])[0]
    return windows


class KnownPictures:
    """The pictures of validation and test, ready to be looked for in blocks of the pool's.

    Memory: about 76 KB a known picture. `distance`: bits of 64 by which a proposal may differ.
    """

    def __init__(self, paths: Sequence[str], *, distance: int, workers: int = 2, changed: bool = True) -> None:
        """`changed`: look also for copies that are framed, mirrored, turned, in other light, or cropped by more."""
        self._paths = list(paths)
        self._distance, self._workers = distance, workers
        views = self._read(paths)
        self._pixels = stack_views(views)
        self._hashes = hash_thumbnails(self._pixels)
        self._small = _shrink(self._pixels)
        self._changed: ChangedCopies | None = None
        if changed and paths:
            from errata.tools.data.firewall.changed import ChangedCopies

            with threadpool_limits(1, "blas"):
                self._changed = ChangedCopies(paths, views, distance=distance)

    def _read(self, paths: Sequence[str]) -> list[Views]:
        with ThreadPoolExecutor(self._workers) as threads:
            return list(threads.map(read_views, paths))

    def find(self, paths: Sequence[str]) -> Iterator[Look]:
        """At most one look per path, in order: the first of the closest that holds when laid over."""
        with threadpool_limits(1, "blas"):  # threads of its own under ours are slower by ten times on two cores
            yield from self._find(paths)

    def _find(self, paths: Sequence[str]) -> Iterator[Look]:
        views = self._read(paths)
        pixels = stack_views(views)
        rows, known, windows, outer = self._propose(hash_thumbnails(pixels))
        starts = np.searchsorted(rows, np.arange(len(paths) + 1))

        def verify(row: int) -> tuple[int, float] | None:
            part = slice(starts[row], starts[row + 1])
            return self._verify(pixels[row], paths[row], known[part], windows[part], outer[part])

        def seek(row: int) -> tuple[int, float] | None:
            look = verify(row) if starts[row] < starts[row + 1] else None
            if look is None and self._changed is not None:
                look = self._changed.find(paths[row], views[row])
            return look

        asked = np.unique(rows).tolist() if self._changed is None else range(len(paths))
        with ThreadPoolExecutor(self._workers) as threads:
            for row, look in zip(asked, threads.map(seek, asked), strict=True):
                if look is not None:
                    yield Look(row, *look)

    def _propose(
        self, hashes: Hashes
    ) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp], NDArray[np.bool_]]:
        """Pairs (row, known) in order of row, their best window, and whether the known one is the outer picture."""
        found = []
        here, there = np.flatnonzero(hashes[:, 0]), np.flatnonzero(self._hashes[:, 0])
        for window in range(WINDOWS):
            for known_is_outer in (True, False)[: 1 if window == 0 else 2]:
                inner = hashes[here, 0 if known_is_outer else window]
                other = self._hashes[there, window if known_is_outer else 0]
                bits = np.bitwise_count(inner[:, None] ^ other)
                r, k = np.nonzero(bits <= self._distance)
                found.append((here[r], there[k], bits[r, k], np.full(len(r), window), np.full(len(r), known_is_outer)))
        rows, known, bits, windows, outer = (np.concatenate(parts) for parts in zip(*found, strict=True))
        order = np.lexsort((windows, bits, known, rows))
        rows, known, windows, outer = rows[order], known[order], windows[order], outer[order]
        first = np.ones(len(rows), bool)
        first[1:] = (rows[1:] != rows[:-1]) | (known[1:] != known[:-1])
        return rows[first], known[first], windows[first], outer[first]

    def _verify(
        self, pixels: Pixels, path: str, known: NDArray[np.intp], windows: NDArray[np.intp], outer: NDArray[np.bool_]
    ) -> tuple[int, float] | None:
        """Which known picture it is, and the score."""
        small = _shrink(pixels[None], windows=1 if outer.all() else WINDOWS)[0]
        ours = small[np.where(outer, 0, windows)].astype(np.int16)
        theirs = self._small[known, np.where(outer, windows, 0)]
        apart = np.square((ours - theirs).astype(np.float32)).mean(axis=1)
        for i in np.argsort(apart, kind="stable")[:VERIFIED]:
            if apart[i] > FAR:
                return None
            other = int(known[i])
            pair, files = (self._pixels[other], pixels), (self._paths[other], path)
            if not outer[i]:
                pair, files = pair[::-1], files[::-1]
            down, across = PAIRS[windows[i]]
            overlay = lay_over(*pair, start=(*SPANS[down], *SPANS[across]))
            if overlay.same and agree_closely(*(read_thumbnail(f, side=LARGE) for f in files), box=overlay.box):
                return other, round(overlay.correlation, 4)
        return None


def _shrink(pixels: Pixels, *, windows: int = WINDOWS) -> Pixels:
    """uint8[n, windows, 24 * 24 * 3]: the first windows of each thumbnail."""
    pairs = PAIRS[:windows]
    spans = np.stack([average_matrix(low, high, SMALL, GRID) for low, high in SPANS[: 1 + max(map(max, pairs))]])
    flat = spans.reshape(-1, GRID)
    out = np.empty((len(pixels), windows, SMALL * SMALL * 3), np.uint8)
    for picture, one in enumerate(pixels):
        rows = (flat @ one.reshape(GRID, -1).astype(np.float32)).reshape(len(flat), GRID, 3)
        cells = np.rint(flat @ rows).astype(np.uint8).reshape(len(spans), SMALL, len(spans), SMALL, 3)
        for window, (down, across) in enumerate(pairs):
            out[picture, window] = cells[down, :, across].reshape(-1)
    return out
