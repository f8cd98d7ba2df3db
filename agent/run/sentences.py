"""A run's result as sentences, and its figures as text."""

from __future__ import annotations

from collections.abc import Iterable

from errata.agent.run.outcome import Outcome
from errata.tools.records import Interval, Problem, Scorecard, Split


def chance_of(problems: Iterable[Problem]) -> float | None:
    """Expected accuracy of guessing among the choices; free-form questions count 0. None without problems."""
    shares = [1 / len(p.choices) if p.choices else 0.0 for p in problems]
    return sum(shares) / len(shares) if shares else None


def percent(value: float, *, sign: bool = False) -> str:
    """`0.4567` as `45.7 %`; with `sign` as points, `+45.7`."""
    return f"{100 * value:+.1f}" if sign else f"{100 * value:.1f} %"


def spread(interval: Interval) -> str:
    """An accuracy with its 95 % interval."""
    return f"{percent(interval.value)} ({100 * interval.low:.1f} to {100 * interval.high:.1f})"


def verdict(outcome: Outcome, *, chance: float | None) -> list[str]:
    """The result in plain sentences, bad news included."""
    split = outcome.final_split
    before, after = outcome.scorecard(outcome.base, split), outcome.scorecard(outcome.best, split)
    if before is None:
        return ["Nothing has been measured yet."]
    if outcome.best == outcome.base or after is None:
        said = [
            f"No checkpoint was accepted, so the base student stands: {spread(before.accuracy)} on the "
            f"{before.total} {split} questions."
        ]
        after = before
    else:
        said = [_gain_sentence(outcome, before, after, split)]
    if chance is not None and after.accuracy.low <= chance:
        said.append(chance_sentence(after, chance))
    return said


def chance_sentence(card: Scorecard, chance: float) -> str:
    """What an accuracy that is not above chance means."""
    bounds = f"interval ({100 * card.accuracy.low:.1f} to {100 * card.accuracy.high:.1f})"
    guess = f"guessing among the choices would give {percent(chance)}"
    if card.accuracy.high >= chance:
        return f"This is near chance: {guess}, which the {bounds} does not exclude."
    unread = f"{card.format_errors} of {card.total} answers could not be read and count as wrong"
    return f"This is below chance: {guess}, above the whole {bounds}; {unread}."


def _gain_sentence(outcome: Outcome, before: Scorecard, after: Scorecard, split: Split) -> str:
    pairs = [c for c in outcome.comparisons if c.split == split]
    pair = next((c for c in pairs if (c.before, c.after) == (outcome.base, outcome.best)), None)
    values = f"from {percent(before.accuracy.value)} to {percent(after.accuracy.value)}"
    where = f"on the {after.total} {split} questions"
    if pair is None:
        return f"Accuracy went {values} {where}."
    bounds = f"{100 * pair.gain.low:+.1f} to {100 * pair.gain.high:+.1f}"
    gain = f"{percent(pair.gain.value, sign=True)} points, 95 % interval {bounds}"
    if pair.gain.low > 0:
        return f"Accuracy rose {values} {where} ({gain})."
    if pair.gain.high < 0:
        return f"Accuracy fell {values} {where} ({gain})."
    return f"The gain is within noise: accuracy went {values} {where} ({gain})."
