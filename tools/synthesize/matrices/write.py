"""Many matrices into one folder: rows, pictures, and a note of the settings.

    matrices.jsonl     one problem a matrix, with its chain of thought
    perception.jsonl   the questions about each picture, in the order in which they are to be asked
    images/            one PNG a matrix
    matrices.json      version, settings, counts

Every matrix is made from the seed and its index alone, so that any number of processes writes the same bytes. Every
matrix is solved before it is written.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from errata.tools.errors import OperatorError
from errata.tools.records import ImageRef, Problem, to_jsonl
from errata.tools.synthesize.matrices.draw import draw_matrix, encode_png
from errata.tools.synthesize.matrices.generate import VERSION, make_matrix
from errata.tools.synthesize.matrices.problems import make_problems
from errata.tools.synthesize.matrices.settings import MatrixSettings, check_settings
from errata.tools.synthesize.matrices.solve import solve_matrix

WHOLE, PERCEPTION, IMAGES, NOTE = "matrices.jsonl", "perception.jsonl", "images", "matrices.json"
PIECE = 50
"""Matrices a process makes at a time."""


class Written(NamedTuple):
    """What lies in the folder."""

    folder: Path
    matrices: int
    questions: int
    """About pictures."""
    repeated: int
    """Matrices whose panels occur before; only narrow settings have any."""
    rules: dict[str, int]
    """Times that a rule governs an attribute, e.g. `progression of size`."""
    reused: bool
    """The folder held them already."""


class _Lines(NamedTuple):
    whole: str
    perception: str
    questions: int
    contents: list[str]
    rules: Counter[str]


def write_matrices(
    folder: Path,
    *,
    settings: MatrixSettings,
    workers: int = 1,
    on_progress: Callable[[int, int], None] | None = None,
) -> Written:
    """Make, prove, draw and write. The folder appears whole or not at all; one with the same settings is reused.

    Raises OperatorError for settings that cannot be made, a folder with other content, and a disk that refuses.
    """
    check_settings(settings)
    stamp = {"version": VERSION, "settings": settings.model_dump(mode="json")}
    if folder.exists():
        return _reuse(folder, stamp)
    draft = folder.with_name(f"{folder.name}.draft-{os.getpid()}")
    try:
        result = _write_draft(draft, stamp, settings, workers, on_progress)
        draft.rename(folder)
    except OSError as error:
        remedy = "free space or choose another folder"
        raise OperatorError(f"cannot write matrices: {error.strerror}", where=str(folder), remedy=remedy) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return Written(folder=folder, **result, reused=False)


def _reuse(folder: Path, stamp: dict[str, Any]) -> Written:
    try:
        note = json.loads((folder / NOTE).read_text(encoding="utf-8"))
        same = {key: note[key] for key in stamp} == stamp
    except (OSError, ValueError, KeyError, TypeError):
        same = False
    if not same:
        what = "this folder holds something else, or matrices of other settings"
        raise OperatorError(what, where=str(folder), remedy="remove it or name another folder")
    return Written(folder=folder, **note["counts"], reused=True)


def _write_draft(
    draft: Path,
    stamp: dict[str, Any],
    settings: MatrixSettings,
    workers: int,
    on_progress: Callable[[int, int], None] | None,
) -> dict[str, Any]:
    (draft / IMAGES).mkdir(parents=True)
    pieces = [range(start, min(start + PIECE, settings.number)) for start in range(0, settings.number, PIECE)]
    contents: set[str] = set()
    rules: Counter[str] = Counter()
    done = questions = 0
    with (
        (draft / WHOLE).open("w", encoding="utf-8", newline="\n") as whole,
        (draft / PERCEPTION).open("w", encoding="utf-8", newline="\n") as perception,
    ):
        for lines in _run_pieces(pieces, draft, settings, workers):
            whole.write(lines.whole)
            perception.write(lines.perception)
            contents.update(lines.contents)
            rules += lines.rules
            done, questions = done + len(lines.contents), questions + lines.questions
            if on_progress:
                on_progress(done, settings.number)
    if not questions:
        (draft / PERCEPTION).unlink()
    if settings.kind == "symbols":
        (draft / IMAGES).rmdir()
    counts = {
        "matrices": done,
        "questions": questions,
        "repeated": done - len(contents),
        "rules": dict(sorted(rules.items())),
    }
    (draft / NOTE).write_text(json.dumps({**stamp, "counts": counts}, indent=1) + "\n", encoding="utf-8")
    return counts


def _run_pieces(pieces: Sequence[range], folder: Path, settings: MatrixSettings, workers: int) -> Iterator[_Lines]:
    """In order; in processes of their own when more than one is asked for and there is enough to do."""
    workers = min(workers, len(pieces))
    if workers <= 1:
        yield from (_write_piece(piece, folder, settings) for piece in pieces)
        return
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(_write_piece, pieces, [folder] * len(pieces), [settings] * len(pieces))


def _write_piece(piece: range, folder: Path, settings: MatrixSettings) -> _Lines:
    whole: list[Problem] = []
    perception: list[Problem] = []
    rules: Counter[str] = Counter()
    for index in piece:
        matrix = make_matrix(index, settings=settings)
        solution = solve_matrix(
            matrix.context,
            matrix.candidates,
            configuration=matrix.configuration,
            columns=matrix.columns,
            levels=settings.levels,
        )
        assert solution.proved, f"matrix {index} of {settings} has no proof"
        assert solution.fits == (matrix.answer,), f"matrix {index} of {settings} has another answer"
        image = None
        if settings.kind == "picture":
            png = encode_png(draw_matrix(matrix, settings=settings))
            image = ImageRef(path=f"{IMAGES}/{index:06}.png", sha256=hashlib.sha256(png).hexdigest())
            (folder / image.path).write_bytes(png)
        problem, questions = make_problems(matrix, settings=settings, image=image)
        whole.append(problem)
        perception += questions
        rules.update(f"{g.rule.kind} of {g.attribute}" for g in matrix.rules)
    contents = [str(problem.metadata["content"]) for problem in whole]
    return _Lines(to_jsonl(whole), to_jsonl(perception), len(perception), contents, rules)
