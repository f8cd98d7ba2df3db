"""`errata matrices make | import`: abstract-reasoning matrices of our own, and those of others (docs/matrices.md)."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from errata.tools.errors import OperatorError


def run_matrices(arguments: argparse.Namespace) -> int:
    """Run one of the commands; returns the exit code."""
    actions = {"make": _make, "import": _import}
    found, lines = actions[arguments.action](arguments)
    print(json.dumps(found, ensure_ascii=False) if arguments.json else "\n".join(lines))
    return 0


def _make(arguments: argparse.Namespace) -> tuple[dict[str, Any], list[str]]:
    from errata.tools.synthesize.matrices.settings import MatrixSettings
    from errata.tools.synthesize.matrices.write import PERCEPTION, WHOLE, write_matrices

    if arguments.workers < 1:
        raise OperatorError("out of range", where="--workers", value=arguments.workers, remedy="choose 1 or more")
    given = {name: value for name in MatrixSettings.model_fields if (value := getattr(arguments, name)) is not None}
    if arguments.kind == "symbols":
        given = {"coarse": 0, "fine": 0, "rules": 0, **given}
    settings = MatrixSettings.model_validate(given)
    show = _Progress() if sys.stderr.isatty() and not arguments.json else None
    made = write_matrices(arguments.out, settings=settings, workers=arguments.workers, on_progress=show)
    warnings = _warn(settings, arguments.out / PERCEPTION, asked=made.questions > 0)
    for warning in warnings:
        print(f"errata: {warning}", file=sys.stderr)
    found = {**made._asdict(), "folder": str(made.folder), "warnings": warnings}
    lines = [
        f"{made.folder / WHOLE}: {made.matrices} matrices, each proved to have one answer"
        + (" (made before)" if made.reused else ""),
        *([f"{made.folder / PERCEPTION}: {made.questions} questions about them"] if made.questions else []),
        *([f"{made.repeated} matrices are the same as one before"] if made.repeated else []),
        *(f"{count:>9}  {name}" for name, count in made.rules.items()),
    ]
    return found, lines


def _warn(settings: Any, perception: Path, *, asked: bool) -> list[str]:
    """What a trainer should know before it uses these rows."""
    from errata.tools.records import Problem, from_jsonl
    from errata.tools.synthesize.matrices.perception import measure_grid_order

    found = []
    if settings.candidates == "raven":
        found.append("these candidates give the answer away without the matrix; use them for contrast only")
    if asked:
        with perception.open(encoding="utf-8") as lines:
            problems = [p for _, line in zip(range(20_000), lines, strict=False) for p in from_jsonl(line, Problem)]
        share = measure_grid_order(problems)
        if share > 0.5:
            found.append(
                f"fine questions follow the grid in {share:.0%} of the matrices: students learn the order and not to "
                "see (use --order shuffled)"
            )
    return found


class _Progress:
    """One line on a terminal."""

    def __call__(self, done: int, total: int) -> None:
        end = "\n" if done == total else ""
        print(f"\r{done} of {total} matrices", end=end, file=sys.stderr, flush=True)


def _import(arguments: argparse.Namespace) -> tuple[dict[str, Any], list[str]]:
    from errata.tools.data.write import write_problems
    from errata.tools.synthesize.matrices.iraven import read_iraven

    if arguments.out.exists():
        raise OperatorError("there is a file already", where=str(arguments.out), remedy="name another")
    pack = read_iraven(arguments.file)
    if not pack.matrices:
        first = f"; row {pack.skipped[0].row}: {pack.skipped[0].reason}" if pack.skipped else ""
        raise OperatorError(f"no usable row{first}", where=str(arguments.file), remedy="is this an I-RAVEN pack?")
    result = write_problems([m.problem for m in pack.matrices], file=arguments.out, format="errata")
    skipped = [s.model_dump(mode="json") for s in pack.skipped]
    found = {"out": str(arguments.out), "matrices": result.rows, "copied": result.copied, "skipped": skipped}
    lines = [f"{arguments.out}: {result.rows} matrices, {result.copied} pictures copied"]
    lines += [f"row {s.row} is left out: {s.reason}" for s in pack.skipped]
    return found, lines
