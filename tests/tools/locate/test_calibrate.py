"""Labels, the grid of delta and lambda, and the nested split."""

from __future__ import annotations

import json
import random
from pathlib import Path
from xml.etree import ElementTree

import pytest

from errata.tools.errors import OperatorError
from errata.tools.locate.calibrate import (
    DELTAS,
    WINDOWS,
    StepLabel,
    add_cells,
    best_cell,
    calibrate,
    label_curves,
    read_labels,
    score_cells,
)
from errata.tools.locate.plots import gap_plot, heat_map

LINE = {
    "id": "one", "question": "Which?", "choices": ["red", "blue"], "target": "A", "answer": "B",
    "steps": ["First. ", "Second. "], "step": 1, "gaps": [-0.5, -0.4, 0.6],
}  # fmt: skip


def write(folder: Path, *lines: dict[str, object]) -> Path:
    path = folder / "labels.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def noisy(count: int, *, level: float) -> list[StepLabel]:
    """Curves that jump to 0.5 at the labelled step, and to `level` for one prefix before it."""
    rng = random.Random(0)
    labels = []
    for i in range(count):
        step = rng.randrange(2, 6)
        gaps = [-0.5] * (step + 1) + [0.5] * (8 - step)
        gaps[step - 1] = level
        labels.append(
            StepLabel(
                id=str(i),
                question=f"{i}?",
                choices=("a", "b"),
                target="A",
                answer="B",
                steps=tuple("s" * 8),
                step=step,
                gaps=tuple(gaps),
            )
        )
    return labels


def test_labels_are_read_with_their_curves(tmp_path: Path) -> None:
    (label,) = read_labels(write(tmp_path, LINE))
    assert label_curves([label], teacher=None, prior=0.6) == [[-0.5, -0.4, 0.6]]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"step": 2}, "not one of the 2 steps"),
        ({"step": -2}, "not one of the 2 steps"),
        ({"gaps": [0.1]}, "1 gaps for 2 steps"),
        ({"answer": "C"}, "two different letters"),
        ({"answer": "A"}, "two different letters"),
        ({"steps": "text"}, "row 2 steps"),
        ({"extra": 1}, "row 2 extra"),
    ],
)
def test_a_bad_label_is_one_line_with_its_row(tmp_path: Path, change: dict[str, object], said: str) -> None:
    with pytest.raises(OperatorError, match=said) as caught:
        read_labels(write(tmp_path, LINE, LINE | change))
    assert "labels.jsonl row 2" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_labels_and_no_file_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="no labels"):
        read_labels(write(tmp_path))
    with pytest.raises(OperatorError, match="cannot be read"):
        read_labels(tmp_path / "absent.jsonl")


def test_a_label_without_gaps_needs_a_teacher(tmp_path: Path) -> None:
    (label,) = read_labels(write(tmp_path, LINE | {"gaps": []}))
    with pytest.raises(OperatorError, match="no gaps"):
        label_curves([label], teacher=None, prior=0.6)


def test_the_grid_is_whole_and_counts_hits() -> None:
    labels = noisy(20, level=-0.5)
    cells = add_cells(score_cells([label.gaps for label in labels], gold=[label.step for label in labels]))
    assert len(cells) == len(DELTAS) * len(WINDOWS)
    assert all(c.hits == (20 if c.delta <= 0.5 else 0) for c in cells)
    assert (best_cell(cells).delta, best_cell(cells).window) == (0.2, 12)


def test_a_false_alarm_before_the_step_needs_a_window() -> None:
    labels = noisy(40, level=0.4)
    found = calibrate(labels, curves=[label.gaps for label in labels])
    assert found.default.value == 1.0
    by_cell = {(c.delta, c.window): c.accuracy for c in found.cells}
    assert by_cell[0.2, 0] == 0.0
    assert by_cell[0.5, 0] == 1.0
    assert found.statuses_default == {"found": 40}


def test_held_out_is_judged_without_the_fold() -> None:
    """Labels drawn at random: the tuned figure flatters, the held-out one does not exceed it."""
    rng = random.Random(3)
    labels = [label.model_copy(update={"step": rng.randrange(8)}) for label in noisy(60, level=0.3)]
    found = calibrate(labels, curves=[label.gaps for label in labels])
    assert found.held_out.value <= found.tuned.value
    assert found.folds == 5


def test_the_pictures_are_well_formed() -> None:
    labels = noisy(10, level=0.1)
    curves = [label.gaps for label in labels]
    gold = [label.step for label in labels]
    grid = ElementTree.fromstring(heat_map(add_cells(score_cells(curves, gold=gold)), title="a < b"))
    assert len(grid.findall("{http://www.w3.org/2000/svg}rect")) == 1 + len(DELTAS) * len(WINDOWS)
    plot = ElementTree.fromstring(gap_plot(curves, gold=gold, delta=0.2, title="gaps"))
    assert len(plot.findall("{http://www.w3.org/2000/svg}circle")) == len({p - s for s in gold for p in range(9)})
