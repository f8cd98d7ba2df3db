"""The cost model: which scan is cheaper, and that its forecast of the skip scan is what the skip scan does."""

from __future__ import annotations

import pytest

from errata.tools.locate.cost import ScanCost, choose_scan, clean_probes
from errata.tools.locate.curves import skip_scan

STEPS = [tuple(f"Step {i} says some words." for i in range(length)) for length in (2, 5, 15)]


def choose(cost: ScanCost, *, packed: bool = False) -> str:
    heads = ["a question of seven words is here"] * len(STEPS)
    return choose_scan(STEPS, heads=heads, window=12, strict=False, cost=cost, packed=packed)


@pytest.mark.parametrize(
    ("cost", "packed", "chosen"),
    [
        (ScanCost(), False, "skip"),
        (ScanCost(cached_price=0.0), False, "skip"),
        (ScanCost(cached_price=0.1, call_tokens=5), False, "skip"),
        (ScanCost(cached_price=0.1, round_tokens=100), False, "full"),
        (ScanCost(round_tokens=1e6), False, "full"),
        (ScanCost(), True, "full"),
    ],
)
def test_the_cheaper_scan_is_chosen(cost: ScanCost, packed: bool, chosen: str) -> None:
    assert choose(cost, packed=packed) == chosen


@pytest.mark.parametrize("length", [1, 4, 20])
def test_the_forecast_plays_the_skip_scan_itself(length: int) -> None:
    played = clean_probes(length, window=12, strict=False)
    assert len(played) == length + 1
    for rise, probes in enumerate(played, start=1):
        asked: list[int] = []

        def probe(i: int, rise: int = rise, asked: list[int] = asked) -> float:
            asked.append(i)
            return 1.0 if i >= rise else -1.0

        found = skip_scan(probe, length=length, delta=0.2, window=12)
        assert tuple(asked) == probes
        assert found.prefix == (rise if rise <= length else -1)
