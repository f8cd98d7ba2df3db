"""Lay one thumbnail over a window of another, and say whether they are one picture.

A copy that was saved again or scaled differs a little everywhere; a sibling (the same map with another state marked,
the same table with another name) differs much in one place and nowhere else. So the largest local difference is
held against the mean one, and then, closer, every difference against the contrast around it. The limits were set by
hand on some of ScienceQA's and PuzzleVQA's pictures; benchmarks/firewall.py measures on others too.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

UNITS = 800
"""Windows are given in 1/800 of a side."""
REACH = 70
"""A side is cut by at most 70/800."""
COARSE, FINE = 32, 48
STEPS = 8
MEAN, LARGEST, RATIO, CORRELATION = 8.0, 72.0, 16.0, 0.8
"""Limits: mean difference and largest local difference in grey levels, their ratio (one level added to the mean),
and correlation."""
EVEN_RATIO, EVEN_CORRELATION = 6.0, 0.9
"""Limits for a difference that is about as large everywhere: coarse saving, and light that cannot be matched wholly."""
CLOSE, CONTRAST, SHARE, NOISE = 96, 48.0, 0.52, 8.0
"""For the closer look: cells; grey levels added to the contrast around a cell, of which its difference is a share; the
largest share; how much more for every unit of the mean share. Scaling and saving change what lies on edges, and more
the coarser they are; a number that is another changes its cells wholly.
"""

Box = tuple[int, int, int, int]
WHOLE: Box = (0, UNITS, 0, UNITS)


class Overlay(NamedTuple):
    """What two pictures differ by once one lies over the best window of the other."""

    same: bool
    mean: float
    largest: float
    correlation: float
    box: Box


@lru_cache(maxsize=4096)
def average_matrix(low: int, high: int, cells: int, grid: int) -> NDArray[np.float32]:
    """float32[cells, grid]: the mean over each of `cells` equal parts of [low, high) / 800 of an axis."""
    edges = np.linspace(low * grid / UNITS, high * grid / UNITS, cells + 1)
    left = np.arange(grid)
    share = np.minimum(edges[1:, None], left + 1) - np.maximum(edges[:-1, None], left)
    share = np.clip(share, 0, None)
    return np.asarray(share / share.sum(axis=1, keepdims=True), dtype=np.float32)


def lay_over(
    outer: NDArray[np.uint8], inner: NDArray[np.uint8], *, start: Box, reach: int = REACH, even: float = MEAN
) -> Overlay:
    """Fit the window of `outer` that `inner` shows, from `start` (top, bottom, left, right in 1/800); both are
    uint8[n, n, 3]. `reach`: by how much a side may be cut; `even`: the mean
    difference that is borne where it is about as large everywhere.
    """
    box = _fit(_grey(outer), _grey(inner), box=start, reach=reach)
    ours, theirs = _cells(outer, box, cells=FINE), _cells(inner, WHOLE, cells=FINE)
    local = _local_gap(ours - theirs)
    local = np.maximum(np.maximum(local[..., 0], local[..., 1]), local[..., 2])
    mean, largest = float(local.mean()), float(local.max())
    one, other = ours - ours.mean(), theirs - theirs.mean()
    scale = float(np.sqrt(np.square(one).sum() * np.square(other).sum()))
    correlation = float((one * other).sum()) / scale if scale > 0 else 0.0
    evenly = mean <= even and largest <= EVEN_RATIO * (mean + 1) and correlation >= EVEN_CORRELATION
    borne = mean <= MEAN or evenly
    same = borne and largest <= LARGEST and largest <= RATIO * (mean + 1) and correlation >= CORRELATION
    return Overlay(same, mean, largest, correlation, box)


def agree_closely(outer: NDArray[np.uint8], inner: NDArray[np.uint8], *, box: Box, noise: float = NOISE) -> bool:
    """The second look at pictures that `lay_over` took for one, from larger thumbnails: uint8[n, n, 3] each."""
    ours, theirs = _cells(outer, box, cells=CLOSE), _cells(inner, WHOLE, cells=CLOSE)
    edged = np.pad(theirs, ((1, 1), (1, 1), (0, 0)), mode="edge")
    around = [edged[i : i + CLOSE, j : j + CLOSE] for i in range(3) for j in range(3)]
    contrast = np.max(around, axis=0) - np.min(around, axis=0)
    shares = _local_gap(ours - theirs) / (CONTRAST + contrast[:-1, :-1])
    return bool(shares.max() <= SHARE + noise * shares.mean())


def _local_gap(gap: NDArray[np.float32]) -> NDArray[np.float32]:
    """Means over 2 x 2 cells, without sign."""
    return np.asarray(np.abs(gap[:-1, :-1] + gap[1:, :-1] + gap[:-1, 1:] + gap[1:, 1:]) / 4, dtype=np.float32)


def _cells(pixels: NDArray[np.uint8], box: Box, *, cells: int) -> NDArray[np.float32]:
    """float32[cells, cells, 3]: the means of the cells of a window."""
    grid = len(pixels)
    down, across = average_matrix(box[0], box[1], cells, grid), average_matrix(box[2], box[3], cells, grid)
    rows = (down @ pixels.reshape(grid, -1).astype(np.float32)).reshape(cells, grid, 3)
    return np.asarray(across @ rows, dtype=np.float32)


def _grey(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.asarray(pixels.astype(np.float32) @ np.full(3, 1 / 3, np.float32), dtype=np.float32)


def _fit(outer: NDArray[np.float32], inner: NDArray[np.float32], *, box: Box, reach: int) -> Box:
    """Gauss-Newton on the four sides, in 32 x 32 cells; the best of the boxes it came by."""
    grid = len(outer)
    whole = average_matrix(0, UNITS, COARSE, grid)
    shown = whole @ inner @ whole.T
    along = ((np.arange(COARSE) + 0.5) / COARSE).astype(np.float32)
    best, least = box, float("inf")
    seen: set[Box] = set()
    while box not in seen and len(seen) < STEPS:
        seen.add(box)
        down, across = average_matrix(box[0], box[1], COARSE, grid), average_matrix(box[2], box[3], COARSE, grid)
        laid = down @ outer @ across.T
        gap = shown - laid
        cost = float(np.abs(gap).mean())
        if cost < least:
            best, least = box, cost
        by_row, by_column = np.gradient(laid)
        by_row *= COARSE / (box[1] - box[0])
        by_column *= COARSE / (box[3] - box[2])
        ramps = (by_row * (1 - along[:, None]), by_row * along[:, None], by_column * (1 - along), by_column * along)
        slopes = np.stack([ramp.ravel() for ramp in ramps])
        square = slopes @ slopes.T + np.eye(4, dtype=np.float32) * 1e-3
        move = np.linalg.solve(square, slopes @ gap.ravel())
        top, bottom, left, right = (round(side + float(by)) for side, by in zip(box, move, strict=True))
        low, high = UNITS - reach, UNITS
        box = (_clamp(top, 0, reach), _clamp(bottom, low, high), _clamp(left, 0, reach), _clamp(right, low, high))
    return best


def _clamp(value: int, low: int, high: int) -> int:
    return max(low, min(high, value))
