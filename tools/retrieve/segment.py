"""One part of the lexical index: arrays that factorise which words the samples' skills hold.

A pool has few distinct skills and many samples. Each distinct skill text is split into words once; how often a
word stands in a sample is then (samples x skills) times (skills x words), one sparse product. What is kept is both
factors, and of the product for each word the samples that hold it, as gaps of two bytes: about 75 bytes a sample,
ids included. Every array can be mapped from a file.
"""

from __future__ import annotations

import re
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from operator import lt
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tools.errors import OperatorError

Ints = NDArray[np.integer[Any]]
Sample = tuple[str, Sequence[str], Sequence[str]]
"""Id, required skills, and one value for each metadata field."""
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
        view = self.text.data
        pairs = zip(self.starts[rows].tolist(), self.starts[rows + 1].tolist(), strict=True)
        return [str(view[start:stop], "utf-8") for start, stop in pairs]

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
        at = np.repeat(firsts - begins, sizes)
        at += np.arange(len(at))
        return self.items[at], begins


class Postings(NamedTuple):
    """By word, the samples that hold it, ascending, and how often; rows of frequent words are stored as gaps."""

    starts: Ints
    """int[words + 1], into `times`."""
    times: Ints
    firsts: Ints
    """int32[words]: the first sample, from which gaps are counted; -1 where rows are stored whole."""
    places: Ints
    """int[words]: where the word's part of `gaps`, or of `rows`, begins."""
    gaps: NDArray[np.uint16]
    """From the sample before; 0 for the first."""
    rows: Ints

    def of(self, word: int) -> tuple[Ints, Ints]:
        """Samples, int32[n], and how often each holds the word, int[n]."""
        start, stop = int(self.starts[word]), int(self.starts[word + 1])
        place, first = int(self.places[word]), int(self.firsts[word])
        if first < 0:
            return self.rows[place : place + stop - start], self.times[start:stop]
        rows = np.cumsum(self.gaps[place : place + stop - start], dtype=np.int32)
        rows += np.int32(first)
        return rows, self.times[start:stop]


@dataclass(frozen=True)
class Segment:
    """Samples in order of their ids, the skills they list, and the words of these skills."""

    ids: Texts
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
    postings: Postings
    """By word: the samples that hold it."""
    lengths: Ints
    """By sample: words of all its skills."""
    most: Ints
    """By word: how often it stands in one sample, at most."""
    least: Ints
    """By word: the shortest sample that holds it, in words."""
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
        return 0 if row is None else int(self.postings.starts[row + 1] - self.postings.starts[row])

    def samples(self) -> Iterator[Sample]:
        """What the segment was made of, in order of id."""
        names, skills = self.ids.all(), self.skills.all()
        starts, items = self.skills_of.starts.tolist(), self.skills_of.items.tolist()
        columns = [(values, codes.tolist()) for values, codes in self.fields.values()]
        for row, name in enumerate(names):
            own = [skills[i] for i in items[starts[row] : starts[row + 1]]]
            yield name, own, [values[codes[row]] for values, codes in columns]


def make_segment(samples: Iterable[Sample], *, fields: Sequence[str] = ()) -> Segment:
    """Index samples that come in any order. Raises OperatorError for an id that comes twice."""
    listed = _list_samples(samples, fields)
    order = _order_of(listed.ids)
    rows = np.frombuffer(listed.counts, dtype=np.int32)
    skills_of = Runs(_starts(rows), np.frombuffer(listed.codes, dtype=np.int32))
    ids, columns = listed.ids, [np.frombuffer(codes, dtype=np.int32) for codes in listed.columns]
    if order is not None:
        skills_of = Runs(_starts(rows[order]), skills_of.join(order)[0])
        ids, columns = [ids[i] for i in order.tolist()], [codes[order] for codes in columns]
    ranked = sorted(listed.skills)
    rank = np.empty(len(ranked), dtype=np.int32)
    rank[[listed.skills[skill] for skill in ranked]] = np.arange(len(ranked))
    skills_of = Runs(skills_of.starts, rank[skills_of.items])
    values = {name: (list(v), codes) for name, v, codes in zip(fields, listed.values, columns, strict=True)}
    return _count_words(_pack_texts(ids), ranked, skills_of=skills_of, fields=values)


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
    number = found.skills.__getitem__
    for name, skills, values in samples:
        found.ids.append(name)
        found.counts.append(len(skills))
        found.codes.extend(map(number, skills))
        for numbers, column, value in zip(found.values, found.columns, values, strict=True):
            column.append(numbers[value])
    return found


def _order_of(ids: Sequence[str]) -> Ints | None:
    """What sorts the ids by their bytes in UTF-8, as Python sorts texts; None when they are sorted."""
    if all(map(lt, ids, ids[1:])):
        return None
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
    return ends.astype(np.int32) if ends[-1] < 2**31 else ends


def _pack_texts(texts: Sequence[str]) -> Texts:
    coded = [text.encode("utf-8") for text in texts]
    sizes = np.fromiter(map(len, coded), dtype=np.int64, count=len(coded))
    return Texts(np.frombuffer(b"".join(coded), dtype=np.uint8), _starts(sizes))


def _narrow(numbers: Ints) -> Ints:
    """The same numbers in the smallest unsigned type that holds them."""
    return numbers.astype(np.min_scalar_type(int(numbers.max(initial=0))))


def _count_words(
    ids: Texts, skills: Sequence[str], *, skills_of: Runs, fields: Mapping[str, tuple[Sequence[str], Ints]]
) -> Segment:
    """Split each skill once, multiply, and keep what queries need of each word."""
    from scipy.sparse import csr_array

    numbers = _Numbers()
    counts = [Counter(split_words(skill)) for skill in skills]
    columns = np.fromiter((numbers[w] for count in counts for w in count), dtype=np.int32)
    times = np.fromiter((n for count in counts for n in count.values()), dtype=np.int32)
    starts = _starts(np.fromiter(map(len, counts), dtype=np.int64, count=len(counts)))
    by_skill = csr_array((times, columns, starts), shape=(len(skills), len(numbers)))
    by_word = by_skill.tocsc()
    ones = np.ones(len(skills_of.items), dtype=np.uint8)
    listed = csr_array((ones, skills_of.items, skills_of.starts), shape=(len(ids), len(skills)))
    lengths = _narrow(listed @ by_skill.sum(axis=1).astype(np.int64))
    product = (listed @ by_skill.astype(lengths.dtype)).tocsc()
    cuts = product.indptr[:-1]
    held = len(numbers) > 0
    return Segment(
        ids=ids,
        skills=_pack_texts(skills),
        words=numbers,
        skills_of=skills_of,
        holders=Runs(by_word.indptr, by_word.indices),
        times=_narrow(by_word.data),
        postings=_pack_postings(product.indptr, product.indices, times=_narrow(product.data)),
        lengths=lengths,
        most=np.maximum.reduceat(product.data, cuts) if held else product.data,
        least=np.minimum.reduceat(lengths[product.indices], cuts) if held else lengths[:0],
        fields={name: (values, _narrow(codes)) for name, (values, codes) in fields.items()},
        total=int(lengths.sum(dtype=np.int64)),
        longest=int(lengths.max(initial=0)),
    )


def _pack_postings(starts: Ints, rows: Ints, *, times: Ints) -> Postings:
    """`starts` int[words + 1] cuts `rows` and `times` into runs; no run is empty."""
    cuts, sizes = starts[:-1], np.diff(starts)
    firsts = rows[cuts].astype(np.int32)
    gaps = np.diff(rows, prepend=rows[:1])
    gaps[cuts] = 0
    near = np.maximum.reduceat(gaps, cuts) <= GAP if len(cuts) else np.zeros(0, dtype=bool)
    kept = np.repeat(near, sizes)
    small, far = gaps[kept].astype(np.uint16), rows[~kept]
    places = np.where(near, np.cumsum(sizes * near) - sizes * near, np.cumsum(sizes * ~near) - sizes * ~near)
    return Postings(starts, times, np.where(near, firsts, -1).astype(np.int32), places, small, far)
