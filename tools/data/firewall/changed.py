"""Pictures that data pipelines changed: framed or letterboxed, mirrored or turned, lighter or in grey, cropped.

The second pass of `pictures`, for what its first did not find. Each picture is also seen without its even border, and
each known one in the eight positions that mirrors and quarter turns give. Hashes propose, as there; before one
picture is laid over the other, brightness and contrast are matched by one line for all channels, and colours are
given up where one of the two has none.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from errata.tools.data.firewall.overlay import MEAN, NOISE, UNITS, Box, agree_closely, average_matrix, lay_over
from errata.tools.data.firewall.thumbnails import LARGE, Hashes, Pixels, Views, hash_windows, read_image

N = TypeVar("N", bound=np.generic)
POSITIONS = 8
"""Mirrored or not, times four quarter turns."""
KEPT = 17 * UNITS // 20
"""What a crop of 15 % keeps of a side."""
STARTS = tuple(range(0, UNITS - KEPT + 1, UNITS // 20))
CROPS: tuple[Box, ...] = (
    *((down, down + KEPT, across, across + KEPT) for down in STARTS for across in STARTS),
    *((0, UNITS, low, high) for low, high in ((0, KEPT), (UNITS - KEPT, UNITS))),
    *((low, high, 0, UNITS) for low, high in ((0, KEPT), (UNITS - KEPT, UNITS))),
    (UNITS - KEPT, KEPT, UNITS - KEPT, KEPT),
    *(
        (a, UNITS - b, c, UNITS - d)
        for a in (0, 40)
        for b in (0, 40)
        for c in (0, 40)
        for d in (0, 40)
        if a + b + c + d
    ),
)
"""Windows of a picture that a copy may show, the whole first seen apart."""
WHOLE: Box = (0, UNITS, 0, UNITS)
BARE = 1 + len(CROPS)
UPRIGHT = 4
"""Bits more by which a whole picture may differ that is neither mirrored nor turned."""
CROPPED = 4
"""Bits more by which a crop may differ: windows are five hundredths apart."""
REACH = 150
"""A side of a crop is cut by at most 150/800."""
SMALL, CELLS = 16, 48
"""Cells by which pictures are compared in small, and by which their light is matched."""
LAID = 4
"""How many of the proposals of one picture are laid over it."""
LOOKED = 32
"""How many of them are looked at in small, the closest hashes first."""
ALIKE = 0.35
"""Correlation in small, window not yet fitted, from which on they are."""
NEAR, NEAR_CROP = 600.0, 3000.0
"""Mean square difference in small, light matched and window not yet fitted, beyond which no copy was seen."""
COLOURLESS, COLOURED = 1.0, 1.5
"""Mean spread of the channels of a picture without colours, and of one with some."""
MILD = 1.5
"""How much better the other way has to fit: more contrast can be put on exactly, since white stays white."""
SAME_LIGHT = 40.0
"""Mean square difference below which light needs no matching."""
BETTER = 0.5
"""What matching the light has to leave of a difference; two pictures that lie unevenly are not evened out by it."""
GAINS, FLAT = (0.3, 3.3), 2.0
"""Contrast by which one may differ from the other; contrast below which nothing can be matched."""


class View(NamedTuple):
    """A proposal: the known picture in a position, framed or not, and which window of which shows the other."""

    known: int
    position: int
    bare: bool
    """The known one without its border."""
    our_bare: bool
    """The other one without its border."""
    window: int
    """-1 for the whole, else a place in CROPS."""
    known_is_outer: bool

    @property
    def is_upright(self) -> bool:
        """Whether both are whole and lie as they are."""
        return not (self.position or self.bare or self.our_bare) and self.window < 0


class HashRow(NamedTuple):
    """Hashes of the known pictures in one view, and what of a picture they are held against."""

    hashes: Hashes
    """uint64[n]."""
    own: int
    """Which hash of the picture: 0 the whole, a window from 1 on, BARE without its border."""
    view: View
    more: int
    """Bits more than usual by which they may differ."""
    framed: bool
    """Only of known pictures that have a border."""


class Light(NamedTuple):
    """How one picture becomes as light as another: clip(gain * value + offset), and whether in grey."""

    gain: float
    offset: float
    grey: bool

    def shine(self, pixels: Pixels) -> Pixels:
        """The picture in that light."""
        values = pixels.astype(np.float32)
        if self.grey:
            values = np.repeat(values @ np.array([[0.299], [0.587], [0.114]], np.float32), 3, axis=-1)
        return np.asarray(np.clip(np.rint(self.gain * values + self.offset), 0, 255), dtype=np.uint8)


LUMA = np.array([0.299, 0.587, 0.114], np.float32)
PLAIN = Light(1.0, 0.0, grey=False)
BRIGHT = (Light(1.45, 0.0, grey=False), Light(1.5, -64.0, grey=False))
"""Lights in which much turns white or black: known pictures are also hashed in them."""
STRICT, UPRIGHT_LIMITS, LOOSE = (MEAN, NOISE), (14.0, 9.5), (20.0, 14.0)
"""Mean difference that is borne where it is as large everywhere, and the closer look's allowance for noise: of pictures
that lie otherwise, of such as were only saved coarsely, and of such whose light was matched."""


def place(pixels: NDArray[N], position: int) -> NDArray[N]:
    """A square picture mirrored (from 4 on) and turned by quarters."""
    turned = np.rot90(pixels, position % 4, axes=(-3, -2))
    return np.ascontiguousarray(turned[..., ::-1, :] if position >= 4 else turned)


class ChangedCopies:
    """The known pictures, ready for the second pass. Memory: about 130 KB a known picture."""

    def __init__(self, paths: Sequence[str], views: Sequence[Views], *, distance: int) -> None:
        """`distance`: bits of 64 by which a proposal may differ."""
        self._paths, self._distance = list(paths), distance
        whole = np.stack([view.whole for view in views])
        bare = np.stack([view.whole if view.bare is None else view.bare for view in views])
        self._framed = np.array([view.bare is not None for view in views])
        self._pixels = {False: whole, True: bare}
        self._grey = {
            name: np.stack([even_grey(some, WHOLE, at=position) for position in range(POSITIONS)])
            for name, some in self._pixels.items()
        }
        rows = list(self._hash_rows())
        self._views = [row.view for row in rows]
        self._hashes = np.stack([row.hashes for row in rows])
        self._asked = np.stack([(row.hashes != 0) & (self._framed | (not row.framed)) for row in rows])
        self._own = np.array([row.own for row in rows])
        self._limits = np.array([distance + row.more for row in rows])
        self._grey_crops = np.stack([even_grey(whole, box) for box in CROPS])

    def find(self, path: str, views: Views) -> tuple[int, float] | None:
        """Which known picture a picture is a changed copy of, and how much they correlate."""
        ours = {False: views.whole, True: views.whole if views.bare is None else views.bare}
        proposed = self._propose(views)
        alike = self._compare(proposed, ours)
        best = sorted((-score, order) for order, score in enumerate(alike) if score >= ALIKE)[:LAID]
        for view in (proposed[order] for _, order in best):
            light, on_outer, apart = match_light(*self._pair(view, ours))
            near = apart <= (NEAR if view.window < 0 else NEAR_CROP)
            score = self._verify(view, path, light=light, on_outer=on_outer) if near else None
            if score is not None:
                return view.known, score
        return None

    def _compare(self, proposed: Sequence[View], ours: dict[bool, Pixels]) -> list[float]:
        """Correlation of the greys of each proposal, in small and before its window is fitted."""
        own = {name: even_grey(one[None], WHOLE)[0] for name, one in ours.items()}
        scores = []
        for view in proposed:
            if view.window < 0:
                known, mine = self._grey[view.bare][view.position, view.known], own[view.our_bare]
            elif view.known_is_outer:
                known, mine = self._grey_crops[view.window, view.known], own[False]
            else:
                known, mine = self._grey[False][0, view.known], even_grey(ours[False][None], CROPS[view.window])[0]
            scores.append(float(known.astype(np.float32) @ mine.astype(np.float32)))
        return scores

    def _pair(self, view: View, ours: dict[bool, Pixels]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Outer and inner picture of a proposal, in the cells by which light is matched."""
        window = WHOLE if view.window < 0 else CROPS[view.window]
        of_known, of_ours = (window, WHOLE) if view.known_is_outer else (WHOLE, window)
        known = place(shrink(self._pixels[view.bare][view.known], of_known), view.position)
        own = shrink(ours[view.our_bare], of_ours)
        return (known, own) if view.known_is_outer else (own, known)

    def _hash_rows(self) -> Iterator[HashRow]:
        """Everything that a picture's hashes are held against."""
        upright = View(0, 0, bare=False, our_bare=False, window=-1, known_is_outer=True)
        for position in range(POSITIONS):
            more, seen = UPRIGHT if position == 0 else 0, upright._replace(position=position)
            for bare, pixels in self._pixels.items():
                hashes = hash_windows(place(pixels, position), [WHOLE])[:, 0]
                yield HashRow(hashes, 0, seen._replace(bare=bare), more, framed=bare)
                yield HashRow(hashes, BARE, seen._replace(bare=bare, our_bare=True), more, framed=bare)
        for light in BRIGHT:
            for bare, pixels in self._pixels.items():
                hashes = hash_windows(light.shine(pixels), [WHOLE])[:, 0]
                seen = upright._replace(bare=bare, our_bare=bare)
                yield HashRow(hashes, BARE if bare else 0, seen, 0, framed=bare)
        whole, crops = hash_windows(self._pixels[False], [WHOLE])[:, 0], hash_windows(self._pixels[False], CROPS)
        for window in range(len(CROPS)):
            seen = upright._replace(window=window)
            yield HashRow(crops[:, window], 0, seen, CROPPED, framed=False)
            yield HashRow(whole, 1 + window, seen._replace(known_is_outer=False), CROPPED, framed=False)

    def _propose(self, views: Views) -> list[View]:
        """Proposals, the closest hashes first; one a known picture and position."""
        own = hash_windows(views.whole[None], [WHOLE, *CROPS])[0]
        if not own[0]:
            return []
        bare = np.uint64(0) if views.bare is None else hash_windows(views.bare[None], [WHOLE])[0, 0]
        mine = np.append(own, bare)[self._own]
        bits = np.bitwise_count(self._hashes ^ mine[:, None])
        rows, known = np.nonzero((bits <= self._limits[:, None]) & self._asked & (mine != 0)[:, None])
        best: dict[tuple[int, int, bool, bool], View] = {}
        for one in np.argsort(bits[rows, known], kind="stable"):
            view = self._views[rows[one]]._replace(known=int(known[one]))
            best.setdefault((view.known, view.position, view.bare, view.our_bare), view)
            if len(best) == LOOKED:
                break
        return list(best.values())

    def _verify(self, view: View, path: str, *, light: Light, on_outer: bool) -> float | None:
        """The correlation of a proposal that holds when laid over, and in the closer look."""
        lit = on_outer == view.known_is_outer
        known = place(read_lit(self._paths[view.known], bare=view.bare, light=light if lit else PLAIN), view.position)
        ours = read_lit(path, bare=view.our_bare, light=PLAIN if lit else light)
        outer, inner = (known, ours) if view.known_is_outer else (ours, known)
        start = WHOLE if view.window < 0 else CROPS[view.window]
        even, noise = LOOSE if light != PLAIN else UPRIGHT_LIMITS if view.is_upright else STRICT
        overlay = lay_over(halve(outer), halve(inner), start=start, reach=REACH, even=even)
        if not overlay.same or not agree_closely(outer, inner, box=overlay.box, noise=noise):
            return None
        return round(overlay.correlation, 4)


def read_lit(path: str, *, bare: bool, light: Light) -> Pixels:
    """uint8[256, 256, 3] in another light, which is put on before the pixels are averaged: white stays white."""
    return _read_kept(path, os.stat(path).st_mtime_ns, bare, light)


@lru_cache(maxsize=256)
def _read_kept(path: str, _written: int, bare: bool, light: Light) -> Pixels:
    """The last 256 are kept (50 MB): siblings are laid over each other again and again."""
    image = read_image(path, bare=bare)
    if light != PLAIN:
        image = Image.fromarray(light.shine(np.asarray(image)))
    return np.asarray(image.resize((LARGE, LARGE), Image.Resampling.BOX))


def halve(pixels: Pixels) -> Pixels:
    """Half of both sides, by means of four."""
    half = len(pixels) // 2
    means = pixels.reshape(half, 2, half, 2, 3).astype(np.float32).mean(axis=(1, 3))
    return np.asarray(np.rint(means), dtype=np.uint8)


def even_grey(pixels: Pixels, box: Box, *, at: int = 0) -> NDArray[np.float16]:
    """float16[n, 256]: 16 x 16 greys of a window, of mean 0 and length 1, so that a product is a correlation."""
    grid = pixels.shape[1]
    down, across = (average_matrix(low, high, SMALL, grid) for low, high in (box[:2], box[2:]))
    grey = down @ (pixels.astype(np.float32) @ LUMA) @ across.T
    flat = place(grey[..., None], at).reshape(len(pixels), -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    length = np.sqrt(np.square(flat).sum(axis=1, keepdims=True))
    return np.asarray(flat / np.maximum(length, 1e-6), dtype=np.float16)


def shrink(pixels: Pixels, box: Box) -> NDArray[np.float32]:
    """float32[48, 48, 3] of a window."""
    grid = len(pixels)
    down, across = (average_matrix(low, high, CELLS, grid) for low, high in (box[:2], box[2:]))
    rows = (down @ pixels.reshape(grid, -1).astype(np.float32)).reshape(CELLS, grid, 3)
    return np.asarray(across @ rows, dtype=np.float32)


def match_light(outer: NDArray[np.float32], inner: NDArray[np.float32]) -> tuple[Light, bool, float]:
    """How one of two small pictures becomes as light as the other, whether it is the outer one, and what is left.

    What was made lighter than white stays white, so the picture of less contrast is the one that is changed; both
    ways are tried.
    """
    plain = PLAIN, True, float(np.square(outer - inner).mean())
    if plain[2] <= SAME_LIGHT:
        return plain
    spreads = [float((one.max(axis=2) - one.min(axis=2)).mean()) for one in (outer, inner)]
    ways = []
    for on_outer, (one, other), (own, others) in (
        (True, (outer, inner), spreads),
        (False, (inner, outer), spreads[::-1]),
    ):
        grey = others <= COLOURLESS and own >= COLOURED
        values = one @ LUMA if grey else one
        wanted = other.mean(axis=2) if grey else other
        fitted = _fit_line(values.ravel(), wanted.ravel())
        if fitted is not None:
            light = Light(*fitted, grey=grey)
            left = np.clip(light.gain * values + light.offset, 0, 255) - wanted
            ways.append((light, on_outer, float(np.square(left).mean())))
    best = min(ways, key=lambda way: way[2] * (1.0 if way[0].gain >= 1 or way[0].grey else MILD) + 1, default=plain)
    return best if best[2] < BETTER * plain[2] else plain


def _fit_line(values: NDArray[np.float32], wanted: NDArray[np.float32]) -> tuple[float, float] | None:
    """Gain and offset so that clip(gain * values + offset) is nearest to `wanted`; None where there is no contrast.

    Begun from a line through what is neither black nor white, from a gain alone, and from the ratio of the contrasts.
    """
    spread = float(values.std())
    if spread < FLAT:
        return None
    inside = (wanted > 3) & (wanted < 252)
    starts = [(float(wanted.std()) / spread, float("nan"))]
    if inside.sum() >= 24:
        x, y = values[inside], wanted[inside]
        starts.append((float((x * y).sum()) / max(1.0, float((x * x).sum())), 0.0))
        if float(x.std()) >= FLAT:
            starts.append((float(((x - x.mean()) * (y - y.mean())).mean()) / float(x.std()) ** 2, float("nan")))
    best, least = (1.0, 0.0), float("inf")
    for gain, offset in starts:
        gain = min(max(gain, GAINS[0]), GAINS[1])
        if np.isnan(offset):
            kept = inside if inside.sum() >= 24 else np.ones(len(values), bool)
            offset = float(wanted[kept].mean() - gain * values[kept].mean())
        for _ in range(3):
            shown = gain * values + offset
            left = wanted - np.clip(shown, 0, 255)
            cost = float(np.square(left).mean())
            if cost < least:
                best, least = (gain, offset), cost
            free = (shown > 0) & (shown < 255)
            if free.sum() < 24 or float(values[free].std()) < FLAT:
                break
            x, y = values[free], left[free]
            slope = float(((x - x.mean()) * (y - y.mean())).mean()) / float(x.std()) ** 2
            gain, offset = min(max(gain + slope, GAINS[0]), GAINS[1]), offset + float(y.mean() - slope * x.mean())
    return best
