"""A sheet of pictures with their questions and answers, to be looked at before anything is trained."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from errata.tools.errors import OperatorError
from errata.tools.pictures import open_picture
from errata.tools.records import Problem, seed_of

if TYPE_CHECKING:
    from PIL import Image

WIDTH, HEIGHT, CAPTION, GAP = 260, 200, 84, 12
"""Pixels of a cell: its picture, the text below it, and the distance to the next."""
LINES = 5


class SheetResult(NamedTuple):
    """What was drawn."""

    file: Path
    shown: tuple[str, ...]
    """Ids of the problems, left to right and down."""


def draw_sheet(
    problems: Sequence[Problem], *, file: Path, columns: int = 5, rows: int = 4, seed: int = 0
) -> SheetResult:
    """A PNG of up to columns x rows problems with pictures, drawn at random by `seed` and put in id order.

    Raises OperatorError when no problem has a picture or the file cannot be written.
    """
    from PIL import Image, ImageDraw, ImageFont

    if file.suffix.lower() != ".png":
        remedy = "name a file that ends in .png"
        raise OperatorError("a sheet is a PNG", where="--sheet", value=str(file), remedy=remedy)
    pictured = [problem for problem in problems if problem.images]
    if not pictured:
        raise OperatorError("no problem has a picture", where="--sheet", remedy="leave --sheet out")
    chosen = random.Random(seed_of("sheet", seed)).sample(pictured, min(columns * rows, len(pictured)))
    chosen.sort(key=lambda problem: problem.id)
    columns = min(columns, len(chosen))
    lines = -(-len(chosen) // columns)
    size = (columns * (WIDTH + GAP) + GAP, lines * (HEIGHT + CAPTION + GAP) + GAP)
    sheet = Image.new("RGB", size, "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=12)
    for i, problem in enumerate(chosen):
        left = GAP + (i % columns) * (WIDTH + GAP)
        top = GAP + (i // columns) * (HEIGHT + CAPTION + GAP)
        width, height = _paste(sheet, problem, left=left, top=top)
        for j, line in enumerate(_caption(problem, f"{width}x{height}", pen=pen, font=font)):
            pen.text((left, top + HEIGHT + 4 + 15 * j), line, fill="black" if j else "#555555", font=font)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        sheet.save(file, format="PNG")
    except OSError as error:
        what = f"cannot be written ({error.strerror})"
        raise OperatorError(what, where=str(file), remedy="name another file") from error
    return SheetResult(file, tuple(problem.id for problem in chosen))


def _paste(sheet: Image.Image, problem: Problem, *, left: int, top: int) -> tuple[int, int]:
    """Put the first picture into its cell, whole and centred; returns its own size in pixels."""
    from PIL import Image

    picture = open_picture(problem.images[0].path).image
    size = picture.size
    scale = min(WIDTH / picture.width, HEIGHT / picture.height)
    small = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    picture = picture.resize(small, Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.NEAREST)
    place = (left + (WIDTH - small[0]) // 2, top + (HEIGHT - small[1]) // 2)
    sheet.paste(Image.new("RGB", (WIDTH, HEIGHT), "#eeeeee"), (left, top))
    sheet.paste(picture, place)
    return size


def _caption(problem: Problem, size: str, *, pen: Any, font: Any) -> list[str]:
    """Id and size, as much of the question as fits, and the answer."""
    more = f", {len(problem.images)} pictures" if len(problem.images) > 1 else ""
    answer = f"{problem.target}) {problem.target_text}" if problem.choices else problem.target
    head = [_fit(f"{problem.id}  {size}{more}", pen=pen, font=font)]
    lines, words = [""], problem.question.split()
    for word in words:
        longer = f"{lines[-1]} {word}".strip()
        if pen.textlength(longer, font=font) <= WIDTH:
            lines[-1] = longer
        else:
            lines.append(word)
    room = LINES - 2
    if len(lines) > room:
        lines = [*lines[: room - 1], f"{lines[room - 1]} ..."]
    return [*head, *(_fit(line, pen=pen, font=font) for line in lines), _fit(f"= {answer}", pen=pen, font=font)]


def _fit(text: str, *, pen: Any, font: Any) -> str:
    """The text in one line, cut off where the cell ends."""
    text = " ".join(text.split())
    if pen.textlength(text, font=font) <= WIDTH:
        return text
    while text and pen.textlength(f"{text}...", font=font) > WIDTH:
        text = text[:-1]
    return f"{text}..."
