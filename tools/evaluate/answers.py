"""Read the answer out of a student's response (P1 3.2, appendix A).

The paper's table of formats (mode `table10`) cannot parse its own "The final answer is option A", and being
case-blind it reads "Answer: the magnets" as T. The mode `ordered` tries patterns from the most explicit to
the barest; the first kind with a valid match decides, and of its valid matches the last one in the text. A
match is valid when

- the letter is one of this sample's own options and no letter, apostrophe or hyphen with a letter follows it;
- it is not negated ("is not (A)", "I do not think the answer is A");
- it is not one of several ("A/B/C/D/E", "B or C", "A and B");
- it is not a word: a lone "A" (and "I") before a lower-case word is one unless the word is because, since,
  as, and, so, which, given, due or for. A small "a" before any other word is one, capital or not.

Nothing valid gives None: a format error, counted as wrong, and never the first option.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from typing import Literal, NamedTuple

from errata.tools.steps import sentence_starts

Mode = Literal["ordered", "table10"]


class ParsedAnswer(NamedTuple):
    """`start` is the offset of the first sentence that states the parsed answer: it and all after are no
    steps."""

    answer: str | None
    start: int | None


_NOTHING = ParsedAnswer(None, None)
_REACH = 100
"""How many characters around a match are looked at for a negation."""
_LEAD = r"\b(?:answer|(?:correct|right|best)\s+(?:option|choice|letter))"
_VERB = r"[\s*_`\"'”]*(?::|=|–|-(?!\w)|\b(?:is|was|are|would\s+be|should\s+be|must\s+be|will\s+be|to\s+be)\b)"
_FILLER = (
    r"(?:[\s:*_`\"'“”‘’$=>#~]|\b(?:therefore|thus|hence|most|likely|probably|definitely|clearly|indeed|simply|the|option|"
    r"choice|letter|answer)\b|\\(?:boxed|text|textbf|mathrm|mathbf)\b|\\[(\[]|[{(\[<]){0,40}"
)
_LETTER = r"(?P<letter>[A-Za-z])(?![^\W_])(?![-'’][^\W_])"
_CAPITAL = r"(?P<letter>[A-Z])(?![^\W_])(?![-'’][^\W_])"
_NOUN = r"(?:answer|option|choice)"
_EXPLICIT = tuple(
    re.compile(pattern)
    for pattern in (
        rf"(?i:{_LEAD}{_VERB}{_FILLER}){_LETTER}",
        rf"(?i:{_LEAD})[\s:]*(?:[(\[]|\*\*[(\[]?){_LETTER}",
        rf"(?i:\bchoose\s+the\s+answer,?\s*)[(\[*]*{_LETTER}",
        rf"(?im:\banswer[*_#:\s]{{0,40}}\n[\s*_(\[]{{0,40}}){_LETTER}(?m:[\s*_)\].]*$)",
        rf"\\boxed\s*\{{\s*(?:\\(?:text|textbf|mathrm|mathbf)\s*\{{)?\s*[(\[]?{_LETTER}[)\]]?\s*\}}",
        rf"(?<![^\W_])(?<!['’]){_CAPITAL}[)\]\"*.]*\s+(?:is|would\s+be)\s+(?:the\s+)?(?:correct|right|best)\s+{_NOUN}\b",
        rf"(?i:\b{_NOUN})\s+[(\[\"*]*{_CAPITAL}[)\]\"*]*\s+is\s+(?:correct|right|the\s+(?:correct|right|best|answer))\b",
        rf"[(\[]{_CAPITAL}[)\]]\s+is\s+(?:correct|right|the\s+(?:correct|right|best|answer))\b",
    )
)
_CHOICE = (
    re.compile(
        rf"(?i:\b(?:choose|select|pick|chose|selected|picked|go\s+with|opt\s+for)\s+(?:the\s+)?(?:{_NOUN}|letter)?[\s,:]*)"
        rf"[(\[\"*]*{_CAPITAL}"
    ),
)
_BARE = (
    re.compile(rf"(?:\A|\n)[\s*_(\[\"']{{0,40}}{_LETTER}[\s*_)\].\"']*\Z"),
    re.compile(rf"\A\s*[(\[*]*{_CAPITAL}[)\].:*]+[ \t]+[^\n]*\Z"),
)
_KINDS = (_EXPLICIT, _CHOICE, _BARE)
_FOLLOWERS = frozenset(["because", "since", "as", "and", "so", "which", "given", "due", "for"])
_NEXT_WORD = re.compile(r"\s+([^\W\d_]+)")
_ALTERNATIVE_AFTER = re.compile(
    r"[)\]*]*\s*(?:/|\bor\b|\band\b|&)\s*(?:option\s+)?[(\[*]*(?P<letter>[A-Z])(?![^\W_])"
    r"|[)\]*]*,\s*[(\[*]*(?P<listed>[A-Z])[)\]*]*(?:,|\s+and\b|\s+or\b|\.|\s*\Z)"
)
_ALTERNATIVE_BEFORE = re.compile(r"(?:/|\bor|\band|&|\bnor|\bneither|\bnot|n't)\s*[(\[\"*]*\Z", re.IGNORECASE)
_NEGATION_BEFORE = re.compile(
    r"(?:\bnot|n['’]t|\bnever|\bcannot)\s+(?:(?:think|believe|say|mean|true|that|claim|because|sure|if|be|to)\s+)*"
    r"(?:(?:the|my|a)\s+)?(?:(?:final|correct|right|best|only)\s+)*\Z",
    re.IGNORECASE,
)

_TABLE10 = tuple(
    re.compile(pattern)
    for pattern in (
        r"(?i)answer is \(([A-Z])",
        r"(?i)answer is ([A-Z])\.",
        r"(?i)answer:\s?([a-z])",
        r"(?i)([A-Z]) is the correct",
        r"(?i)^\(?([A-Z])\)?$",
        r"(?i)answer is the option ([A-Z])",
        r"(?i)choose the answer,\s?([a-z])",
    )
)
"""Table 10 as printed, in its order; its 6th and 7th rows are unreadable in print and rebuilt from their
example."""

_FREE = re.compile(
    rf"(?i:\banswer{_VERB})[\s:*_`$]*"
    r"|\\boxed\s*\{(?P<boxed>[^{}\n]+)\}"
)
_WRAPPED = re.compile(r"\\(?:boxed|text|textbf|mathrm|mathbf)\s*\{([^{}]*)\}")


def parse_answer(response: str, *, letters: Sequence[str], mode: Mode = "ordered") -> ParsedAnswer:
    """The letter that a multiple-choice response settles on; `letters` are this sample's own options."""
    if mode == "table10":
        return _parse_table10(response, letters=letters)
    for patterns in _KINDS:
        found = [
            (match.start("letter"), match["letter"].upper(), match.start())
            for pattern in patterns
            for match in pattern.finditer(response)
            if _is_valid(response, match, letters=letters)
        ]
        if found:
            answer = max(found)[1]
            first = min(begin for _, letter, begin in found if letter == answer)
            return ParsedAnswer(answer, _sentence_start(response, first))
    return _NOTHING


def parse_free_answer(response: str) -> ParsedAnswer:
    """The text that a free-form response settles on: what follows the last "answer is" or "Answer:", to the
    sentence's end.

    A response of one line and at most three words without such a phrase is itself the answer.
    """
    found = []
    ends = [*sentence_starts(response), len(response)]
    for match in _FREE.finditer(response):
        text = _clean_free(match["boxed"] or _rest_of_sentence(response, match.end(), ends=ends))
        negated = re.match(r"(?:not|never)\b", text, re.IGNORECASE) or _is_negated(response, match.start())
        if re.search(r"\w", text) and not negated:
            found.append((text, match.start()))
    if found:
        answer = found[-1][0]
        first = min(begin for text, begin in found if text.lower() == answer.lower())
        return ParsedAnswer(answer, _sentence_start(response, first))
    bare = response.strip()
    if (
        "\n" not in bare
        and 1 <= len(bare.split()) <= 3
        and not re.match(r"(?:the\s+)?answer\b|not\b", bare, re.IGNORECASE)
    ):
        text = _clean_free(bare)
        return ParsedAnswer(text, 0) if re.search(r"\w", text) else _NOTHING
    return _NOTHING


def _parse_table10(response: str, *, letters: Sequence[str]) -> ParsedAnswer:
    """The first pattern of the paper's table that matches decides; a letter outside the options gives
    None."""
    for pattern in _TABLE10:
        match = pattern.search(response)
        if match:
            letter = match.group(1).upper()
            return ParsedAnswer(letter, _sentence_start(response, match.start())) if letter in letters else _NOTHING
    return _NOTHING


def _is_valid(text: str, match: re.Match[str], *, letters: Sequence[str]) -> bool:
    """See the module's docstring."""
    letter, begin, end = match["letter"], match.start("letter"), match.end("letter")
    before = text[max(0, begin - _REACH) : begin]
    if letter.upper() not in letters or _is_negated(text, match.start()):
        return False
    if re.search(r"[^\W_]['’]\Z", before) or _ALTERNATIVE_BEFORE.search(before):
        return False
    after = _ALTERNATIVE_AFTER.match(text, end)
    if after and (after["letter"] or after["listed"]) in letters:
        return False
    if match.end() > end and re.match(r"\s+(?:is|would)\b", text[end : end + _REACH]):
        return True
    return not _is_word(letter, text=text, end=end)


def _is_word(letter: str, *, text: str, end: int) -> bool:
    """Whether a lone letter is the article (or the pronoun) rather than an option."""
    if letter.upper() not in ("A", "I"):
        return False
    follower = _NEXT_WORD.match(text, end)
    if not follower or "\n" in follower.group() or follower.group(1).lower() in _FOLLOWERS:
        return False
    return letter.islower() or follower.group(1)[0].islower()


def _is_negated(text: str, offset: int) -> bool:
    return _NEGATION_BEFORE.search(text[max(0, offset - _REACH) : offset]) is not None


def _sentence_start(text: str, offset: int) -> int:
    starts = sentence_starts(text)
    return starts[bisect_right(starts, offset) - 1]


def _rest_of_sentence(text: str, offset: int, *, ends: Sequence[int]) -> str:
    return text[offset : ends[bisect_right(ends, offset) if offset < len(text) else -1]]


def _clean_free(text: str) -> str:
    """Without mark-up, quotes and the full stop."""
    text = _WRAPPED.sub(r"\1", text).strip(" \t*_`\"'“”‘’$:#")
    return text.rstrip(".!?, \t*_`\"'“”‘’$").strip()
