"""The overlap firewall: nothing of validation or test may be trained on (methods, section 4).

A pool sample overlaps a problem of another split when they share their id, the bytes of a picture, the
normalised question, a value that the dataset declares as identity (`same`: `scene` in the embedded world,
`family` where datasets have task families), or, when asked for, a picture that looks the same.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

from tools.errors import OperatorError
from tools.records import Problem, Record, Split

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class FirewallOptions(Record):
    """What counts as overlap, and what follows from it."""

    policy: Literal["stop", "exclude"] = "stop"
    question: Literal["text", "with_image"] = "with_image"
    """`text`: question and choices alone. `with_image`: the same words over another picture are another
    question; where one of the two problems has no picture, the words alone decide.
    """
    perceptual: bool = False
    """Compare what pictures look like. Off for drawn grids, which all look alike; on for photographs."""
    distance: int = 4
    """Pictures look the same when at most this many of the 64 bits of their hashes differ."""
    same: tuple[str, ...] = ("scene",)
    """Metadata fields whose equal values mean the same content."""


class Overlap(Record):
    """A pool sample and the problem of another split that it overlaps, by the first kind that was found."""

    pool: str
    other: str
    split: Split
    kind: str
    """`id`, `image`, `question`, `perceptual` or a metadata field of `same`."""


class FirewallResult(NamedTuple):
    """What may be trained on, in pool order, and what may not."""

    kept: list[Problem]
    overlaps: list[Overlap]


DEFAULT = FirewallOptions()


def check_firewall(
    pool: Sequence[Problem], *, against: Mapping[Split, Sequence[Problem]], options: FirewallOptions = DEFAULT
) -> FirewallResult:
    """Raise OperatorError that names the first overlap (policy `stop`), or leave all of them out
    (`exclude`).
    """
    overlaps = find_overlaps(pool, against=against, options=options)
    if overlaps and options.policy == "stop":
        first = overlaps[0]
        counts = Counter(f"{o.kind} with {o.split}" for o in overlaps)
        listed = ", ".join(f"{n} by {name}" for name, n in sorted(counts.items()))
        what = (
            f"pool sample {first.pool!r} overlaps {first.split} problem {first.other!r} by {first.kind}; "
            f"{len(overlaps)} of {len(pool)} samples overlap: {listed}"
        )
        remedy = "take them out of the pool, or set the firewall's policy to exclude"
        raise OperatorError(what, where="firewall", remedy=remedy)
    out = {o.pool for o in overlaps}
    kept = [p for p in pool if p.id not in out]
    if pool and not kept:
        what = f"all {len(pool)} samples of the pool overlap validation or test"
        raise OperatorError(what, where="firewall", remedy="choose another supporting dataset")
    return FirewallResult(kept, overlaps)


def find_overlaps(
    pool: Sequence[Problem], *, against: Mapping[Split, Sequence[Problem]], options: FirewallOptions = DEFAULT
) -> list[Overlap]:
    """At most one overlap per pool sample, in pool order; cost is linear but for perceptual hashes."""
    seen: dict[tuple[str, object], tuple[str, Split]] = {}
    for split in sorted(against):
        for problem in against[split]:
            for key in _keys(problem, options=options, stored=True):
                seen.setdefault(key, (problem.id, split))
    found: list[Overlap] = []
    rest: list[Problem] = []
    for problem in pool:
        for key in _keys(problem, options=options, stored=False):
            if key in seen:
                other, where = seen[key]
                kind = key[0].removesuffix(".words").removesuffix(".bare")
                found.append(Overlap(pool=problem.id, other=other, split=where, kind=kind))
                break
        else:
            rest.append(problem)
    if options.perceptual:
        found.extend(_look_alike(rest, against=against, distance=options.distance))
        order = {problem.id: i for i, problem in enumerate(pool)}
        found.sort(key=lambda o: order[o.pool])
    return found


def _keys(problem: Problem, *, options: FirewallOptions, stored: bool) -> Iterator[tuple[str, object]]:
    """What is compared, strongest first. Keys of a side with a picture never meet those of one without by
    accident: `question.words` is stored for all and asked by bare samples, `question.bare` is stored by
    bare problems and asked by all.
    """
    yield "id", problem.id
    for image in problem.images:
        yield "image", image.sha256
    words = question_key(problem)
    if options.question == "text":
        yield "question", words
    else:
        yield "question", (words, tuple(image.sha256 for image in problem.images))
        if stored or not problem.images:
            yield "question.words", words
        if not stored or not problem.images:
            yield "question.bare", words
    for field in options.same:
        value = problem.metadata.get(field)
        if value is not None:
            yield field, value if isinstance(value, str) else repr(value)


def question_key(problem: Problem) -> tuple[str, ...]:
    """The words of a question and its choices, without case, spacing, closing marks and the order of
    choices.
    """
    return (_normalise(problem.question), *sorted(_normalise(choice) for choice in problem.choices))


def _normalise(text: str) -> str:
    folded = text if text.isascii() else unicodedata.normalize("NFKC", text)
    return " ".join(folded.casefold().split()).rstrip(" .?!:")


def _look_alike(
    pool: Sequence[Problem], *, against: Mapping[Split, Sequence[Problem]], distance: int
) -> Iterator[Overlap]:
    import numpy as np

    cache: dict[str, NDArray[np.uint64]] = {}
    owners, stack = [], []
    for split in sorted(against):
        for problem in against[split]:
            for image in problem.images:
                bits = _hash_once(image.path, image.sha256, cache)
                if bits.any():
                    owners.append((problem.id, split))
                    stack.append(bits)
    if not stack:
        return
    known = np.stack(stack)
    for problem in pool:
        for image in problem.images:
            bits = _hash_once(image.path, image.sha256, cache)
            if not bits.any():
                continue
            differing = np.bitwise_count(known ^ bits).sum(axis=1)
            nearest = int(differing.argmin())
            if differing[nearest] <= distance:
                other, where = owners[nearest]
                yield Overlap(pool=problem.id, other=other, split=where, kind="perceptual")
                break


def _hash_once(path: str, sha256: str, cache: dict[str, NDArray[np.uint64]]) -> NDArray[np.uint64]:
    if sha256 not in cache:
        cache[sha256] = perceptual_hash(path)
    return cache[sha256]


def perceptual_hash(path: str) -> NDArray[np.uint64]:
    """pHash: 64 bits as uint64[1], the signs of the 8 x 8 lowest cosine terms of a 64 x 64 grey thumbnail.

    Constant terms are left out and the sign is against the median. All zero for a picture of one grey, which
    is never compared. On 600 ScienceQA pictures, 4 bits of tolerance find 89 to 98 % of copies
    that were scaled to half or saved with quality 50, while 48 % have another picture as near (maps repeat).
    Raises OperatorError for a broken file.
    """
    import numpy as np
    from PIL import Image

    try:
        with Image.open(path) as image:
            grey = image.convert("RGB").convert("L").resize((64, 64), Image.Resampling.BOX)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise OperatorError("picture is corrupt", where=path, remedy="replace the file") from error
    pixels = np.asarray(grey, dtype=np.float64)
    if pixels.min() == pixels.max():
        return np.zeros(1, dtype=np.uint64)
    waves = np.cos(np.pi / 64 * (np.arange(64) + 0.5) * np.arange(1, 9)[:, None])
    terms = np.round(waves @ pixels @ waves.T, 6)
    return np.packbits(terms > np.median(terms)).view(np.uint64)
