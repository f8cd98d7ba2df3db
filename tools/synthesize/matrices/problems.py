"""A matrix as the project's own records: one problem for the whole, one for each question about its picture."""

from __future__ import annotations

import random

from errata.tools.records import ImageRef, Problem, digest, seed_of
from errata.tools.synthesize.matrices.generate import Matrix, Panel
from errata.tools.synthesize.matrices.layout import Attribute, scale_of
from errata.tools.synthesize.matrices.perception import Asked, ask_matrix
from errata.tools.synthesize.matrices.settings import MatrixSettings
from errata.tools.synthesize.matrices.thought import explain_matrix
from errata.tools.synthesize.matrices.words import name_skill, name_value

QUESTION = "Which candidate belongs in the place of the question mark?"


def make_problems(matrix: Matrix, *, settings: MatrixSettings, image: ImageRef | None) -> tuple[Problem, list[Problem]]:
    """(the whole matrix, the questions about its picture in the order in which they are to be asked)."""
    name = f"matrix-{settings.split}-{settings.seed}-{matrix.serial}"
    whole = Problem(
        id=name,
        images=(image,) if image else (),
        question=QUESTION if image else f"{QUESTION}\n{write_symbols(matrix, settings=settings)}",
        choices=tuple(f"candidate {chr(ord('A') + i)}" for i in range(len(matrix.candidates))),
        target=chr(ord("A") + matrix.answer),
        rationale=explain_matrix(matrix, prefix=settings.prefix),
        split=settings.split,
        skills=tuple(dict.fromkeys(name_skill(g.rule, g.attribute) for g in matrix.rules)),
        metadata=describe_matrix(matrix, settings=settings),
    )
    asked = ask_matrix(matrix, settings=settings) if image else []
    return whole, [_make_question(a, number, name, settings, image) for number, a in enumerate(asked)]


def describe_matrix(matrix: Matrix, *, settings: MatrixSettings) -> dict[str, object]:
    """What is true of the matrix, in plain values; `content` is the same for the same panels."""
    return {
        "source": "matrices",
        "level": "whole",
        "configuration": matrix.configuration.name,
        "columns": matrix.columns,
        "candidates": settings.candidates,
        "rules": [[g.component, g.attribute, g.rule.kind, g.rule.step] for g in matrix.rules],
        "noise": [list(pair) for pair in matrix.noise],
        "content": digest(matrix.configuration.name, matrix.panels),
    }


def _make_question(asked: Asked, number: int, matrix: str, settings: MatrixSettings, image: ImageRef | None) -> Problem:
    return Problem(
        id=f"{matrix}-{asked.level}-{number}",
        images=(image,) if image else (),
        question=asked.question,
        choices=asked.options,
        target=chr(ord("A") + asked.options.index(asked.answer)),
        split=settings.split,
        skills=(asked.skill,),
        metadata={"source": "matrices", "level": asked.level, "matrix": matrix, "place": asked.place, "order": number},
    )


def write_symbols(matrix: Matrix, *, settings: MatrixSettings) -> str:
    """Panels and candidates as values, in I-RAVEN-X's way: with uncertainty each size and colour is a distribution."""
    rng = random.Random(seed_of("symbols", matrix.seed))
    lines = []
    for row in range(3):
        panels = matrix.context[row * matrix.columns : (row + 1) * matrix.columns]
        texts = [_write_panel(panel, matrix, settings, rng) for panel in panels]
        lines.append(f"Row {row + 1}: {' | '.join([*texts, *(['?'] if row == 2 else [])])}")
    for number, panel in enumerate(matrix.candidates):
        lines.append(f"Candidate {chr(ord('A') + number)}: {_write_panel(panel, matrix, settings, rng)}")
    return "\n".join(lines)


def _write_panel(panel: Panel, matrix: Matrix, settings: MatrixSettings, rng: random.Random) -> str:
    """`circle, size 3, colour 4`; objects of a grid with their places; confounders as properties without meaning."""
    parts = []
    for state, component in zip(panel, matrix.configuration.components, strict=True):
        for slot, (kind, size, colour) in state.objects:
            place = name_value("position", 1 << slot, component) if len(component.slots) > 1 else ""
            where = " ".join(filter(None, (component.name, place)))
            values = [
                name_value("type", kind, component),
                f"size {_spread('size', size, settings, rng)}",
                *([] if component.white else [f"colour {_spread('colour', colour, settings, rng)}"]),
                *(f"property {i + 1} {rng.randrange(settings.levels or 10)}" for i in range(settings.confounders)),
            ]
            parts.append(f"{where}: {', '.join(values)}" if where else ", ".join(values))
    return "; ".join(parts)


def _spread(attribute: Attribute, value: int, settings: MatrixSettings, rng: random.Random) -> str:
    """The value, or up to three values around it with their probabilities; the true one is always the likeliest."""
    if not settings.uncertainty:
        return str(value)
    scale = scale_of(attribute, slots=1, levels=settings.levels)
    beside = round(100 * rng.uniform(0, settings.uncertainty / 2))
    below = rng.randint(0, beside) if value > scale.low else 0
    above = beside - below if value < scale.high else 0
    shares = ((value - 1, below), (value, 100 - below - above), (value + 1, above))
    return " or ".join(f"{v} ({share / 100:.2f})" for v, share in shares if share)
