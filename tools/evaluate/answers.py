"""Read the answer out of a student's response (P1 3.2, appendix A).

The paper's table of formats (mode `table10`) cannot parse its own "The final answer is option A", and being
case-blind it reads "Answer: the magnets" as T. The mode `ordered` first sets the thought of a reasoning model aside
(`errata.tools.thought`) and takes what an answer tag encloses, if there is one. It then tries patterns from the most
explicit to the barest (`answer_patterns`); the first kind with a valid match decides, and of its valid matches the
last one in the text. A match is valid when

- the letter is one of this sample's own options and no letter, apostrophe or hyphen with a letter follows it;
- it is not negated ("is not (A)", "I do not think the answer is A") and not asked ("The answer is A? No");
- it is not one of several ("A/B/C/D/E", "B or C", "A and B");
- it is not a word: a lone "A" (and "I") before a lower-case word is one unless the word is because, since,
  as, and, so, which, given, due or for. A small "a" before any other word is one, capital or not.

Where no letter is stated, the option's own text counts as its letter when it fits exactly one (`option_text`).
Nothing valid gives None: a format error, counted as wrong, and never the first option.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from typing import Literal, NamedTuple

from errata.tools.evaluate.answer_patterns import (
    ALIKE,
    BARE,
    CHOSEN,
    CORRECTED,
    EXPLICIT,
    LEAD,
    WIDE,
    latin_letter,
)
from errata.tools.evaluate.option_text import find_only, match_option, plain
from errata.tools.steps import sentence_starts
from errata.tools.thought import part_thought

Mode = Literal["ordered", "table10"]
PARSER_VERSION = "2"
"""Changes whenever any response may be read differently: stored answers are then parsed anew, and not asked anew."""


class ParsedAnswer(NamedTuple):
    """`start` is the offset of the first sentence that states the parsed answer: it and all after are no steps."""

    answer: str | None
    start: int | None
    thought: str = ""
    """What a reasoning model thought before it spoke."""
    finished: bool = True
    """False for a response that was cut inside its thought."""

    def rationale(self, response: str) -> str:
        """What is split into steps: the thought, or without one all that stands before the answer."""
        return self.thought or (response if self.start is None else response[: self.start])


_NOTHING = ParsedAnswer(None, None)
_REACH = 100
"""How many characters around a match are looked at for a negation."""
_SHORT, _LINE = 2, 100
"""A response of at most so many times the length of its options, or of so many characters, is read for the only option
that stands in it."""
_FOLLOWERS = frozenset(["because", "since", "as", "and", "so", "which", "given", "due", "for"])
_NEXT_WORD = re.compile(r"\s+([^\W\d_]+)")
_ALTERNATIVE_AFTER = re.compile(
    r"[)\]*]*\s*(?:/|\bor\b|\band\b|&)\s*(?:option\s+)?[(\[*]*(?P<letter>[A-Z])(?![^\W_])"
    r"|[)\]*]*,\s*[(\[*]*(?P<listed>[A-Z])[)\]*]*(?:,|\s+and\b|\s+or\b|\.|\s*\Z)"
    r"|[)\]*]*\s*(?:和|或|与|及|、|또는|または)\s*[(\[*]*(?P<joined>[A-Z])(?![A-Za-z0-9])"
)
_ALTERNATIVE_BEFORE = re.compile(
    r"(?:/|\bor|\band|&|\bnor|\bneither|\bnot|n't|不|非|和|或)\s*[(\[\"*]*\Z", re.IGNORECASE
)
_NEGATION_BEFORE = re.compile(
    r"(?:\bnot|n['’]t|\bnever|\bcannot)\s+(?:(?:think|believe|say|mean|true|that|claim|because|sure|if|be|to)\s+)*"
    r"(?:(?:the|my|a)\s+)?(?:(?:final|correct|right|best|only)\s+)*\Z|(?:不|没有|別|别)\Z",
    re.IGNORECASE,
)
_ASKED = re.compile(r"[)\]\"*_'”’]*\s*\?")
_NOT_SAID = re.compile(
    r"<\|(?!begin_of_box|end_of_box)[^|<>\s]{1,40}\|>|</?s>|<(?:start|end)_of_turn>|<(?:eos|bos|pad)>|<end_of_utterance>"
)
"""Marks of chat templates, which a decoder may leave in."""
_TAGGED = re.compile(
    r"<(?P<tag>answer|final_answer|finalanswer|final answer|conclusion|response|ans)>(?P<said>.*?)(?:</(?P=tag)>|\Z)"
    r"|\[(?P<mark>ANSWER|FINAL ANSWER)\](?P<marked>.*?)(?:\[/(?P=mark)\]|\Z)"
    r"|<\|begin_of_box\|>(?P<boxed>.*?)<\|end_of_box\|>"
    r"|\[BEGIN FINAL RESPONSE\](?P<final>.*?)(?:\[END FINAL RESPONSE\]|\Z)",
    re.IGNORECASE | re.DOTALL,
)
_NEGATED_AFTER = re.compile(
    r"[)\]\"*]*\s+(?:is|was|are)\s+(?:not|wrong|incorrect|false)\b|[)\]\"*]*\s+(?:isn|wasn)['’]t\b"
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
    r"(?i:\banswer[\s*_`\"'”]*(?::|=|–|-(?!\w)|\b(?:is|was|are|would\s+be|should\s+be|must\s+be|will\s+be|to\s+be)\b))[\s:*_`$]*"
    r"|\\boxed\s*\{(?P<boxed>[^{}\n]+)\}"
)
_WRAPPED = re.compile(r"\\(?:boxed|text|textbf|mathrm|mathbf)\s*\{([^{}]*)\}")


def parse_answer(
    response: str, *, letters: Sequence[str], choices: Sequence[str] = (), mode: Mode = "ordered"
) -> ParsedAnswer:
    """The letter that a multiple-choice response settles on; `letters` are this sample's own options.

    `choices`: their texts, in the same order; without them a letter alone is an answer.
    """
    if mode == "table10":
        return _parse_table10(response, letters=letters)
    parted = part_thought(response)
    if not parted.finished:
        return ParsedAnswer(None, None, parted.thought, finished=False)
    said = _NOT_SAID.sub(lambda mark: " " * len(mark.group()), response[parted.said_from :].translate(WIDE))
    found = _read_tag(said, letters=letters, choices=choices) or _read_said(said, letters=letters, choices=choices)
    if found is None:
        return ParsedAnswer(None, None, parted.thought)
    letter, place = found
    return ParsedAnswer(letter, _sentence_start(response, parted.said_from + place), parted.thought)


def _read_tag(said: str, *, letters: Sequence[str], choices: Sequence[str]) -> tuple[str, int] | None:
    """What the last answer tag with any content encloses."""
    tags = [tag for tag in _TAGGED.finditer(said) if _inside(tag)[0].strip()]
    if not tags:
        return None
    text, begin = _inside(tags[-1])
    found = _read_said(text, letters=letters, choices=choices)
    if found is None and choices and (place := match_option(text, choices)) is not None:
        return letters[place], tags[-1].start()
    return (found[0], tags[-1].start()) if found and begin >= 0 else None


def _inside(tag: re.Match[str]) -> tuple[str, int]:
    group = next(name for name in ("said", "marked", "boxed", "final") if tag[name] is not None)
    return tag[group], tag.start(group)


def _read_said(said: str, *, letters: Sequence[str], choices: Sequence[str]) -> tuple[str, int] | None:
    """Letter and place: by the most explicit kind of statement that is there."""
    for patterns in (EXPLICIT + CORRECTED, None, CHOSEN, BARE):
        if patterns is None:
            found = _read_stated_text(said, letters=letters, choices=choices)
        else:
            found = _read_letter(said, patterns, letters=letters)
        if found is not None:
            return found
    return _read_bare_text(said, letters=letters, choices=choices)


def _read_letter(said: str, patterns: Sequence[re.Pattern[str]], *, letters: Sequence[str]) -> tuple[str, int] | None:
    """The last valid letter of these patterns, and where it is first stated."""
    found = [
        (match.start("letter"), match["letter"].upper(), match.start())
        for text in dict.fromkeys((said, ALIKE.sub(latin_letter, said)))
        for pattern in patterns
        for match in pattern.finditer(text)
        if _is_valid(text, match, letters=letters, corrects=pattern in CORRECTED)
    ]
    if not found:
        return None
    answer = max(found)[1]
    return answer, min(begin for _, letter, begin in found if letter == answer)


def _read_stated_text(said: str, *, letters: Sequence[str], choices: Sequence[str]) -> tuple[str, int] | None:
    """The option that the last statement of an answer names in words: "The answer is repel."."""
    if not choices:
        return None
    ends, found = [*sentence_starts(said), len(said)], []
    boxes = ((m["boxed"], m.start()) for m in _FREE.finditer(said) if m["boxed"])
    stated = ((_rest_of_sentence(said, m.end(), ends=ends), m.start()) for m in LEAD.finditer(said))
    for text, begin in (*stated, *boxes):
        negated = re.match(r"\s*(?:not|never)\b", text, re.IGNORECASE) or _is_negated(said, begin)
        place = None if negated or text.rstrip().endswith("?") else match_option(text, choices)
        if place is not None:
            found.append((begin, letters[place]))
    if not found:
        return None
    answer = max(found)[1]
    return answer, min(begin for begin, letter in found if letter == answer)


def _read_bare_text(said: str, *, letters: Sequence[str], choices: Sequence[str]) -> tuple[str, int] | None:
    """The option that a short response, or its last line, is or alone holds."""
    if not choices or not said.strip():
        return None
    short = len(said.strip()) <= max(_LINE, _SHORT * sum(map(len, choices)))
    place = match_option(said, choices) if short and len(said.split()) <= 3 else None
    place = find_only(said, choices) if place is None and short else place
    if place is not None:
        return letters[place], max(0, said.lower().rfind(plain(choices[place])))
    last = said.rstrip().rfind("\n") + 1
    marked = re.fullmatch(r"[\s*_(\[#>-]*([A-Z])[)\].:]+\s*(.+)", said[last:].rstrip())
    if marked and marked[1] in letters and plain(choices[letters.index(marked[1])]) == plain(marked[2]):
        return marked[1], last
    same = [i for i, choice in enumerate(choices) if plain(choice) == plain(said[last:])]
    if len(same) == 1:
        return letters[same[0]], last
    opening = re.match(r"\s*[*_\"']*(yes|no|true|false)\b", said, re.IGNORECASE)
    named = [i for i, choice in enumerate(choices) if opening and choice.strip().lower() == opening[1].lower()]
    return (letters[named[0]], 0) if len(named) == 1 else None


def parse_free_answer(response: str) -> ParsedAnswer:
    """The text that a free-form response settles on: what an answer tag encloses, or what follows the last "answer is"
    or "Answer:", to the sentence's end.

    A response of one line and at most three words without such a phrase is itself the answer.
    """
    parted = part_thought(response)
    if not parted.finished:
        return ParsedAnswer(None, None, parted.thought, finished=False)
    said = _NOT_SAID.sub(lambda mark: " " * len(mark.group()), response[parted.said_from :])
    tags = [tag for tag in _TAGGED.finditer(said) if _inside(tag)[0].strip()]
    found = _read_free(_inside(tags[-1])[0]) if tags else _read_free(said)
    begin = tags[-1].start() if tags else found[1] if found else 0
    if found is None and tags:
        found = _clean_free(_inside(tags[-1])[0]), begin
    if found is None or not re.search(r"\w", found[0]):
        return ParsedAnswer(None, None, parted.thought)
    return ParsedAnswer(found[0], _sentence_start(response, parted.said_from + begin), parted.thought)


def _read_free(said: str) -> tuple[str, int] | None:
    """An answer in words and where it is first stated."""
    found = []
    ends = [*sentence_starts(said), len(said)]
    for match in _FREE.finditer(said):
        text = _clean_free(match["boxed"] or _rest_of_sentence(said, match.end(), ends=ends))
        negated = re.match(r"(?:not|never)\b", text, re.IGNORECASE) or _is_negated(said, match.start())
        if re.search(r"\w", text) and not negated:
            found.append((text, match.start()))
    if found:
        answer = found[-1][0]
        return answer, min(begin for text, begin in found if text.lower() == answer.lower())
    bare = said.strip()
    if (
        "\n" not in bare
        and 1 <= len(bare.split()) <= 3
        and not re.match(r"(?:the\s+)?answer\b|not\b", bare, re.IGNORECASE)
    ):
        text = _clean_free(bare)
        return (text, 0) if re.search(r"\w", text) else None
    return None


def _parse_table10(response: str, *, letters: Sequence[str]) -> ParsedAnswer:
    """The first pattern of the paper's table that matches decides; a letter outside the options gives
    None."""
    for pattern in _TABLE10:
        match = pattern.search(response)
        if match:
            letter = match.group(1).upper()
            return ParsedAnswer(letter, _sentence_start(response, match.start())) if letter in letters else _NOTHING
    return _NOTHING


def _is_valid(text: str, match: re.Match[str], *, letters: Sequence[str], corrects: bool) -> bool:
    """See the module's docstring; in a correction the negation belongs to what was given up."""
    letter, begin, end = match["letter"], match.start("letter"), match.end("letter")
    before = text[max(0, begin - _REACH) : begin]
    if letter.upper() not in letters or (_is_negated(text, match.start()) and not corrects):
        return False
    if _ASKED.match(text, end) or _NEGATED_AFTER.match(text, end):
        return False
    if re.search(r"[^\W_]['’]\Z", before) or _ALTERNATIVE_BEFORE.search(before):
        return False
    after = _ALTERNATIVE_AFTER.match(text, end)
    if after and (after["letter"] or after["listed"] or after["joined"]) in letters:
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
