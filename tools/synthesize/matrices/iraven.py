"""An importer for packs of I-RAVEN matrices: JSON lines with rule labels, one picture a matrix.

The labels name the rule of each attribute and no values, so the values are read from the pictures. `check_labels`
solves a matrix from both by our own rules; a reading whose rows do not follow the labelled rule is not used.
Pictures are 336 x 336 with panels of 56 pixels; other sizes are skipped and counted.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from errata.tools.data.check import RowError, check_problem
from errata.tools.errors import OperatorError
from errata.tools.records import ImageRef, Problem, SkippedRow
from errata.tools.synthesize.matrices.layout import CONFIGURATIONS, Attribute, Box, Configuration, scale_of
from errata.tools.synthesize.matrices.problems import QUESTION
from errata.tools.synthesize.matrices.read_panel import Group, Object, Style, read_panel
from errata.tools.synthesize.matrices.rules import Kind, Rule, explain_rows
from errata.tools.synthesize.matrices.words import name_skill

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

STYLE = Style(grays=(255, 224, 196, 168, 140, 112, 84, 56, 28, 0), scale=1.027, edge=0.72, offset=0.15)
RADII = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
SIDE, PIXELS = 56, 336
MOST_CHOICES = 20_000
"""Combinations of possible values of one attribute that are tried; with more of them nothing is concluded."""
ROWS, COLUMNS = (1, 63, 125), (78, 140, 202)
LOWER_ROWS, LOWER_COLUMNS = (205, 277), (23, 101, 179, 257)
"""Upper left corners of the insides of panels and candidates."""
TOPICS = {
    "center_single": "centre",
    "distribute_four": "grid2",
    "distribute_nine": "grid3",
    "left_center_single_right_center_single": "left-right",
    "up_center_single_down_center_single": "up-down",
    "in_center_single_out_center_single": "out-in",
    "in_distribute_four_out_center_single": "out-in-grid",
}
KINDS: Mapping[str, Kind] = {
    "Constant": "constant",
    "Progression": "progression",
    "Arithmetic": "arithmetic",
    "Distribute_Three": "distribute",
}
ATTRIBUTES: Mapping[str, Attribute] = {
    "Number/Position": "position",
    "Number": "number",
    "Position": "position",
    "Type": "type",
    "Size": "size",
    "Color": "colour",
}
_PLACES: Mapping[str, tuple[Box, ...]] = {
    "grid3": tuple(Box(x, y, 0.165) for y in (0.16, 0.5, 0.83) for x in (0.16, 0.5, 0.83)),
    "out-in": (Box(0.5, 0.5, 0.165),),
    "out-in-grid": tuple(Box(x, y, 0.075) for y in (0.42, 0.58) for x in (0.42, 0.58)),
}
"""Slots of the last component that lie elsewhere than ours."""


class Label(NamedTuple):
    """One rule of a matrix, without its values."""

    component: int
    attribute: Attribute
    kind: Kind


class Imported(NamedTuple):
    """One matrix of the pack."""

    problem: Problem
    configuration: Configuration
    labels: tuple[Label, ...]


class Pack(NamedTuple):
    """What was read, and what was not."""

    matrices: list[Imported]
    skipped: list[SkippedRow]


class Verdict(NamedTuple):
    """What our rules say with the readings that the labels confirm."""

    fits: tuple[int, ...]
    """Candidates that are left; one alone decides the matrix."""
    confirmed: tuple[Label, ...]
    refuted: tuple[Label, ...]
    """Labels that the values as read do not follow."""


def read_iraven(file: Path) -> Pack:
    """Problems with their rule labels; rows that cannot be used are skipped with the reason.

    Raises OperatorError when the file cannot be read.
    """
    try:
        lines = file.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise OperatorError("cannot be read", where=str(file), value=str(error), remedy="name a JSONL file") from error
    pack = Pack([], [])
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            pack.matrices.append(_read_row(line, file.parent.resolve()))
        except RowError as error:
            pack.skipped.append(SkippedRow(source=str(file), row=number, id="", reason=str(error), bad=True))
    return pack


def _read_row(line: str, folder: Path) -> Imported:
    try:
        row = json.loads(line)
    except ValueError:
        raise RowError("row", "not JSON") from None
    if not isinstance(row, dict):
        raise RowError("row", "not an object")
    topic = row.get("topic")
    if not isinstance(topic, str) or topic not in TOPICS:
        raise RowError("topic", f"no configuration of RAVEN: {topic!r}")
    configuration = CONFIGURATIONS[TOPICS[topic]]
    labels = tuple(_read_labels(row.get("rules"), configuration))
    answer, name = row.get("answer"), row.get("id")
    if not isinstance(answer, int) or isinstance(answer, bool) or not 0 <= answer < 8:
        raise RowError("answer", f"no candidate's index from 0 to 7: {answer!r}")
    problem = Problem(
        id=name if isinstance(name, str) else "",
        images=(_find_picture(row.get("image"), folder),),
        question=QUESTION,
        choices=tuple(f"candidate {letter}" for letter in "ABCDEFGH"),
        target="ABCDEFGH"[answer],
        skills=tuple(dict.fromkeys(name_skill(Rule(label.kind), label.attribute) for label in labels)),
        metadata={
            "source": "iraven",
            "level": "whole",
            "configuration": configuration.name,
            "columns": 3,
            "rules": [[label.component, label.attribute, label.kind, None] for label in labels],
        },
    )
    check_problem(problem)
    return Imported(problem, configuration, labels)


def _read_labels(rules: Any, configuration: Configuration) -> Iterator[Label]:
    """Left out is what says nothing: number and position of a single slot, the white of an outer object."""
    if not isinstance(rules, list) or not rules:
        raise RowError("rules", "no list of rules")
    for rule in rules:
        if not (isinstance(rule, list) and len(rule) == 3 and rule[1] in KINDS and rule[2] in ATTRIBUTES):
            raise RowError("rules", f"not [component, rule, attribute]: {rule!r}")
        component = int(rule[0]) if str(rule[0]).isdigit() else -1
        if not 0 <= component < len(configuration.components):
            raise RowError("rules", f"no component of {configuration.name}: {rule[0]!r}")
        attribute, layout = ATTRIBUTES[rule[2]], configuration.components[component]
        if attribute in layout.looks or (attribute in ("number", "position") and len(layout.slots) > 1):
            yield Label(component, attribute, KINDS[rule[1]])


def _find_picture(path: Any, folder: Path) -> ImageRef:
    from PIL import Image

    inside = isinstance(path, str) and (folder / path).resolve().is_relative_to(folder)
    if not inside or not (folder / path).is_file():
        raise RowError("image", f"no picture in the folder of the file: {path!r}")
    try:
        with Image.open(folder / path) as picture:
            size = picture.size
    except OSError:
        raise RowError("image", f"not a picture: {path!r}") from None
    if size != (PIXELS, PIXELS):
        raise RowError("image", f"not {PIXELS} x {PIXELS} pixels: {size[0]} x {size[1]}")
    return ImageRef(path=str(folder / path), sha256=hashlib.sha256((folder / path).read_bytes()).hexdigest())


Reading = Mapping[int, Object]
"""Objects of one component of one panel, by slot."""


def read_panels(matrix: Imported) -> tuple[list[list[Reading]], list[list[Reading]]]:
    """(context, candidates) as read from the picture: for each panel one reading a component."""
    import numpy as np
    from PIL import Image

    with Image.open(matrix.problem.images[0].path) as picture:
        pixels = np.asarray(picture.convert("L"))
    corners = [*((y, x) for y in ROWS for x in COLUMNS)][:-1] + [(y, x) for y in LOWER_ROWS for x in LOWER_COLUMNS]
    groups = _groups(matrix.configuration)
    read: list[list[Reading]] = []
    for y, x in corners:
        panel = _without_divider(pixels[y : y + SIDE, x : x + SIDE], matrix.configuration.name)
        read.append([*read_panel(panel, groups, style=STYLE)])
    return read[:8], read[8:]


def _groups(configuration: Configuration) -> list[Group]:
    groups = [Group(component.slots, RADII) for component in configuration.components]
    if configuration.name in _PLACES:
        groups[-1] = Group(_PLACES[configuration.name], RADII, "inner" if len(groups) > 1 else "outer")
    return groups


def _without_divider(panel: NDArray[np.uint8], configuration: str) -> NDArray[np.uint8]:
    """The gray line between two halves goes; objects do not reach it."""
    import numpy as np

    if configuration not in ("left-right", "up-down"):
        return panel
    turned = np.array(panel if configuration == "left-right" else panel.T)
    turned[:, SIDE // 2 - 1 : SIDE // 2 + 1] = 255
    return turned if configuration == "left-right" else turned.T


def possible_values(reading: Reading, attribute: Attribute) -> tuple[int, ...]:
    """Values that the pixels allow for all objects of a component together; empty where they allow none."""
    if attribute == "position":
        return (sum(1 << slot for slot in reading),) if reading else ()
    if attribute == "number":
        return (len(reading),) if reading else ()
    read: list[tuple[int, ...]] = [getattr(found, attribute) for found in reading.values()]
    return tuple(v for v in read[0] if all(v in other for other in read)) if read else ()


def check_labels(matrix: Imported) -> Verdict:
    """Solve the matrix by our rules from its labels and what can be read of its picture.

    For each label: every choice among the possible values of the context that follows a rule of the labelled kind, and
    the candidates that may have a value that one of these rules gives. A label that no choice follows is refuted: the
    picture was misread, and nothing is concluded from it.
    """
    context, candidates = read_panels(matrix)
    confirmed: list[Label] = []
    fits: Sequence[int] = range(len(candidates))
    for label in matrix.labels:
        values = _predict(label, [panel[label.component] for panel in context], matrix.configuration)
        if values:
            confirmed.append(label)
            read = [possible_values(panel[label.component], label.attribute) for panel in candidates]
            fits = [i for i in fits if values & set(read[i])]
    refuted = tuple(label for label in matrix.labels if label not in confirmed)
    return Verdict(tuple(fits), tuple(confirmed), refuted)


def _predict(label: Label, readings: Sequence[Reading], configuration: Configuration) -> set[int]:
    """What the missing panel may hold by the labelled kind of rule; empty where it cannot be told."""
    slots = len(configuration.components[label.component].slots)
    possible = [possible_values(reading, label.attribute) for reading in readings]
    if not all(possible) or prod(map(len, possible)) > MOST_CHOICES:
        return set()
    found: set[int] = set()
    for values in product(*possible):
        rules = explain_rows(
            (values[:3], values[3:6], values[6:]),
            attribute=label.attribute,
            scale=scale_of(label.attribute, slots=slots),
            slots=slots,
            idle=True,
        )
        found |= {value for rule, value in rules.items() if rule.kind == label.kind}
    return found
