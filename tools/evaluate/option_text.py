"""An option's own text as the answer: "The answer is repel." is the letter of "repel" when it fits exactly one.

The rule is VLMEvalKit's (an answer in words counts when exactly one option stands in it), held to whole words, to what
follows the statement of an answer or makes up a short response, and to what is not denied.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_DENIED = re.compile(
    r"(?:\bnot|n['’]t|\bnever|\bno|\bneither|\bnor|\bwithout|\brather\s+than|不|没有|非)\s*(?:(?!but\b)[\w-]+\s+){0,2}\Z",
    re.I,
)
_JOINED = re.compile(r"\b(?:or|and)\b|/|&")
_MARKUP = re.compile(r"\\(?:boxed|text|textbf|mathrm|mathbf)\s*\{([^{}]*)\}")
_EDGES = " \t\n*_`\"'“”‘’$#.:;,!?()[]{}<>"


def plain(text: str) -> str:
    """Lower case, one space, no mark-up and no marks at the ends."""
    text = _MARKUP.sub(r"\1", text)
    return " ".join(text.casefold().split()).strip(_EDGES)


def bare(text: str) -> str:
    """Plain, without an article in front."""
    return re.sub(r"\A(?:the|an?)\s+", "", plain(text))


def match_option(text: str, choices: Sequence[str]) -> int | None:
    """Which option a statement names: the one that it is, that it begins with, or the only one in it."""
    said = plain(text)
    if not said:
        return None
    options = [plain(choice) for choice in choices]
    for same in (plain, bare):
        equal = [i for i, choice in enumerate(choices) if same(choice) and same(choice) == same(text)]
        if len(equal) == 1:
            return equal[0]
    for start in (said, bare(text)):
        if sum(bool(_spots(option, said)) for option in options if option) > 1 and _JOINED.search(said):
            break
        begins = [i for i, option in enumerate(options) if option and _stands(option, start, place=0)]
        longest = [i for i in begins if not any(_holds(options[j], options[i]) for j in begins if j != i)]
        if len(longest) == 1:
            return longest[0]
    return find_only(said, choices)


def find_only(text: str, choices: Sequence[str]) -> int | None:
    """The only option that stands in a text as whole words and is not denied; None for several or none.

    An option that is part of a longer one that also stands there is not counted.
    """
    said, options = plain(text), [plain(choice) for choice in choices]
    spots = {i: _spots(option, said) for i, option in enumerate(options) if option}
    found = {i: places for i, places in spots.items() if places}
    kept = [i for i in found if not any(j != i and _covers(j, i, found, options) for j in found)]
    meant = [i for i in kept if not any(_DENIED.search(said[:place]) for place in found[i])]
    if len(meant) != 1 or options.count(options[meant[0]]) > 1:
        return None
    return meant[0]


def _spots(option: str, text: str) -> list[int]:
    return [m.start() for m in re.finditer(re.escape(option), text) if _stands(option, text, place=m.start())]


def _stands(option: str, text: str, *, place: int) -> bool:
    """Whether the option stands at this place as whole words; scripts without spaces need none."""
    if not text.startswith(option, place):
        return False
    end = place + len(option)
    before, after = text[place - 1 : place], text[end : end + 1]
    if before and _joins(before, option[0]):
        return False
    if after in ("%", "°", "-") or (after in (".", ",") and text[end + 1 : end + 2].isdigit()):
        return False
    return not (after and _joins(option[-1], after))


def _joins(left: str, right: str) -> bool:
    """Whether two neighbours belong to one word."""
    if not (left.isalnum() and right.isalnum()):
        return False
    return ord(left) < 0x2E80 and ord(right) < 0x2E80


def _holds(longer: str, shorter: str) -> bool:
    return len(longer) > len(shorter) and shorter in longer


def _covers(longer: int, shorter: int, found: dict[int, list[int]], options: Sequence[str]) -> bool:
    """Whether every place of the shorter option lies inside one of the longer."""
    if not _holds(options[longer], options[shorter]):
        return False
    width, size = len(options[longer]), len(options[shorter])
    return all(any(a <= b and b + size <= a + width for a in found[longer]) for b in found[shorter])
