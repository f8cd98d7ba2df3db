"""Matrices: proof, leaks in the candidates, frequencies, speed, and agreement with 700 matrices of others.

The last needs ERRATA_DATA and is left out without it. Also draws docs/matrices.png, one matrix of each configuration.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from scipy.stats import chisquare

from benchmarks.matrices_guesser import as_pixels, as_values, train_guesser
from benchmarks.tables import ROOT, parse_arguments, write_table
from errata.tools.synthesize.matrices.draw import draw_matrix, lay_out
from errata.tools.synthesize.matrices.generate import Matrix, make_matrix, place_rules
from errata.tools.synthesize.matrices.iraven import check_labels, read_iraven
from errata.tools.synthesize.matrices.layout import CONFIGURATIONS, LOOKS, Component, scale_of
from errata.tools.synthesize.matrices.read_panel import Group, Style, read_panel
from errata.tools.synthesize.matrices.rules import possible_kinds
from errata.tools.synthesize.matrices.settings import MatrixSettings
from errata.tools.synthesize.matrices.solve import solve_matrix
from errata.tools.synthesize.matrices.write import write_matrices

SEED = 11
HARDER: dict[str, dict[str, Any]] = {
    "5 panels in a row": {"columns": 5},
    "10 panels in a row, 40 levels": {"columns": 10, "levels": 40},
    "1000 levels": {"levels": 1000},
    "an attribute without rule in every grid": {"noise": 1.0},
}
TRAIN, ASK = 5000, 2000


def make_some(settings: MatrixSettings, number: int) -> Iterator[Matrix]:
    """The first matrices of these settings."""
    return (make_matrix(i, settings=settings) for i in range(number))


def count_proofs(matrices: Sequence[Matrix], *, levels: int = 0) -> tuple[float, float]:
    """(share that the solver answers as labelled and proves, share in which it also names every rule as labelled)."""
    right = rules = 0
    for matrix in matrices:
        found = solve_matrix(
            matrix.context,
            matrix.candidates,
            configuration=matrix.configuration,
            columns=matrix.columns,
            levels=levels,
        )
        right += found.proved and found.fits == (matrix.answer,)
        named = {(e.component, e.attribute, *e.rules) for e in found.explanations}
        rules += named == {(g.component, g.attribute, g.rule) for g in matrix.rules}
    return right / len(matrices), rules / len(matrices)


def compare_frequencies(matrices: Sequence[Matrix]) -> Iterator[tuple[str, dict[str, int], float, float]]:
    """(attribute, counts by rule, specified share of each, p of a chi-square test) for the specification: all rules
    that have room are equally likely.
    """
    counts: dict[str, Counter[str]] = {name: Counter() for name in ("places of 4", "places of 9", *LOOKS)}
    for matrix in matrices:
        for governed in matrix.rules:
            slots = len(matrix.configuration.components[governed.component].slots)
            if governed.attribute in ("number", "position"):
                counts[f"places of {slots}"][f"{governed.rule.kind} {governed.attribute}"] += 1
            else:
                counts[governed.attribute][governed.rule.kind] += 1
    for name, found in counts.items():
        if name.startswith("places"):
            expected = [f"{kind} {attribute}" for attribute, kind in place_rules(int(name.split()[-1]), 3)]
        else:
            attribute = next(a for a in LOOKS if a == name)
            expected = [*possible_kinds(attribute, scale=scale_of(attribute, slots=1), columns=3)]
        assert set(found) == set(expected), (name, found, expected)
        p = float(chisquare([found[e] for e in expected]).pvalue)
        yield name, dict(sorted(found.items())), 1 / len(expected), p


def read_back(matrices: Sequence[Matrix], settings: MatrixSettings) -> tuple[int, int]:
    """(objects, those whose place, type, size and colour the pixels allow): what is drawn is what the record says."""
    at = lay_out(settings.pixels, settings.columns)
    grays = tuple(round(255 * (1 - c / 9)) for c in range(10))
    objects = right = 0
    for matrix in matrices:
        pixels = np.asarray(draw_matrix(matrix, settings=settings))
        inner = "out" in matrix.configuration.name
        groups = [
            Group(component.slots, radii(component), "inner" if number and inner else "outer")
            for number, component in enumerate(matrix.configuration.components)
        ]
        shown = [*zip(matrix.context, at.places, strict=False), *zip(matrix.candidates, at.candidates, strict=True)]
        for panel, (x, y) in shown:
            inside = pixels[y + 2 : y + at.panel - 2, x + 2 : x + at.panel - 2]
            for state, found in zip(panel, read_panel(inside, groups, style=Style(grays)), strict=True):
                for slot, looks in state.objects:
                    objects += 1
                    seen = found.get(slot)
                    right += seen is not None and all(v in s for v, s in zip(looks, seen, strict=True))
    return objects, right


def radii(component: Component) -> tuple[float, ...]:
    """By size."""
    step = (component.largest - component.smallest) / 5
    return tuple(component.smallest + step * i for i in range(6))


def guess(settings: MatrixSettings, number: tuple[int, int], read: Callable[..., torch.Tensor]) -> dict[str, float]:
    """How often the answer is guessed from the candidates alone."""
    train, ask = number
    matrices = list(make_some(settings, train + ask))
    answers = torch.tensor([m.answer for m in matrices])
    found = train_guesser(read(matrices, settings), answers, train=train, seed=SEED)
    return {key: round(value, 4) for key, value in found._asdict().items()}


def hash_folder(folder: Path) -> str:
    """One digest of all names and bytes."""
    total = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            total.update(str(path.relative_to(folder)).encode() + b"\0" + path.read_bytes())
    return total.hexdigest()


def time_writing(number: int) -> tuple[float, int, bool]:
    """(seconds for all on two processes, bytes on disk, whether 1, 2 and 3 processes write the same bytes)."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        begin = time.monotonic()
        write_matrices(folder / "all", settings=MatrixSettings(number=number, seed=SEED), workers=2)
        seconds = time.monotonic() - begin
        size = sum(path.stat().st_size for path in (folder / "all").rglob("*") if path.is_file())
        few = MatrixSettings(number=210, seed=SEED)
        digests = set()
        for workers in (1, 2, 3):
            write_matrices(folder / str(workers), settings=few, workers=workers)
            digests.add(hash_folder(folder / str(workers)))
    return seconds, size, len(digests) == 1


def check_others(file: Path) -> dict[str, dict[str, int]]:
    """By configuration: matrices, decided by labels and picture, of these as the pack says, contradicting."""
    found: dict[str, dict[str, int]] = {}
    for matrix in read_iraven(file).matrices:
        verdict = check_labels(matrix)
        answer = ord(matrix.problem.target) - ord("A")
        row = found.setdefault(
            matrix.configuration.name, {"matrices": 0, "decided": 0, "agree": 0, "open": 0, "contradict": 0}
        )
        row["matrices"] += 1
        decided = len(verdict.fits) == 1
        row["decided"] += decided
        row["agree"] += decided and verdict.fits == (answer,)
        row["open"] += len(verdict.fits) > 1
        row["contradict"] += not verdict.fits
    return found


def draw_sheet(file: Path) -> None:
    """One matrix of each configuration, and one with ten panels in a row and all confounders."""
    settings = MatrixSettings(number=7, seed=5, pixels=320)
    pictures = [draw_matrix(make_matrix(i, settings=settings), settings=settings) for i in range(len(CONFIGURATIONS))]
    knobs = {"columns": 10, "levels": 40, "confounders": 4, "uncertainty": 0.5, "pixels": 960}
    hard = settings.model_copy(update=knobs)
    gap, (width, height) = 12, pictures[0].size
    long = draw_matrix(make_matrix(3, settings=hard), settings=hard)
    sheet = Image.new("L", (4 * (width + gap) + gap, 2 * (height + gap) + long.height + 2 * gap), 200)
    for i, picture in enumerate(pictures):
        sheet.paste(picture, (gap + i % 4 * (width + gap), gap + i // 4 * (height + gap)))
    sheet.paste(long, ((sheet.width - long.width) // 2, 2 * (height + gap) + gap))
    sheet.quantize(16).save(file, optimize=True)


def main() -> None:
    """All parts; with `--quick` a tenth of each."""
    arguments = parse_arguments(__doc__ or "")
    share = 10 if arguments.quick else 1
    many, number = 10_000 // share, (TRAIN // share, ASK // share)
    rows: list[list[object]] = []
    settings = MatrixSettings(number=many, seed=SEED)
    matrices = list(make_some(settings, many))
    agreement, named = count_proofs(matrices)
    rows.append([f"solver agrees with the label and proves it, {many} matrices", f"{agreement:.2%}"])
    rows.append(["solver names every rule and step as labelled", f"{named:.2%}"])
    result: dict[str, Any] = {"agreement": agreement, "rules_named": named, "matrices": many}
    for name, knobs in HARDER.items():
        harder = MatrixSettings(number=many // 10, seed=SEED, **knobs)
        share_right = count_proofs([*make_some(harder, many // 10)], levels=harder.levels)[0]
        rows.append([f"agreement, {name}, {many // 10} matrices", f"{share_right:.2%}"])
        result.setdefault("agreement_harder", {})[name] = share_right
    objects, right = read_back(matrices[: 140 // share], settings)
    rows.append(["drawn objects that are read back from pixels as recorded", f"{right} of {objects}"])
    result["read_back"] = right / objects
    _add_guesses(rows, result, number)
    seconds, size, same = time_writing(many)
    rows.append(["matrices a second, two processes, 512 pixels, with 9 questions each", f"{many / seconds:.0f}"])
    rows.append([f"seconds for {many}", f"{seconds:.0f}"])
    rows.append(["megabytes on disk", f"{size / 1e6:.0f}"])
    rows.append(["1, 2 and 3 processes write the same bytes", "yes" if same else "NO"])
    result |= {"per_second": round(many / seconds, 1), "seconds": round(seconds, 1), "same_bytes": same}
    result["frequencies"] = {}
    for name, counts, expected, p in compare_frequencies(matrices):
        total = sum(counts.values())
        text = ", ".join(f"{rule} {count / total:.3f}" for rule, count in counts.items())
        rows.append([f"rules of {name} (specified: {expected:.3f} each)", f"{text}; p {p:.2f}"])
        result["frequencies"][name] = {"counts": counts, "expected_share": round(expected, 4), "p": round(p, 4)}
    if "ERRATA_DATA" in os.environ:
        _add_others(rows, result, Path(os.environ["ERRATA_DATA"]) / "iraven" / "iraven.jsonl")
    draw_sheet(ROOT / "docs" / "matrices.png")
    _write(rows, result, number, quick=arguments.quick)


def _add_guesses(rows: list[list[object]], result: dict[str, Any], number: tuple[int, int]) -> None:
    ours, raven = MatrixSettings(number=1, seed=SEED + 1), MatrixSettings(number=1, seed=SEED + 1, candidates="raven")
    harder = MatrixSettings(number=1, seed=SEED + 1, columns=5, levels=30)
    small = {"pixels": 160}
    guesses = {
        "ours, from values": guess(ours, number, as_values),
        "ours, 5 panels in a row and 30 levels, from values": guess(harder, number, as_values),
        "ours, from pixels": guess(ours.model_copy(update=small), number, as_pixels),
        "RAVEN-style, from values": guess(raven, number, as_values),
        "RAVEN-style, from pixels": guess(raven.model_copy(update=small), number, as_pixels),
    }
    for name, found in guesses.items():
        text = f"{found['right']:.3f} ({found['low']:.3f} to {found['high']:.3f})"
        rows.append([f"guesser without the matrix: {name} (chance .125)", text])
    result["guesser"] = guesses["ours, from values"]["right"]
    result["guesser_raven_style"] = guesses["RAVEN-style, from values"]["right"]
    result["guessers"] = guesses


def _add_others(rows: list[list[object]], result: dict[str, Any], file: Path) -> None:
    others = check_others(file)
    total = {key: sum(row[key] for row in others.values()) for key in next(iter(others.values()))}
    for name, row in {**others, "all": total}.items():
        text = f"{row['decided']} decided, {row['agree']} of them as the pack says; "
        text += f"{row['open']} open, {row['contradict']} read wrong"
        rows.append([f"I-RAVEN pack, {name}, {row['matrices']} matrices", text])
    result["iraven"] = {**others, "all": total}


def _write(rows: list[list[object]], result: dict[str, Any], number: tuple[int, int], *, quick: bool) -> None:
    write_table(
        "matrices",
        title="Matrices: proofs, leaks, frequencies, speed",
        columns=["what", "measured"],
        rows=rows,
        result=result,
        quick=quick,
        notes=[
            f"The guesser is trained on {number[0]} matrices (a tenth of them chooses the epoch), asked {number[1]};",
            "95 % intervals. p: chi-square against equal shares. A matrix of the pack is decided when its rule labels",
            "and the values that its picture allows leave one candidate; its pictures have 16 grays and panels of 56",
            "pixels, so that values of small objects are often not certain (open) and sometimes wrong.",
        ],
    )


if __name__ == "__main__":
    main()
