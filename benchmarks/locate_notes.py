"""What the table of benchmarks/locate.py says below its rows; every figure is counted from what it is given."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

from errata.tools.locate.metrics import is_located
from errata.tools.locate.noise import PUBLISHED, SwitchRates
from errata.tools.records import Mistake

OURS = "answer_switch"
ORDER = ("random_step", "per_step", "pseudo_rationale", "answer_switch")
"""The paper's order, from worst to best."""


SIGHT = (
    "Starts: gold ahead before any step; shifts: started so, and the wrong answer ahead after all steps. Picture "
    "shown: the symbolic teacher reads each perception right with its reliability and weighs what it saw against what "
    "the step says. The method withholds the picture (P1 3.3): a request for option probabilities carries none, and a "
    "teacher is shown the pictures beside its requests. The language model has no eyes."
)


class Compared(NamedTuple):
    """All methods with one teacher."""

    teacher: str
    mistakes: dict[str, list[Mistake]]
    scores: dict[str, dict[str, Any]]
    rows: list[list[object]]


def show(interval: Any) -> str:
    """`0.65 (0.61 to 0.69)`."""
    return f"{interval.value:.3f} ({interval.low:.3f} to {interval.high:.3f})"


def explain_order(first: Compared, exact: Compared, *, gold: Mapping[str, int], kinds: Mapping[str, str]) -> list[str]:
    """Whether the paper's order came out, and what the errors say about it; every figure is counted here."""
    accuracy = {name: first.scores[name]["accuracy"] for name in ORDER}
    shown = ", ".join(f"{name} {value:.3f}" for name, value in sorted(accuracy.items(), key=lambda item: item[1]))
    lines = [f"Order by accuracy at calibrated noise: {shown}."]
    if is_paper_order(first):
        return [*lines, "It is the paper's order."]
    late = [m for m in exact.mistakes[OURS] if 0 <= gold[m.attempt] < m.step]
    following = sum(m.step == gold[m.attempt] + 1 for m in late)
    still = [m for m in first.mistakes[OURS] if m.status != "found"]
    rules = sum(kind == "broken rule" for kind in kinds.values()) / len(kinds)
    return [
        *lines,
        "It is not the paper's order. (1) Without any noise answer switch has "
        f"{exact.scores[OURS]['accuracy']:.3f}: in "
        f"{len(late) / len(kinds):.0%} of the errors the answer switches after the first false claim, {following} of "
        f"{len(late)} times at the very next step, because that claim by itself moves no option (a wrong mirror cell "
        "does so only once the cell is read). Recall@3, which forgives this, is "
        f"{exact.scores[OURS]['recall3']:.3f}. (2) At calibrated noise {len(still) / len(kinds):.0%} of the errors "
        f"have no switch at all; the published shifting rates demand that. (3) {rules:.0%} of the first false claims "
        "are rules that their stated inputs refute. The symbolic teacher knows every rule exactly, so that asking "
        "about steps outright finds these without a picture; the paper's model instead marked steps as wrong that "
        "could merely not be inferred. Accuracy by kind of error, calibrated noise:",
        "",
        *kind_lines(first, gold=gold, kinds=kinds),
    ]


def kind_lines(compared: Compared, *, gold: Mapping[str, int], kinds: Mapping[str, str]) -> list[str]:
    """Accuracy of each method by kind of error, as a table."""
    names = sorted(set(kinds.values()))
    totals = Counter(kinds.values())
    lines = ["| method | " + " | ".join(f"{n} ({totals[n]})" for n in names) + " |", "|---|" + "---|" * len(names)]
    for method in (*ORDER, "teacher_says"):
        hits = Counter(kinds[m.attempt] for m in compared.mistakes[method] if is_located(m.step, gold=gold[m.attempt]))
        lines.append(f"| {method} | " + " | ".join(f"{hits[n] / totals[n]:.3f}" for n in names) + " |")
    return [*lines, ""]


def is_paper_order(compared: Compared) -> bool:
    """Random step, per step, pseudo rationale, answer switch, from worst to best."""
    accuracies = [compared.scores[name]["accuracy"] for name in ORDER]
    return accuracies == sorted(accuracies)


def silence_lines(compared: Mapping[str, Compared]) -> list[str]:
    """How often the language model finds fault with any step when it is asked outright."""
    if "local language model" not in compared:
        return []
    scores = compared["local language model"].scores
    found = {name: scores[name]["statuses"].get("found", 0) for name in ("per_step", "teacher_says")}
    return [
        f"Asked outright, the language model finds fault with a step in {found['per_step']} (per step) and "
        f"{found['teacher_says']} (teacher says) errors: most steps that it was trained on are right, and right is "
        "what it calls them; only through the answers does it show which step moved it."
    ]


def grid_lines(grids: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The best cell of each grid, and where the heat maps lie."""
    lines = ["| windows, steps | errors | best delta | best lambda | best accuracy | at 0.2 and 12 |"]
    lines.append("|---|---|---|---|---|---|")
    for name, g in grids.items():
        cell = f"{g['delta']:.1f} | {g['lambda']} | {g['accuracy']:.3f} | {g['default']:.3f}"
        lines.append(f"| {name} | {g['errors']} | {cell} |")
    return [*lines, "", "Heat maps: docs/tables/locate-grid-*.svg (chosen on the labels that they show).", ""]


def rate_lines(rates: Mapping[str, SwitchRates], *, seeing: Mapping[str, SwitchRates]) -> list[str]:
    """Starting and shifting rates, with the prior stated and not, with the picture withheld and shown."""
    head = "| teacher | picture | starts right, prior | shifts, prior | starts right, none | shifts, none |"
    lines = ["", head, "|---|---|---|---|---|---|"]
    rows = [("the paper's", "withheld", PUBLISHED)]
    for name, found in rates.items():
        rows += [(name, "withheld", found), *([(name, "shown", seeing[name])] if name in seeing else [])]
    lines += [f"| {name} | {how} | " + " | ".join(f"{rate:.3f}" for rate in r) + " |" for name, how, r in rows]
    return [*lines, "", SIGHT, ""]
