"""Split a rationale into steps: one sentence is one step (P1 3.3, footnote 15).

A sentence ends at a newline, at a full-width mark (`。`), or at `.`, `?` or `!` (closing quotes and brackets included)
followed by space and a capital or a digit. Abbreviations, initials, decimals and list markers do not end one. A
fragment with fewer than three word characters joins its neighbour: the one before it, or the one after it for a list
marker and at the start. Steps are slices that touch each other, white space included, so that joining their texts
gives the rationale back.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple

SPLITTER_VERSION = "2"
"""Changes whenever any text may be split differently: step indices are comparable within one version only."""

_BREAK = re.compile(
    r"(?P<line>(?<!\s)\s*\n\s*)"
    r"|(?P<wide>(?<![。！？])[。！？]+[」』”’）)\]\"*]*\s*)"
    r"|(?P<mark>(?<![.?!])[.?!]+)[\"'”’)\]*_`]*\s+(?=[\"'“‘(\[*_`$]*(?P<next>[^\W_]))"
)
"""The looks behind keep it linear: a run of marks or of white space is tried from its first character alone."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_HARD = _words(
    "mr mrs ms dr prof st mt ft gen col sgt capt rev hon sen rep gov pres vs fig figs eq eqs approx ca cf al"
)
"""Abbreviations that no sentence ends with."""
_SOFT = _words("jr sr inc ltd co corp etc dept est ave blvd e.g i.e")
"""Abbreviations that may end a sentence: they do when a word follows that often begins one."""
_NUMBERED = _words("no nos vol pp p ch sec art")
"""Abbreviations only before a number (`No. 5`; but `Is it alive? No. So it is not.`)."""
_OPENERS = _words(
    "a also although an and as at because both but each for from he hence however i if in it its let look "
    "next no now on one only option she since so some step that the then there therefore these they this "
    "those thus to wait we what when which while yes you"
)
_MARKER = re.compile(r"[\s\W]*(?:\d{1,3}|[A-Za-z])[.):]\s*")
_NUMBERED_HEAD = re.compile(r"[\W_]*(?:step\s+|part\s+|figure\s+)?(?:\d{1,3}|[A-Za-z])\.?", re.IGNORECASE)
_LAST_TOKEN = re.compile(r"[^\s\"'“‘(\[*]*\Z")
_INITIAL = re.compile(r"(?:\A|\s)(?:[A-Z][\w'’-]+|[A-Z]\.)\s+[A-Z]\Z")
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")


class Step(NamedTuple):
    """`text` is `rationale[start:end]`; the end is the start of the next step."""

    text: str
    start: int
    end: int


def split_steps(rationale: str) -> list[Step]:
    """The steps of a rationale in order; an empty rationale has none."""
    pieces: list[str] = []
    for piece in _slices(rationale, sentence_starts(rationale)):
        if pieces and (_joins_back(piece) or _is_open(pieces[-1], first=len(pieces) == 1)):
            pieces[-1] += piece
        else:
            pieces.append(piece)
    if len(pieces) > 1 and _word_characters(pieces[-1]) < 3:
        last = pieces.pop()
        pieces[-1] += last
    steps, start = [], 0
    for piece in pieces:
        steps.append(Step(piece, start, start + len(piece)))
        start += len(piece)
    return steps


def sentence_starts(text: str) -> list[int]:
    """Offsets at which sentences begin, 0 first, before fragments are joined; empty for an empty text."""
    starts = [0] if text else []
    for found in _BREAK.finditer(text):
        if found.end() >= len(text):
            continue
        if found["line"] is not None or found["wide"] is not None or _ends_sentence(text, starts[-1], found):
            starts.append(found.end())
    return starts


def _slices(text: str, starts: list[int]) -> Iterable[str]:
    return (text[start:end] for start, end in pairwise([*starts, len(text)]))


def _ends_sentence(text: str, start: int, found: re.Match[str]) -> bool:
    """Whether the mark at `found` ends the sentence that began at `start`."""
    follower = found["next"]
    if not (follower.isupper() or follower.isdigit()):
        return False
    if found["mark"] != ".":
        return True
    head = text[start : found.start()]
    if _NUMBERED_HEAD.fullmatch(head):
        return False
    match = _LAST_TOKEN.search(head)
    token = match.group().lower() if match else ""
    word = _WORD.match(text, found.start("next"))
    opener = word is not None and word.group().lower() in _OPENERS
    if token in _HARD:
        return False
    if token in _NUMBERED:
        return not follower.isdigit()
    if token in _SOFT or re.fullmatch(r"(?:[a-z]\.)+[a-z]", token) or _INITIAL.search(head):
        return opener
    return True


def _word_characters(piece: str) -> int:
    return sum(len(word) for word in re.findall(r"[^\W_]+", piece))


def _joins_back(piece: str) -> bool:
    """A short fragment belongs to what came before, unless it is a list marker."""
    return _word_characters(piece) < 3 and not _MARKER.fullmatch(piece)


def _is_open(piece: str, *, first: bool) -> bool:
    """Whether the piece before still waits for its continuation: a list marker, or a short start."""
    return _MARKER.fullmatch(piece) is not None or (first and _word_characters(piece) < 3)
