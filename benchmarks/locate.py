"""Where did it go wrong? Step location in the embedded world against the gold step, beside the rivals.

The base student answers fresh validation questions; every wrong rationale has its gold step by construction, in two
senses (first false claim; first claim whose correction flips the answer). The teacher sees text only. Four
teachers: the symbolic one with its noise fitted to the paper's rates (benchmarks/noise.py, on other problems), with its
default noise and without noise, and the tiny language model. `methods`, `lead` and `lead_low` are of the first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.counting import CountingTeacher
from benchmarks.errors import collect_errors
from benchmarks.locate_notes import (
    OURS,
    Compared,
    explain_order,
    grid_lines,
    is_paper_order,
    rate_lines,
    show,
    silence_lines,
)
from benchmarks.tables import TABLES, parse_arguments, write_table
from errata.tools.locate.answer_switch import SwitchOptions, ask_gaps
from errata.tools.locate.calibrate import Cell, add_cells, best_cell, score_cells
from errata.tools.locate.curves import Gap
from errata.tools.locate.metrics import location_lead, location_scores
from errata.tools.locate.noise import CALIBRATED, SwitchRates, simulate, switch_rates
from errata.tools.locate.plots import heat_map
from errata.tools.locate.rivals import METHODS
from errata.tools.records import Attempt, Interval, Problem
from errata.tools.teacher.local import SHIPPED, LocalTeacher, LocalTeacherOptions
from errata.tools.teacher.world import WorldTeacher, WorldTeacherOptions
from errata.tools.teacher.world_posterior import find_broken_rules
from errata.tools.world.check import align_claims, find_gold_steps, read_problem

FIRST, EXACT_NAME, LOCAL = "symbolic, calibrated", "symbolic, no noise", "local language model"
"""Teachers: the one of the comparison, one without noise, and the language model."""
FULL = f"{OURS} (full scan)"
COLUMNS = ("teacher", "method", "errors", "accuracy", "recall@3 {p-3..p}", "recall@3 {p-2..p}", "calls", "tokens")
EXACT = WorldTeacherOptions(start_noise=0.0, trust_noise=0.0)
LENGTHS = {"2-3": range(0, 4), "4-5": range(4, 6), "6+": range(6, 1000)}


class Measured(NamedTuple):
    """What one run of this script found; by id of the attempt, or by name of the teacher."""

    gold: dict[str, int]
    decisive: dict[str, int]
    kinds: dict[str, str]
    compared: dict[str, Compared]
    rates: dict[str, SwitchRates]
    seeing: dict[str, SwitchRates]
    """With the picture shown."""
    grids: dict[str, dict[str, Any]]


def compare_methods(
    name: str, teacher: Any, *, errors: list[Attempt], problems: Mapping[str, Problem], gold: Mapping[str, int]
) -> Compared:
    """Every method on the same errors, with calls and words counted."""
    kinds = [(method, method, SwitchOptions(scan="skip")) for method in METHODS]
    kinds.append((FULL, OURS, SwitchOptions(scan="full")))
    if name.startswith("symbolic"):
        kinds.append(("pseudo_rationale (picture shown)", "pseudo_rationale", SwitchOptions(picture=True)))
    compared = Compared(name, {}, {}, [])
    for label, method, options in sorted(kinds, key=lambda kind: kind[0]):
        counted = CountingTeacher(teacher)
        mistakes = METHODS[method](errors, problems=problems, teacher=counted, iteration=1, options=options)
        scores = location_scores(mistakes, gold=gold)
        compared.mistakes[label] = mistakes
        compared.scores[label] = {
            "accuracy": scores.accuracy.value,
            "recall3": scores.recall3_paper.value,
            "recall3_steps": scores.recall3_steps.value,
            "calls": counted.calls,
            "tokens": counted.words,
            "statuses": scores.statuses,
        }
        shown = [show(i) for i in (scores.accuracy, scores.recall3_paper, scores.recall3_steps)]
        compared.rows.append([name, label, scores.total, *shown, counted.calls, counted.words])
    return compared


def full_curves(errors: Sequence[Attempt], *, problems: Mapping[str, Problem], teacher: Any) -> list[list[Gap]]:
    """The gap after every prefix of every error."""
    asked = [(a, a.steps[:i]) for a in errors for i in range(len(a.steps) + 1)]
    gaps = iter(ask_gaps(asked, problems=problems, teacher=teacher, options=SwitchOptions()))
    return [[next(gaps) for _ in range(len(a.steps) + 1)] for a in errors]


def draw_grids(
    errors: Sequence[Attempt],
    curves: Sequence[Sequence[Gap]],
    *,
    gold: Mapping[str, int],
    folder: Path,
    quick: bool,
) -> dict[str, dict[str, Any]]:
    """Heat maps of delta and lambda by window rule and length of the rationale, where there are errors of it, and the
    best cell of each.
    """
    found: dict[str, dict[str, Any]] = {}
    for rule in ("truncated", "strict"):
        rows = score_cells(curves, gold=[gold[a.id] for a in errors], strict=rule == "strict")
        for length, steps in {"all": range(0, 1000), **LENGTHS}.items():
            chosen = [row for a, row in zip(errors, rows, strict=True) if len(a.steps) in steps]
            if not chosen:
                continue
            cells = add_cells(chosen)
            best, usual = best_cell(cells), next(c for c in cells if (c.delta, c.window) == (0.2, 12))
            found[f"{rule} {length}"] = _cell(best) | {"errors": best.total, "default": usual.accuracy}
            stem = f"locate{'.quick' if quick else ''}-grid-{rule}-{length.replace('+', '-up')}.svg"
            title = f"Step accuracy in %, {rule} windows, rationales of {length} steps, {best.total} errors"
            (folder / stem).write_text(heat_map(cells, title=title), encoding="utf-8")
    return found


def _cell(cell: Cell) -> dict[str, Any]:
    return {"delta": cell.delta, "lambda": cell.window, "accuracy": cell.accuracy}


def build_teachers(problems: Mapping[str, Problem], *, folder: Path) -> dict[str, Any]:
    """By name, the one of the comparison first; the language model where it was trained."""
    teachers: dict[str, Any] = {
        FIRST: simulate(CALIBRATED, problems=problems),
        "symbolic, default noise": WorldTeacher(),
        EXACT_NAME: WorldTeacher(EXACT),
    }
    if (folder / "config.json").is_file():
        teachers[LOCAL] = LocalTeacher(LocalTeacherOptions(folder=str(folder)))
    return teachers


def kinds_of_error(
    errors: Sequence[Attempt], *, problems: Mapping[str, Problem], gold: Mapping[str, int]
) -> dict[str, str]:
    """Per error what its first false claim is: a perception, a rule whose stated inputs refute it, or none."""
    kinds = {}
    for attempt in errors:
        _, program = read_problem(problems[attempt.problem])
        stated = align_claims(attempt.steps, program)
        broken = {place for place, _ in find_broken_rules(program, stated)}
        place = gold[attempt.id]
        kinds[attempt.id] = "no false claim" if place < 0 else "broken rule" if place in broken else "misread picture"
    return kinds


def lead_of(first: Compared, *, gold: Mapping[str, int]) -> dict[str, Interval]:
    """By rival, the paired lead of answer switch in accuracy."""
    rivals = [name for name in METHODS if name != OURS]
    return {r: location_lead(first.mistakes[OURS], first.mistakes[r], gold=gold, seed=0) for r in rivals}


def measure(
    errors: list[Attempt], *, problems: Mapping[str, Problem], folder: Path, quick: bool, tables: Path = TABLES
) -> Measured:
    """Everything that the table says; `folder`: where the language model lies, `tables`: where heat maps go."""
    senses = {a.id: find_gold_steps(problems[a.problem], a.steps) for a in errors}
    gold = {key: steps.first_false for key, steps in senses.items()}
    teachers = build_teachers(problems, folder=folder)
    curves = full_curves(errors, problems=problems, teacher=teachers[FIRST])
    seeing = {name: teacher.seeing(problems) for name, teacher in teachers.items() if isinstance(teacher, WorldTeacher)}
    return Measured(
        gold=gold,
        decisive={key: steps.decisive for key, steps in senses.items()},
        kinds=kinds_of_error(errors, problems=problems, gold=gold),
        compared={
            name: compare_methods(name, teacher, errors=errors, problems=problems, gold=gold)
            for name, teacher in teachers.items()
        },
        rates={name: switch_rates(errors, problems=problems, teacher=t) for name, t in teachers.items()},
        seeing={name: switch_rates(errors, problems=problems, teacher=t) for name, t in seeing.items()},
        grids=draw_grids(errors, curves, gold=gold, folder=tables, quick=quick),
    )


def summarise(measured: Measured) -> dict[str, Any]:
    """The object that docs/tables/locate.json holds."""
    first = measured.compared[FIRST]
    leads = lead_of(first, gold=measured.gold)
    best = min(leads, key=lambda r: leads[r].value)
    ours, full = first.mistakes[OURS], first.mistakes[FULL]
    same = sum(a.step == b.step and a.status == b.status for a, b in zip(ours, full, strict=True))
    return {
        "errors": len(ours),
        "methods": first.scores,
        "best_rival": best,
        "lead": leads[best].value,
        "lead_low": leads[best].low,
        "leads": {name: lead.model_dump() for name, lead in leads.items()},
        "skip_saved": 1 - first.scores[OURS]["calls"] / first.scores[FULL]["calls"],
        "skip_same": same,
        "skip_equals_full": same == len(ours),
        "accuracy_decisive": location_scores(ours, gold=measured.decisive).accuracy.value,
        "paper_order": is_paper_order(first),
        "teachers": {name: c.scores for name, c in measured.compared.items()},
        "rates": {name: r._asdict() for name, r in measured.rates.items()},
        "rates_picture_shown": {name: r._asdict() for name, r in measured.seeing.items()},
        "grid": measured.grids,
        "calibrated_noise": CALIBRATED.model_dump(),
    }


def tell(measured: Measured, result: Mapping[str, Any]) -> list[str]:
    """The lines below the table."""
    first, best = measured.compared[FIRST], result["best_rival"]
    leads = {name: Interval.model_validate(lead) for name, lead in result["leads"].items()}
    decisive = location_scores(first.mistakes[OURS], gold=measured.decisive).accuracy
    silent = [] if LOCAL in measured.compared else ["The local language model was not trained: no rows."]
    return [
        "Gold: the first false claim of the rationale, known by construction. Intervals are 95 %. Tokens: words of "
        "the prompts' question, options and steps.",
        *explain_order(first, measured.compared[EXACT_NAME], gold=measured.gold, kinds=measured.kinds),
        f"Lead of answer switch over {best}: {show(leads[best])}; over random_step: {show(leads['random_step'])}.",
        f"Against the other sense (first claim whose correction flips the answer) answer switch has {show(decisive)}.",
        f"Skip scan asked {result['skip_saved']:.0%} fewer prefixes than the full scan and named the same step for "
        f"{result['skip_same']} of {result['errors']} errors.",
        *rate_lines(measured.rates, seeing=measured.seeing),
        *grid_lines(measured.grids),
        "The language model's checks and indices are supervised by made errors of the same world; its pseudo "
        "rationale is compared word by word. The picture is withheld unless a row says otherwise.",
        *silence_lines(measured.compared),
        *silent,
    ]


def main() -> None:
    """Run everything and write the table."""
    arguments = parse_arguments(__doc__ or "")
    errors, problems = collect_errors(arguments.runs_dir, questions=400 if arguments.quick else 2800)
    folder = SHIPPED if (SHIPPED / "config.json").is_file() else arguments.runs_dir / "local-teacher"
    measured = measure(errors, problems=problems, folder=folder, quick=arguments.quick)
    result = summarise(measured)
    write_table(
        "locate",
        title="Step location in the embedded world",
        columns=COLUMNS,
        rows=[row for compared in measured.compared.values() for row in compared.rows],
        result=result,
        quick=arguments.quick,
        notes=tell(measured, result),
    )


if __name__ == "__main__":
    main()
