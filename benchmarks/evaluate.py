"""Answering: answers a second against generating one by one, and against batches without sorting or early stop.

The embedded student answers questions of its world with up to 160 tokens, greedily, in float32 on one thread. The three
ways take turns (A B C A B C); loading is not counted. Answers must be identical, letter by letter.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

from benchmarks.tables import ROOT, parse_arguments, write_table
from errata.tools.evaluate.generate import generate_by_library
from errata.tools.evaluate.student import EvaluateJob, GenerateOptions, plan_batches
from errata.tools.evaluate.worker import answer_batch
from errata.tools.records import Problem, from_jsonl
from errata.tools.student.encode import encode_prompts
from errata.tools.student.load import Student, open_student
from errata.tools.student.source import StudentSource
from errata.tools.world.generate import WorldSizes, generate_world

NEW_TOKENS, BATCH = 160, 64
SOURCE = StudentSource(
    base=str(ROOT / "tools" / "world" / "student"), checkpoint="base", prompt="student_brief", image_first=False
)


def answer_ours(problems: Sequence[Problem], *, student: Student) -> dict[str, str]:
    """Batches by length; rows that ended leave the batch."""
    options = GenerateOptions(max_new_tokens=NEW_TOKENS, batch_size=BATCH, device="cpu")
    job = EvaluateJob(model=SOURCE, options=options, batches=())
    answers = {}
    for batch in plan_batches(problems, size=BATCH):
        responses = answer_batch(batch, student=student, job=job)
        answers |= {problem.id: said for problem, said in zip(batch, responses, strict=True)}
    return answers


@torch.inference_mode()
def answer_by_library(problems: Sequence[Problem], *, student: Student, size: int) -> dict[str, str]:
    """transformers' `generate` over the problems as they come, `size` at a time."""
    answers = {}
    for start in range(0, len(problems), size):
        batch = problems[start : start + size]
        inputs = encode_prompts(batch, student=student, prompt=SOURCE.prompt, image_first=SOURCE.image_first)
        new = generate_by_library(dict(inputs), student=student, max_new_tokens=NEW_TOKENS)
        texts = student.tokenizer.batch_decode(new, skip_special_tokens=True)
        answers |= {problem.id: text.strip() for problem, text in zip(batch, texts, strict=True)}
    return answers


def place_pictures(problem: Problem, folder: Path) -> Problem:
    """The problem with its pictures' whole paths."""
    images = tuple(ref.model_copy(update={"path": str(folder / ref.path)}) for ref in problem.images)
    return problem.model_copy(update={"images": images})


def main() -> None:
    """Measure and write the table."""
    arguments = parse_arguments(__doc__ or "")
    torch.set_num_threads(1)
    number, rounds = (64, 1) if arguments.quick else (384, 3)
    student = open_student(SOURCE.base, adapter=None, device="cpu")
    student.model.eval()
    with tempfile.TemporaryDirectory() as folder:
        sizes = WorldSizes(pool=200, diagnosis=number, gate=50, test=50)
        world = generate_world(Path(folder) / "world", seed=5, sizes=sizes)
        rows = (world.folder / "diagnosis.jsonl").read_text(encoding="utf-8")
        problems = [place_pictures(problem, world.folder) for problem in from_jsonl(rows, Problem)]
        ways: dict[str, Callable[[], dict[str, str]]] = {
            "ours": lambda: answer_ours(problems, student=student),
            "loop": lambda: answer_by_library(problems, student=student, size=1),
            "batches": lambda: answer_by_library(problems, student=student, size=BATCH),
        }
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        answers: dict[str, dict[str, str]] = {}
        answer_ours(problems[:8], student=student)
        for _ in range(rounds):
            for name, way in ways.items():
                started = time.perf_counter()
                answers[name] = way()
                seconds[name].append(time.perf_counter() - started)
    best = {name: min(taken) for name, taken in seconds.items()}
    same = sum(len({answers[name][p.id] for name in ways}) == 1 for p in problems)
    result = {
        "speedup_vs_loop": round(best["loop"] / best["ours"], 2),
        "speedup_vs_batches": round(best["batches"] / best["ours"], 2),
        "identical": same == len(problems),
    }
    labels = {
        "ours": "batches by length, ended rows leave",
        "loop": "transformers generate, one by one",
        "batches": f"transformers generate, {BATCH} as they come",
    }
    write_table(
        "evaluate",
        title="Answering: speed",
        columns=["way", "answers a second", "against ours"],
        rows=[[labels[n], f"{len(problems) / best[n]:.1f}", f"{best[n] / best['ours']:.2f}"] for n in ways],
        result=result,
        notes=[f"{len(problems)} questions, best of {rounds} rounds in turn; {same} answers are the same in all ways."],
        quick=arguments.quick,
    )


if __name__ == "__main__":
    main()
