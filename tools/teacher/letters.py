"""The probability of every option letter at the answer position of a reply (P1 3.3; methods, section 2)."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from errata.tools.teacher.endpoint import ChatReply, TokenChoice
from errata.tools.teacher.protocol import OptionReply

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


class Weights(NamedTuple):
    """What one position of a reply says about the letters."""

    place: int
    letters: dict[str, float]
    """Probability of each letter that is in the top list, its surface forms summed."""
    returned: list[float]
    """Probabilities of the whole list."""


def weigh_letters(reply: ChatReply, letters: Sequence[str]) -> Weights | None:
    """The letters at the answer position; None where the reply has none."""
    place = find_answer_position(reply.top, letters)
    if place is None:
        return None
    weights: dict[str, float] = {}
    returned = [math.exp(choice.logprob) for choice in reply.top[place]]
    for choice, weight in zip(reply.top[place], returned, strict=True):
        letter = letter_of(choice.token, letters)
        if letter is not None:
            weights[letter] = weights.get(letter, 0.0) + weight
    return Weights(place, weights, returned)


def missing_letters(reply: ChatReply, letters: Sequence[str]) -> list[str]:
    """Letters that the top list at the answer position lacks; none where there is no such position."""
    found = weigh_letters(reply, letters)
    return [] if found is None else [letter for letter in letters if letter not in found.letters]


def begin_with(reply: ChatReply, letters: Sequence[str], letter: str) -> str:
    """The reply up to its answer, with `letter` in the place of the one that the model chose, in the same form.

    Raises ValueError for a reply without an answer position.
    """
    place = find_answer_position(reply.top, letters)
    if place is None:
        raise ValueError("the reply has no answer position")
    chosen = reply.top[place][0].token
    bare = chosen.strip(_AROUND)
    put = chosen.replace(bare, letter if bare.isupper() else letter.lower())
    text = "".join(choices[0].token for choices in reply.top[:place]) + put
    return text.replace("\u2581", " ").replace("\u0120", " ")


def read_options(reply: ChatReply, letters: Sequence[str], *, forced: Mapping[str, float] | None = None) -> OptionReply:
    """Renormalised over the options, with the raw mass.

    A letter that is missing from the top list and not `forced` (read by itself, as a probability) can have at most
    the smallest probability that was returned, and at most what all known ones leave: it stands as 0 with that as
    its `high`, never as 0 alone. Without an answer position the mass is 0, so that the prefix counts as unscored.
    """
    even = tuple(1 / len(letters) for _ in letters)
    found = weigh_letters(reply, letters)
    if found is None:
        return OptionReply(probabilities=even, mass=0.0)
    apart = {letter: p for letter, p in (forced or {}).items() if letter not in found.letters}
    weights = {letter: found.letters.get(letter, apart.get(letter, 0.0)) for letter in letters}
    total = sum(weights.values())
    if total <= 0:
        return OptionReply(probabilities=even, mass=0.0)
    mass = min(1.0, total)
    room = max(0.0, min(min(found.returned), 1 - sum(found.returned) - sum(apart.values())))
    missing = [letter for letter in letters if letter not in found.letters and letter not in apart]
    probabilities = tuple(weights[letter] / total for letter in letters)
    if not missing or room == 0:
        return OptionReply(probabilities=probabilities, mass=mass)
    low = tuple(weights[letter] / (total + room * len(missing)) for letter in letters)
    high = tuple(room / (total + room) if letter in missing else weights[letter] / total for letter in letters)
    return OptionReply(probabilities=probabilities, mass=mass, low=low, high=high)
