"""What can be set when matrices are made; the knobs of difficulty are those of I-RAVEN-X (arXiv 2510.17496)."""

from __future__ import annotations

from typing import Literal

from errata.tools.errors import OperatorError
from errata.tools.records import Record, Split
from errata.tools.synthesize.matrices.layout import CONFIGURATIONS

CandidateMode = Literal["bisection", "raven"]
Prefix = Literal["regular", "irregular", "none"]
Order = Literal["shuffled", "grid"]
Kind = Literal["picture", "symbols"]


class MatrixSettings(Record):
    """Frozen; the same settings and seed give the same bytes."""

    number: int
    """Matrices."""
    seed: int = 0
    configurations: tuple[str, ...] = tuple(CONFIGURATIONS)
    """They take turns."""
    pixels: int = 512
    """Width of the picture."""
    split: Split = "pool"
    kind: Kind = "picture"
    """`symbols`: no picture, the values stand in the question, as in I-RAVEN-X."""
    columns: int = 3
    """I-RAVEN-X's operands: panels in a row, 3 to 10."""
    levels: int = 0
    """I-RAVEN-X's range: number of sizes and of colours; 0 for RAVEN's 6 and 10."""
    noise: float = 0.25
    """Chance that in a grid one attribute differs from object to object and follows no rule."""
    confounders: int = 1
    """Properties without meaning, 0 to 4: turn (RAVEN's own), outline, shift, ground."""
    uncertainty: float = 0.0
    """0 to 0.8. Drawn sizes and colours lie off their value by up to this share of half a level; in symbols, up to
    half of this share of the probability lies on the values beside the true one."""
    candidates: CandidateMode = "bisection"
    """`raven` changes one attribute of the answer at a time and so gives the answer away: for contrast only."""
    prefix: Prefix = "regular"
    order: Order = "shuffled"
    """Of the fine perception questions; `grid` is the trap that P3 reports, for ablations."""
    coarse: int = 3
    """Coarse perception questions a matrix, at most 4."""
    fine: int = 5
    """Fine perception questions a matrix."""
    rules: int = 1
    """Questions a matrix about the rule of one attribute."""


_LIMITS: tuple[tuple[str, int, float], ...] = (
    ("number", 1, 10_000_000),
    ("pixels", 64, 4096),
    ("columns", 3, 10),
    ("noise", 0, 1),
    ("confounders", 0, 4),
    ("uncertainty", 0, 0.8),
    ("coarse", 0, 4),
    ("fine", 0, 20),
    ("rules", 0, 3),
)
MAX_LEVELS = {"picture": 256, "symbols": 1000}


def check_settings(settings: MatrixSettings) -> None:
    """Raise OperatorError for a value that cannot be made, named as on the command line."""
    for name, low, high in _LIMITS:
        value = getattr(settings, name)
        if not low <= value <= high:
            remedy = f"choose {low} to {high}"
            raise OperatorError("out of range", where=f"--{name}", value=value, remedy=remedy)
    top = MAX_LEVELS[settings.kind]
    if settings.levels and not 3 <= settings.levels <= top:
        remedy = f"choose 3 to {top}, or 0 for RAVEN's ranges"
        raise OperatorError("out of range", where="--levels", value=settings.levels, remedy=remedy)
    if not settings.configurations:
        raise OperatorError("no configuration", where="--configuration", remedy="leave it out for all seven")
    for name in settings.configurations:
        if name not in CONFIGURATIONS:
            remedy = f"use {', '.join(CONFIGURATIONS)}"
            raise OperatorError("no such configuration", where="--configuration", value=name, remedy=remedy)
    if settings.kind == "symbols" and (settings.coarse or settings.fine or settings.rules):
        remedy = "give --coarse 0 --fine 0 --rules 0"
        raise OperatorError("there is no picture to ask about", where="--kind", value="symbols", remedy=remedy)
