"""What a scan will cost, and therefore which one to take.

The skip scan asks for a part of the prefixes, one after the other; the full scan asks for all of them at once. With a
price per token alone the skip scan is never dearer, even where the server keeps prefixes: its first probe is one of
the longest prompts, and the shorter ones are then in the cache. The full scan wins where waiting for a round has a
price, or where one pass reads all prefixes (a local teacher).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

from pydantic import Field

from errata.tools.locate.curves import scan_steps
from errata.tools.records import Record


class ScanCost(Record):
    """Prices in new prompt tokens (words are counted for tokens)."""

    cached_price: float = Field(default=1.0, ge=0, le=1)
    """Price of a token that the server still has from an earlier prompt, over that of a new one; 1 is no cache."""
    call_tokens: float = Field(default=0.0, ge=0)
    """What a call costs beside its prompt: the reply, the instruction."""
    round_tokens: float = Field(default=0.0, ge=0)
    """What waiting for one more round of calls is worth, per error."""


def choose_scan(
    rationales: Sequence[Sequence[str]],
    *,
    heads: Sequence[str],
    window: int,
    strict: bool,
    cost: ScanCost,
    packed: bool,
) -> Literal["skip", "full"]:
    """The cheaper scan over all rationales, forecast before anything is asked; `heads` are the texts before the steps.

    The skip scan is played on a clean switch at every place, and on none, and the mean is taken.
    """
    skip = full = 0.0
    for steps, head in zip(rationales, heads, strict=True):
        sizes = _prompt_sizes(steps, head=head)
        full += _price([list(range(len(sizes)))], sizes=sizes, cost=cost, packed=packed)
        played = clean_probes(len(steps), window=window, strict=strict)
        rounds = [_price([[i] for i in probes], sizes=sizes, cost=cost, packed=packed) for probes in played]
        skip += sum(rounds) / len(rounds)
    return "full" if full < skip else "skip"


@lru_cache(maxsize=4096)
def clean_probes(length: int, *, window: int, strict: bool) -> tuple[tuple[int, ...], ...]:
    """The prefixes that the skip scan asks for, in order, when the curve rises once at 1..`length`, or never."""
    played = []
    for rise in range(1, length + 2):
        scan, probes = scan_steps(length, delta=0.5, window=window, strict=strict), []
        wanted = next(scan)
        while True:
            probes.append(wanted)
            try:
                wanted = scan.send(1.0 if wanted >= rise else -1.0)
            except StopIteration:
                break
        played.append(tuple(probes))
    return tuple(played)


def _prompt_sizes(steps: Sequence[str], *, head: str) -> list[int]:
    """Words of the prompt after 0..T steps."""
    sizes = [len(head.split())]
    for step in steps:
        sizes.append(sizes[-1] + len(step.split()))
    return sizes


def _price(rounds: Sequence[Sequence[int]], *, sizes: Sequence[int], cost: ScanCost, packed: bool) -> float:
    """Rounds of prefixes to tokens; within a round and over rounds a prompt finds in the cache what was sent."""
    total, longest = 0.0, 0
    for prefixes in rounds:
        total += cost.round_tokens
        if packed:
            total += sizes[max(prefixes)] + len(prefixes) + cost.call_tokens
            continue
        for prefix in prefixes:
            kept = min(sizes[prefix], longest)
            total += sizes[prefix] - kept + cost.cached_price * kept + cost.call_tokens
            longest = max(longest, sizes[prefix])
    return total
