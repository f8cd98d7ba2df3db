"""Choosing delta and lambda on labelled errors: grid, nested split, and what the choice does to the statuses (P1 E).

A label is one line of JSONL, which is what a person's annotation exports: the question with its choices, the gold and
the student's wrong answer, the steps as they were shown, and the 0-based index of the first wrong one, -1 for none.
`gaps` may carry the curve that a teacher gave before; labels without it are put to the teacher, every prefix once.

The tuned figure is the best cell on all labels and is optimistic; the held-out figure comes from a nested split: for
each of the folds (by a digest of the question) the cell is chosen on the others and judged on the fold alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError, model_validator

from errata.tools.errors import OperatorError
from errata.tools.evaluate.compare import wilson
from errata.tools.locate.answer_switch import SwitchOptions, ask_gaps
from errata.tools.locate.curves import Gap, find_switch
from errata.tools.locate.metrics import is_located
from errata.tools.records import Attempt, Interval, Problem, Record, digest
from errata.tools.teacher.protocol import Teacher

DELTAS = tuple(i / 10 for i in range(10))
WINDOWS = tuple(range(20))
DEFAULT = (0.2, 12)


class StepLabel(Record):
    """One annotated error; `id` names it, several annotators may label the same."""

    id: str
    question: str
    choices: tuple[str, ...] = ()
    target: str
    """Letter of the gold option; for a free-form question its text."""
    answer: str
    """The student's wrong answer, of the same kind."""
    steps: tuple[str, ...]
    step: int
    annotator: str = ""
    gaps: tuple[float | None, ...] = ()

    @model_validator(mode="after")
    def _fits(self) -> StepLabel:
        if not -1 <= self.step < len(self.steps):
            raise ValueError(f"step {self.step} is not one of the {len(self.steps)} steps, nor -1")
        if self.gaps and len(self.gaps) != len(self.steps) + 1:
            raise ValueError(f"{len(self.gaps)} gaps for {len(self.steps)} steps; one more than steps is needed")
        letters = [chr(ord("A") + i) for i in range(len(self.choices))]
        odd = next((x for x in (self.target, self.answer) if letters and x not in letters), None)
        if odd is not None or self.answer == self.target:
            raise ValueError("target and answer must be two different letters of the choices")
        return self


class Cell(NamedTuple):
    """One pair of settings and how it does."""

    delta: float
    window: int
    hits: int
    total: int

    @property
    def accuracy(self) -> float:
        """Share of labels located exactly."""
        return self.hits / self.total


class Calibration(Record):
    """What `errata locate calibrate` writes."""

    labels: int
    folds: int
    delta: float
    window: int
    tuned: Interval
    """Of the best cell, on the labels that it was chosen on."""
    held_out: Interval
    """Each label judged by a cell chosen without its fold."""
    default: Interval
    """Of delta 0.2 and lambda 12."""
    statuses_default: dict[str, int]
    statuses_tuned: dict[str, int]
    cells: tuple[Cell, ...]
    strict: bool


def read_labels(path: Path) -> list[StepLabel]:
    """Labels of a JSONL file; OperatorError names file, row and what is wrong."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise OperatorError("labels cannot be read", where=str(path), value=str(error)) from None
    labels = []
    for row, line in enumerate(lines, start=1):
        if line.strip():
            try:
                labels.append(StepLabel.model_validate_json(line))
            except ValidationError as error:
                first = error.errors()[0]
                field = ".".join(str(part) for part in first["loc"])
                where = f"{path} row {row}" + (f" {field}" if field else "")
                remedy = "see docs/locate.md for the format"
                raise OperatorError(first["msg"], where=where, remedy=remedy) from None
    if not labels:
        raise OperatorError("there are no labels", where=str(path), remedy="give one JSON object per line")
    return labels


def label_curves(labels: Sequence[StepLabel], *, teacher: Teacher | None, prior: float | None) -> list[list[Gap]]:
    """Gaps after 0..T steps of every label; OperatorError where one has none and no teacher is given."""
    open_ = [label for label in labels if not label.gaps]
    if open_ and teacher is None:
        remedy = "name a teacher, or export the labels with their gaps"
        raise OperatorError("this label has no gaps and there is no teacher", where=open_[0].id, remedy=remedy)
    problems = {label.id: _problem(label) for label in open_}
    asked = [(_attempt(label), label.steps[:i]) for label in open_ for i in range(len(label.steps) + 1)]
    found: list[Gap] = []
    if teacher is not None:
        found = ask_gaps(asked, problems=problems, teacher=teacher, options=SwitchOptions(prior=prior))
    gaps = iter(found)
    return [list(label.gaps) or [next(gaps) for _ in range(len(label.steps) + 1)] for label in labels]


def score_cells(
    curves: Sequence[Sequence[Gap]], *, gold: Sequence[int], strict: bool = False
) -> list[list[tuple[Cell, bool]]]:
    """Per label, its hit in each cell of the grid, deltas outermost."""
    grid = [(delta, window) for delta in DELTAS for window in WINDOWS]
    rows = []
    for curve, step in zip(curves, gold, strict=True):
        found = [find_switch(curve, delta=d, window=w, strict=strict).prefix for d, w in grid]
        hits = [is_located(prefix - 1 if prefix > 0 else -1, gold=step) for prefix in found]
        rows.append([(Cell(d, w, int(hit), 1), hit) for (d, w), hit in zip(grid, hits, strict=True)])
    return rows


def add_cells(rows: Sequence[Sequence[tuple[Cell, bool]]]) -> list[Cell]:
    """The grid over several labels."""
    return [
        Cell(column[0][0].delta, column[0][0].window, sum(hit for _, hit in column), len(column))
        for column in zip(*rows, strict=True)
    ]


def best_cell(cells: Sequence[Cell]) -> Cell:
    """Most hits; among equals the nearest to the defaults."""
    return max(cells, key=lambda c: (c.hits, -abs(c.delta - DEFAULT[0]) - abs(c.window - DEFAULT[1]) / 20))


def calibrate(
    labels: Sequence[StepLabel], *, curves: Sequence[Sequence[Gap]], folds: int = 5, strict: bool = False
) -> Calibration:
    """Grid and nested split; with fewer labels than folds every label is a fold."""
    gold = [label.step for label in labels]
    rows = score_cells(curves, gold=gold, strict=strict)
    cells = add_cells(rows)
    chosen = best_cell(cells)
    order = sorted(range(len(labels)), key=lambda i: digest("calibration fold", labels[i].question, labels[i].id))
    parts = min(folds, len(labels))
    hits = judged = 0
    for part in range(parts if parts > 1 else 0):
        inside = set(order[part::parts])
        cell = best_cell(add_cells([row for i, row in enumerate(rows) if i not in inside]))
        place = next(k for k, c in enumerate(cells) if (c.delta, c.window) == (cell.delta, cell.window))
        hits += sum(rows[i][place][1] for i in inside)
        judged += len(inside)
    usual = next(c for c in cells if (c.delta, c.window) == DEFAULT)
    return Calibration(
        labels=len(labels),
        folds=parts,
        delta=chosen.delta,
        window=chosen.window,
        tuned=wilson(chosen.hits, chosen.total),
        held_out=wilson(hits, judged) if judged else Interval(value=0.0, low=0.0, high=1.0),
        default=wilson(usual.hits, usual.total),
        statuses_default=_statuses(curves, delta=DEFAULT[0], window=DEFAULT[1], strict=strict),
        statuses_tuned=_statuses(curves, delta=chosen.delta, window=chosen.window, strict=strict),
        cells=tuple(cells),
        strict=strict,
    )


def _statuses(curves: Sequence[Sequence[Gap]], *, delta: float, window: int, strict: bool) -> dict[str, int]:
    found = Counter(str(find_switch(c, delta=delta, window=window, strict=strict).status) for c in curves)
    return dict(sorted(found.items()))


def _problem(label: StepLabel) -> Problem:
    return Problem(
        id=label.id,
        question=label.question,
        choices=label.choices,
        target=label.target,
        scoring="choice" if label.choices else "exact",
    )


def _attempt(label: StepLabel) -> Attempt:
    return Attempt(
        id=label.id,
        problem=label.id,
        checkpoint="label",
        response="",
        steps=label.steps,
        answer=label.answer,
        correct=False,
        score=0.0,
        format_error=False,
    )
