"""Families of students: a tiny random one of each family's real classes, trained, asked, exported and opened again.

Run it where torchvision is installed: `make families-test`, then `.families-test/bin/python -m benchmarks.families`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from benchmarks.students import draw_pictures, make_samples
from benchmarks.tables import parse_arguments, write_table
from benchmarks.train import write_job
from errata.tools.errors import OperatorError
from errata.tools.evaluate.generate import generate_by_library, generate_greedily
from errata.tools.records import Problem
from errata.tools.student.checks import check_mask, check_packing, check_passes, check_pictures, check_prompt
from errata.tools.student.encode import encode_prompts, encode_sample
from errata.tools.student.families import FAMILIES
from errata.tools.student.load import Student, open_student
from errata.tools.train.worker import run_training
from tests.families import build_family, lacking

HOW: dict[str, Any] = {"prompt": "student_brief", "image_first": True}


class Shown(NamedTuple):
    """What one family showed. Differences are the largest of any logit, in units of the logits' spread."""

    trained: bool = False
    asked: bool = False
    changed: bool = False
    passes: float = float("nan")
    packed: float | None = None
    reloaded: float = float("nan")
    reason: str = ""


def answer(problems: Sequence[Problem], student: Student) -> list[list[int]]:
    """Answers as token ids; ours and the library's must be the same."""
    student.model.eval()
    batch = dict(encode_prompts(problems, student=student, **HOW))
    with torch.inference_mode():
        ours = generate_greedily(dict(batch), student=student, max_new_tokens=16)
        if ours != generate_by_library(dict(batch), student=student, max_new_tokens=16):
            raise OperatorError("our loop and the library's generate answer differently")
    return ours


def first_logits(problem: Problem, student: Student) -> torch.Tensor:
    """Logits of the first token of the answer."""
    batch = dict(encode_prompts([problem], student=student, **HOW))
    with torch.inference_mode():
        logits: torch.Tensor = student.model.eval()(**batch).logits[0, -1]
    return logits


def show(family: str, work: Path, problems: list[Problem]) -> Shown:
    """Everything of one family."""
    if reason := lacking(family):
        return Shown(reason=reason)
    base = build_family(family, work / family)
    student = open_student(str(base), adapter=None, device="cpu")
    samples = [encode_sample(problem, student=student, **HOW) for problem in problems[:4]]
    check_pictures(samples, student=student)
    for sample, problem in zip(samples, problems, strict=False):
        check_mask(sample, problem, student=student)
        check_prompt(sample, problem, student=student, **HOW)
    passes = max(check_passes(s, p, student=student, **HOW) for s, p in zip(samples, problems, strict=False))
    packed = check_packing(samples, student=student) if student.family.packs else None
    before = answer(problems[:4], student)
    folder = write_job(work / f"{family}-c1", problems, base=str(base), prompt=HOW["prompt"], learning_rate=3e-2)
    said: list[dict[str, Any]] = []
    run_training(folder, said.append)
    losses = [body["progress"]["loss"] for body in said if "progress" in body]
    adapted = open_student(str(base), adapter=str(folder), device="cpu")
    after = answer(problems[:4], adapted)
    adapted.model.save_pretrained(work / f"{family}-merged")
    adapted.processor.save_pretrained(work / f"{family}-merged")
    again = open_student(str(work / f"{family}-merged"), adapter=None, device="cpu")
    one, other = (first_logits(problems[0], each) for each in (adapted, again))
    return Shown(
        trained=losses[-1] < losses[0],
        asked=True,
        changed=before != after,
        passes=passes,
        packed=packed,
        reloaded=float((one - other).abs().max() / one.std()),
    )


def main() -> None:
    """Show every family and write the table."""
    arguments = parse_arguments(__doc__ or "")
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        pictures = [*draw_pictures(work / "wide", 4, side=100), *draw_pictures(work / "small", 4, side=56)]
        problems = make_samples(16 if arguments.quick else 24, pictures=pictures)
        shown = {family: show(family, work, problems) for family in FAMILIES}
    tick = {True: "yes", False: "no"}
    rows: list[list[object]] = []
    for family, one in shown.items():
        name = FAMILIES[family].name
        if one.reason:
            rows.append([name, *["-"] * 6, one.reason])
            continue
        packed = "-" if one.packed is None else f"{one.packed:.1e}"
        ticks = [tick[one.trained], tick[one.asked], tick[one.changed]]
        rows.append([name, *ticks, f"{one.passes:.1e}", packed, f"{one.reloaded:.1e}", FAMILIES[family].note])
    result = {
        "families": len(shown),
        "trained": sum(one.trained for one in shown.values()),
        "asked": sum(one.asked for one in shown.values()),
        "changed": sum(one.changed for one in shown.values()),
        "equal": sum(one.passes < 1e-3 for one in shown.values()),
        "reloaded": sum(one.reloaded < 1e-3 for one in shown.values()),
        "lacking": sum(bool(one.reason) for one in shown.values()),
    }
    write_table(
        "families",
        title="Families of students",
        columns=["family", "trained", "asked", "adapter changes answers", "passes", "packed", "reloaded", "note"],
        rows=rows,
        result=result,
        notes=[
            "Tiny random students of the real classes. Passes: largest difference of the logits between the forward "
            "pass of training and that of answering, on the same tokens; packed: between a packed row and each sample "
            "alone; reloaded: between the merged student and the same saved and opened again. All in units of the "
            "logits' spread, float32. Asked: our loop and the library's generate give the same tokens.",
        ],
        quick=arguments.quick,
    )


if __name__ == "__main__":
    main()
