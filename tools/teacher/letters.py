"""The probability of every option letter at the answer position of a reply (P1 3.3; methods, section 2)."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from tools.teacher.endpoint import ChatReply, TokenChoice
from tools.teacher.protocol import OptionReply

_LEADS_IN = re.compile(r"(^|\b(answer|option|choice|is)\b|[:(])[\W_]*$", re.IGNORECASE)
"""What stands before the letter of an answer."""
_AROUND = " \t\n\u2581\u0120()[]{}*_.,:;'\"`\\"
"""Characters that a token may carry around a letter, the marks of two tokenizers for a space among them."""


def letter_of(token: str, letters: Sequence[str]) -> str | None:
    """The letter that a token is a surface form of: "A", " A", "(A", "a"."""
    bare = token.strip(_AROUND).upper()
    return bare if len(bare) == 1 and bare in letters else None


def find_answer_position(top: Sequence[Sequence[TokenChoice]], letters: Sequence[str]) -> int | None:
    """The first position whose chosen token is a letter of the options where an answer stands."""
    before = ""
    for place, choices in enumerate(top):
        token = choices[0].token
        if letter_of(token, letters) and _LEADS_IN.search(before) and not _is_article(top, place):
            return place
        before += token.replace("\u2581", " ").replace("\u0120", " ")
    return None


def _is_article(top: Sequence[Sequence[TokenChoice]], place: int) -> bool:
    """An "a" or "A" with a word behind it (as the parser of answers has it; methods, section 1)."""
    token = top[place][0].token.strip(_AROUND)
    following = top[place + 1][0].token if place + 1 < len(top) else ""
    return token in ("a", "A") and following.strip(_AROUND)[:1].islower()


def read_options(reply: ChatReply, letters: Sequence[str]) -> OptionReply:
    """Renormalised over the options, with the raw mass.

    A letter that is missing from the top list can have at most the smallest probability that was returned, and at
    most what all returned ones leave: it stands as 0 with that as its `high`, never as 0 alone. Without an answer
    position the mass is 0, so that the prefix counts as unscored.
    """
    place = find_answer_position(reply.top, letters)
    even = tuple(1 / len(letters) for _ in letters)
    if place is None:
        return OptionReply(probabilities=even, mass=0.0)
    weights = dict.fromkeys(letters, 0.0)
    returned = [math.exp(choice.logprob) for choice in reply.top[place]]
    seen = set()
    for choice, weight in zip(reply.top[place], returned, strict=True):
        letter = letter_of(choice.token, letters)
        if letter is not None:
            weights[letter] += weight
            seen.add(letter)
    mass = min(1.0, sum(weights.values()))
    if mass <= 0:
        return OptionReply(probabilities=even, mass=0.0)
    room = max(0.0, min(min(returned), 1 - sum(returned)))
    missing = [letter for letter in letters if letter not in seen]
    total = sum(weights.values())
    probabilities = tuple(weights[letter] / total for letter in letters)
    if not missing or room == 0:
        return OptionReply(probabilities=probabilities, mass=mass)
    low = tuple(weights[letter] / (total + room * len(missing)) for letter in letters)
    high = tuple(room / (total + room) if letter in missing else weights[letter] / total for letter in letters)
    return OptionReply(probabilities=probabilities, mass=mass, low=low, high=high)
