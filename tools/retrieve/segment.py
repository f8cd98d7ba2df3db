"""One part of the lexical index: arrays that factorise which words the samples' skills hold.

A pool has few distinct skills and many samples. Each distinct skill text is split into words once; how often a
word stands in a sample is then (samples x skills) times (skills x words), one sparse product. What is kept is both
factors, and of the product for each word the samples that hold it, as gaps of two bytes: about 75 bytes a sample,
ids included. Every array can be mapped from a file.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, islice, pairwise
from operator import lt
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from errata.tools.errors import OperatorError

Ints = NDArray[np.integer[Any]]
Sample = tuple[str, Sequence[str], Sequence[str]]
"""Id, required skills, and one value for each metadata field."""
CHUNK = 256
"""Samples that are listed at once: fewer than set off the garbage collector, which would go through all of them."""
GAP = (1 << 16) - 1
"""The greatest gap that two bytes hold."""
_WORD = re.compile(r"\w+")


def split_words(text: str) -> list[str]:
    """The words of a skill: runs of letters, digits and underscores, without case; no stemming, no stop words."""
    return _WORD.findall(text.casefold())


class Texts(NamedTuple):
    """Texts in one array of bytes; text i ends where text i + 1 begins."""

    text: NDArray[np.uint8]
    starts: Ints
    """int[texts + 1], in bytes."""

    def __len__(self) -> int:
        return len(self.starts) - 1

    def take(self, rows: Ints) -> list[str]:
        """The texts of these rows, in their order."""
        coded, begins = Runs(self.starts, self.text).join(rows)
        whole, cuts = coded.tobytes(), [*begins.tolist(), len(coded)]
        if whole.isascii():
            text = whole.decode("ascii")
            return [text[start:stop] for start, stop in pairwise(cuts)]
        return [str(whole[start:stop], "utf-8") for start, stop in pairwise(cuts)]

    def all(self) -> list[str]:
        """Every text, in order."""
        return self.take(np.arange(len(self)))

    def find(self, text: str) -> int | None:
        """The row of a text; the texts must be sorted."""
        wanted, view = text.encode("utf-8"), self.text.data
        low, high = 0, len(self)
        while low < high:
            middle = (low + high) // 2
            if bytes(view[self.starts[middle] : self.starts[middle + 1]]) < wanted:
                low = middle + 1
            else:
                high = middle
        if low < len(self) and bytes(view[self.starts[low] : self.starts[low + 1]]) == wanted:
            return low
        return None


class Runs(NamedTuple):
    """Lists of numbers, one after the other; list i is `items[starts[i] : starts[i + 1]]`."""

    starts: Ints
    items: Ints

    def of(self, row: int) -> Ints:
        """One list."""
        return self.items[self.starts[row] : self.starts[row + 1]]

    def join(self, rows: Ints) -> tuple[Ints, Ints]:
        """The lists of these rows one after the other, and where each begins; int[n], int[rows]."""
        firsts = self.starts[rows].astype(np.int64)
        sizes = self.starts[rows + 1] - firsts
        ends = np.cumsum(sizes)
        begins = ends - sizes
        kind = self.starts.dtype if len(ends) and ends[-1] < 2**31 else np.int64
        at = np.repeat((firsts - begins).astype(kind), sizes)
        at += np.arange(len(at), dtype=kind)
        return self.items[at], begins


class Postings(NamedTuple):
    """By word, the rows of samples, ascending; those of frequent words are stored as gaps."""

    starts: Ints
    """int[words + 1]: how many rows the words before have."""
    firsts: Ints
    """int32[words]: the first row, from which gaps are counted; -1 where rows are stored whole."""
    places: Ints
    """int[words]: where the word's part of `gaps`, or of `rows`, begins."""
    gaps: NDArray[np.uint16]
    """From the row before; 0 for the first."""
    rows: Ints

    def size(self, word: int) -> int:
        """How many rows a word has."""
        return int(self.starts[word + 1] - self.starts[word])

    def below(self, word: int, limit: int) -> Ints:
        """int32[n]: the word's rows that are below `limit`; what is beyond is not unpacked."""
        size, place, first = self.size(word), int(self.places[word]), int(self.firsts[word])
        if first < 0:
            whole = self.rows[place : place + size]
            return whole[: np.searchsorted(whole, limit)]
        count = 2048
        while True:
            rows = np.cumsum(self.gaps[place : place + min(count, size)], dtype=np.int32)
            rows += np.int32(first)
            if count >= size or rows[-1] >= limit:
                return rows[: np.searchsorted(rows, limit)]
            count *= 8


@dataclass(frozen=True)
class Segment:
    """Samples by length, then id; the skills they list, and the words of these skills."""

    ids: Texts
    by_id: Ints
    """int32[samples]: rows in order of id."""
    ranks: Ints
    """int32[samples]: the place of each row's id among all ids."""
    skills: Texts
    """Distinct skills in order of text."""
    words: Mapping[str, int]
    """Word to its row."""
    skills_of: Runs
    """By sample: its skills, in its own order, repeats kept."""
    holders: Runs
    """By word: the skills that hold it."""
    times: Ints
    """Beside the items of `holders`: how often."""
    light: Postings
    """By word: the samples that hold it once."""
    heavy: Postings
    """By word: the samples that hold it more than once."""
    heavy_times: Ints
    """Beside the rows of `heavy`: how often."""
    lengths: Ints
    """By sample: words of all its skills; ascending."""
    most: Ints
    """By word: how often it stands in one sample, at most."""
    fields: Mapping[str, tuple[Sequence[str], Ints]]
    """Metadata: the distinct values of a field, and for each sample the row of its value."""
    total: int
    """Words of all samples."""
    longest: int
    """Words of the longest sample."""

    def __len__(self) -> int:
        return len(self.lengths)

    @cached_property
    def samples_of(self) -> Runs:
        """By skill: the samples that list it, ascending; one that lists it twice is there twice."""
        from scipy.sparse import csr_array

        ones = np.ones(len(self.skills_of.items), dtype=np.int8)
        shape = (len(self), len(self.skills))
        turned = csr_array((ones, self.skills_of.items, self.skills_of.starts), shape=shape).tocsc()
        return Runs(turned.indptr, turned.indices)

    def holding(self, word: str) -> int:
        """How many samples hold a word."""
        row = self.words.get(word)
        return 0 if row is None else self.light.size(row) + self.heavy.size(row)

    def find(self, sample_id: str) -> int | None:
        """The row of a sample."""
        wanted, view, starts = sample_id.encode("utf-8"), self.ids.text.data, self.ids.starts
        place = bisect_left(self.by_id, wanted, key=lambda row: bytes(view[starts[row] : starts[row + 1]]))
        if place == len(self):
            return None
        row = int(self.by_id[place])
        return row if bytes(view[starts[row] : starts[row + 1]]) == wanted else None

    def samples(self) -> Iterator[Sample]:
        """What the segment was made of."""
        names, skills = self.ids.all(), self.skills.all()
        starts, items = self.skills_of.starts.tolist(), self.skills_of.items.tolist()
        columns = [(values, codes.tolist()) for values, codes in self.fields.values()]
        for row, name in enumerate(names):
            own = [skills[i] for i in items[starts[row] : starts[row + 1]]]
            yield name, own, [values[codes[row]] for values, codes in columns]


def make_segment(samples: Iterable[Sample], *, fields: Sequence[str] = ()) -> Segment:
    """Index samples that come in any order. Raises OperatorError for an id that comes twice."""
    listed = _list_samples(samples, fields)
    ranked = sorted(listed.skills)
    rank = np.empty(len(ranked), dtype=np.int32)
    rank[[listed.skills[skill] for skill in ranked]] = np.arange(len(ranked))
    skills_of = Runs(_starts(np.frombuffer(listed.counts, np.int32)), rank[np.frombuffer(listed.codes, np.int32)])
    words = [split_words(skill) for skill in ranked]
    sizes = np.fromiter(map(len, words), dtype=np.int64, count=len(words))
    totals = np.concatenate([[0], np.cumsum(sizes[skills_of.items])])
    lengths = _narrow(totals[skills_of.starts[1:]] - totals[skills_of.starts[:-1]])
    by_id = _order_of(listed.ids)
    ranks = np.argsort(lengths[by_id], kind="stable")
    order = by_id[ranks]
    turned = np.empty(len(ranks), dtype=np.int32)
    turned[ranks] = np.arange(len(ranks))
    columns = [np.frombuffer(codes, dtype=np.int32)[order] for codes in listed.columns]
    base = _Base(
        ids=_turn_texts(_pack_texts(listed.ids), order),
        by_id=turned,
        ranks=ranks.astype(np.int32),
        lengths=lengths[order],
        skills_of=Runs(_starts(np.diff(skills_of.starts)[order]), skills_of.join(order)[0]),
    )
    values = {name: (list(v), _narrow(codes)) for name, v, codes in zip(fields, listed.values, columns, strict=True)}
    return _count_words(base, ranked, words=words, fields=values)


class _Base(NamedTuple):
    ids: Texts
    by_id: Ints
    ranks: Ints
    lengths: Ints
    skills_of: Runs


class _Numbers(dict[str, int]):
    """Gives each new text the next number."""

    def __missing__(self, text: str) -> int:
        self[text] = number = len(self)
        return number


class _Listed(NamedTuple):
    ids: list[str]
    skills: _Numbers
    counts: array[int]
    codes: array[int]
    values: list[_Numbers]
    columns: list[array[int]]


def _list_samples(samples: Iterable[Sample], fields: Sequence[str]) -> _Listed:
    found = _Listed([], _Numbers(), array("i"), array("i"), [_Numbers() for _ in fields], [array("i") for _ in fields])
    rest = iter(samples)
    while part := list(islice(rest, CHUNK)):
        names, skills, values = zip(*part, strict=True)
        found.ids.extend(names)
        found.counts.frombytes(np.fromiter(map(len, skills), np.int32, count=len(part)).tobytes())
        codes = np.fromiter(map(found.skills.__getitem__, chain.from_iterable(skills)), np.int32)
        found.codes.frombytes(codes.tobytes())
        for numbers, column, row in zip(found.values, found.columns, zip(*values, strict=True), strict=True):
            column.extend(map(numbers.__getitem__, row))
    return found


def _order_of(ids: Sequence[str]) -> Ints:
    """What sorts the ids as Python sorts texts, which is by their bytes in UTF-8."""
    if all(map(lt, ids, islice(ids, 1, None))):
        return np.arange(len(ids))
    order = sorted(range(len(ids)), key=ids.__getitem__)
    for one, other in pairwise(order):
        if ids[one] == ids[other]:
            remedy = "give every sample an id of its own"
            where = f"samples {min(one, other) + 1} and {max(one, other) + 1}"
            raise OperatorError("two samples have one id", where=where, value=ids[one], remedy=remedy)
    return np.array(order, dtype=np.int64)


def _starts(sizes: Ints) -> Ints:
    ends = np.zeros(len(sizes) + 1, dtype=np.int64)
    np.cumsum(sizes, out=ends[1:])
    return _shorten(ends)


def _shorten(starts: Ints) -> Ints:
    return starts.astype(np.int32) if starts[-1] < 2**31 else starts


def _pack_texts(texts: Sequence[str]) -> Texts:
    coded = "".join(texts).encode("utf-8")
    sizes = np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))
    if int(sizes.sum()) < len(coded):
        sizes = np.fromiter((len(text.encode("utf-8")) for text in texts), dtype=np.int64, count=len(texts))
    return Texts(np.frombuffer(coded, dtype=np.uint8), _starts(sizes))


def _turn_texts(texts: Texts, order: Ints) -> Texts:
    """The texts in this order."""
    joined = Runs(texts.starts, texts.text).join(order)[0]
    return Texts(joined.astype(np.uint8, copy=False), _starts(np.diff(texts.starts)[order]))


def _narrow(numbers: Ints) -> Ints:
    """The same numbers in the smallest unsigned type that holds them."""
    return numbers.astype(np.min_scalar_type(int(numbers.max(initial=0))))


def _count_words(
    base: _Base,
    skills: Sequence[str],
    *,
    words: Sequence[Sequence[str]],
    fields: Mapping[str, tuple[Sequence[str], Ints]],
) -> Segment:
    """Multiply, and keep of the product which samples hold each word, and how often; `words` by skill."""
    from scipy.sparse import csr_array

    numbers = _Numbers()
    columns = np.fromiter(map(numbers.__getitem__, chain.from_iterable(words)), dtype=np.int32)
    starts = _starts(np.fromiter(map(len, words), dtype=np.int64, count=len(words)))
    times = np.ones(len(columns), dtype=np.int32)
    by_skill = csr_array((times, columns, starts), shape=(len(skills), len(numbers)))
    by_skill.sum_duplicates()
    by_word = by_skill.tocsc()
    ones = np.ones(len(base.skills_of.items), dtype=np.uint8)
    listed = csr_array((ones, base.skills_of.items, base.skills_of.starts), shape=(len(base.ids), len(skills)))
    product = (listed @ by_skill.astype(base.lengths.dtype)).tocsc()
    rows, cuts = product.indices, product.indptr
    heavy = np.flatnonzero(product.data > 1)
    times, ends = product.data[heavy], np.searchsorted(heavy, cuts)
    full = np.flatnonzero(np.diff(ends))
    most = np.ones(len(numbers), dtype=product.data.dtype)
    most[full] = np.maximum.reduceat(times, ends[full]) if len(full) else 0
    light = np.ones(len(rows), dtype=bool)
    light[heavy] = False
    return Segment(
        **base._asdict(),
        skills=_pack_texts(skills),
        words=numbers,
        holders=Runs(by_word.indptr, by_word.indices),
        times=_narrow(by_word.data),
        light=_pack_postings(_shorten(cuts - ends), rows[light]),
        heavy=_pack_postings(_shorten(ends), rows[heavy]),
        heavy_times=_narrow(times),
        most=most,
        fields=fields,
        total=int(base.lengths.sum(dtype=np.int64)),
        longest=int(base.lengths.max(initial=0)),
    )


def _pack_postings(starts: Ints, rows: Ints) -> Postings:
    """`starts` int[words + 1] cuts the rows into the lists of the words."""
    sizes = np.diff(starts).astype(np.int64)
    full = np.flatnonzero(sizes)
    gaps = np.zeros(len(rows), dtype=np.int32)
    np.subtract(rows[1:], rows[:-1], out=gaps[1:])
    gaps[starts[full]] = 0
    near = sizes > 0
    near[np.searchsorted(starts, np.flatnonzero(gaps > GAP), side="right") - 1] = False
    firsts = np.full(len(sizes), -1, dtype=np.int32)
    firsts[near] = rows[starts[:-1][near]]
    small = np.repeat(near, sizes)
    places = np.where(near, np.cumsum(sizes * near) - sizes * near, np.cumsum(sizes * ~near) - sizes * ~near)
    return Postings(starts, firsts, places, gaps.astype(np.uint16)[small], rows[~small])
