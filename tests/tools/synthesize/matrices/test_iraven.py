"""The importer for I-RAVEN packs, on a pack drawn here in the same way, and on a real one where it is given."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from math import cos, pi, sin
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw

from errata.tools.data.check import check_problem
from errata.tools.errors import OperatorError
from errata.tools.synthesize.matrices.iraven import Label, check_labels, read_iraven

GRAYS = (255, 224, 196, 168, 140, 112, 84, 56, 28, 0)
PLACES = [(x, y) for y in (0, 62, 124) for x in (77, 139, 201)][:8]
PLACES += [(x, y) for y in (204, 276) for x in (22, 100, 178, 256)]
OVER = 4
Looks = tuple[int, int, int]

CONTEXT: list[Looks] = [
    (1, 1, 3), (1, 2, 5), (1, 3, 8), (4, 4, 1), (4, 5, 2), (4, 6, 3), (2, 2, 2), (2, 3, 6),
]  # fmt: skip
CANDIDATES: list[Looks] = [(t, s, c) for t in (2, 5) for s in (4, 1) for c in (8, 5)]
RULES = [
    ["0", "Constant", "Number/Position"],
    ["0", "Constant", "Type"],
    ["0", "Progression", "Size"],
    ["0", "Arithmetic", "Color"],
]


def draw_pack(
    folder: Path, *, context: list[Looks], candidates: list[Looks], middles: Sequence[tuple[float, float]] = ((0, 0),)
) -> None:
    """One picture in the way of the pack: frames of one pixel, objects turned by 45 degrees.

    Each middle, in pixels from that of the panel, gets an object; with two of them they are half as large, and a gray
    line lies between.
    """
    image = Image.new("L", (336 * OVER, 336 * OVER), 255)
    pen = ImageDraw.Draw(image)
    drawn = [(place, looks) for place, looks in zip(PLACES, [*context, *candidates], strict=True)]
    for (x, y), (kind, size, colour), (right, down) in [(*pair, middle) for pair in drawn for middle in middles]:
        middle_x, middle_y = (x + 29.15 + right) * OVER, (y + 29.15 + down) * OVER
        radius = ((0.3 + 0.1 * size) * 28.75 / len(middles) + 0.4) * OVER
        if right or down:
            line = (x + 28.5, y, x + 29.5, y + 58) if right else (x, y + 28.5, x + 58, y + 29.5)
            pen.rectangle([value * OVER for value in line], fill=128)
        if kind == 5:
            box = (middle_x - radius, middle_y - radius, middle_x + radius, middle_y + radius)
            pen.ellipse(box, fill=GRAYS[colour], outline=0, width=OVER)
        else:
            sides = kind + 2
            first = pi / 4 if sides != 4 else 0
            angles = [first + 2 * pi * i / sides for i in range(sides)]
            points = [(middle_x + radius * sin(a), middle_y - radius * cos(a)) for a in angles]
            pen.polygon(points, fill=GRAYS[colour])
            pen.line([*points, *points[:2]], fill=0, width=OVER, joint="curve")
        pen.rectangle((x * OVER, y * OVER, (x + 58) * OVER - 1, (y + 58) * OVER - 1), outline=0, width=OVER)
    (folder / "images").mkdir()
    image.reduce(OVER).save(folder / "images" / "one.png")


def write_rows(folder: Path, *changes: dict[str, Any]) -> Path:
    row = {
        "id": "one",
        "answer": 0,
        "image": "images/one.png",
        "rules": RULES,
        "topic": "center_single",
        "choices": list("ABCDEFGH"),
    }
    file = folder / "pack.jsonl"
    file.write_text("".join(json.dumps({**row, **change}) + "\n" for change in changes or ({},)))
    return file


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    draw_pack(tmp_path, context=CONTEXT, candidates=CANDIDATES)
    return tmp_path


def test_a_matrix_is_read_and_decided_by_its_labels(pack: Path) -> None:
    found = read_iraven(write_rows(pack))
    assert found.skipped == []
    (matrix,) = found.matrices
    check_problem(matrix.problem)
    assert (matrix.problem.target, matrix.problem.choices[0]) == ("A", "candidate A")
    assert matrix.labels == (
        Label(0, "type", "constant"),
        Label(0, "size", "progression"),
        Label(0, "colour", "arithmetic"),
    )
    verdict = check_labels(matrix)
    assert verdict.fits == (0,)
    assert (verdict.confirmed, verdict.refuted) == (matrix.labels, ())


@pytest.mark.parametrize(
    ("topic", "middles"),
    [
        ("left_center_single_right_center_single", ((-14, 0), (14, 0))),
        ("up_center_single_down_center_single", ((0, -14), (0, 14))),
    ],
)
def test_halves_are_read_without_the_line_between_them(
    tmp_path: Path, topic: str, middles: Sequence[tuple[float, float]]
) -> None:
    draw_pack(tmp_path, context=CONTEXT, candidates=CANDIDATES, middles=middles)
    rules = [[number, *rule] for number in ("0", "1") for _, *rule in RULES]
    (matrix,) = read_iraven(write_rows(tmp_path, {"topic": topic, "rules": rules})).matrices
    verdict = check_labels(matrix)
    assert verdict.fits == (0,)
    assert len(verdict.confirmed) == 6


def test_labels_that_the_picture_refutes_are_not_used(pack: Path) -> None:
    rules = [RULES[0], RULES[1], ["0", "Distribute_Three", "Size"], RULES[3]]
    (matrix,) = read_iraven(write_rows(pack, {"rules": rules})).matrices
    verdict = check_labels(matrix)
    assert verdict.refuted == (Label(0, "size", "distribute"),)
    # Size says nothing now: both sizes are left.
    assert verdict.fits == (0, 2)


def test_a_matrix_whose_answer_breaks_a_rule_is_found(tmp_path: Path) -> None:
    draw_pack(tmp_path, context=CONTEXT, candidates=[(t, s, c) for t in (3, 5) for s in (4, 1) for c in (8, 5)])
    (matrix,) = read_iraven(write_rows(tmp_path)).matrices
    assert check_labels(matrix).fits == ()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"topic": "spiral"}, "topic: no configuration of RAVEN: 'spiral'"),
        ({"topic": ["center_single"]}, "topic: no configuration of RAVEN"),
        ({"answer": 8}, "answer: no candidate's index from 0 to 7: 8"),
        ({"answer": "A"}, "answer: no candidate's index"),
        ({"answer": True}, "answer: no candidate's index"),
        ({"rules": []}, "rules: no list of rules"),
        ({"rules": [["0", "Xor", "Size"]]}, "rules: not [component, rule, attribute]"),
        ({"rules": [["1", "Constant", "Size"]]}, "rules: no component of centre: '1'"),
        ({"image": "images/none.png"}, "image: no picture in the folder of the file: 'images/none.png'"),
        ({"image": "../one.png"}, "image: no picture in the folder of the file"),
        ({"image": 3}, "image: no picture in the folder of the file: 3"),
        ({"image": "pack.jsonl"}, "image: not a picture: 'pack.jsonl'"),
        ({"image": "small.png"}, "image: not 336 x 336 pixels: 8 x 8"),
        ({"id": 4}, "id: not 1 to 512 characters"),
    ],
)
def test_rows_that_cannot_be_used_are_skipped_with_the_reason(pack: Path, change: dict[str, Any], reason: str) -> None:
    Image.new("L", (8, 8)).save(pack / "small.png")
    found = read_iraven(write_rows(pack, {}, change))
    assert len(found.matrices) == 1
    (skipped,) = found.skipped
    assert (skipped.row, skipped.bad) == (2, True)
    assert reason in skipped.reason


def test_lines_that_are_no_rows_are_skipped_and_a_missing_file_is_one_line(pack: Path) -> None:
    file = write_rows(pack)
    file.write_text(file.read_text() + "\n{broken\n[1]\n")
    found = read_iraven(file)
    assert [(s.row, s.reason) for s in found.skipped] == [(3, "row: not JSON"), (4, "row: not an object")]
    with pytest.raises(OperatorError, match="cannot be read"):
        read_iraven(pack / "none.jsonl")


@pytest.mark.skipif("ERRATA_DATA" not in os.environ, reason="ERRATA_DATA names no folder with datasets")
def test_the_real_pack_is_read_whole_and_our_rules_agree_with_it() -> None:
    file = Path(os.environ["ERRATA_DATA"]) / "iraven" / "iraven.jsonl"
    if not file.is_file():
        pytest.skip("no iraven pack there")
    found = read_iraven(file)
    assert (len(found.matrices), found.skipped) == (700, [])
    decided = agree = 0
    for matrix in found.matrices[:700:10]:
        verdict = check_labels(matrix)
        if len(verdict.fits) == 1:
            decided += 1
            agree += verdict.fits[0] == ord(matrix.problem.target) - ord("A")
    assert decided >= 35
    assert agree >= decided - 1
