"""A made-up run whose accepted checkpoint is a real adapter of the tiny student, trained in a process of its own."""

from __future__ import annotations

import shutil
from functools import cache
from pathlib import Path

from errata.agent.run.folder import RunFolder
from errata.tools.records import Lesson, Problem
from errata.tools.train.recipe import Recipe
from errata.tools.train.run import train_student
from tests.agent.made_run import FIRST, make_run
from tests.tiny_student import build_problems, shared_folder, shared_host, source, teach

RECIPE = Recipe(
    learning_rate=1e-2, batch_size=4, epochs=2, lora_rank=4, lora_alpha=8, replay=0.2, device="cpu"
)  # fmt: skip
LICENCES = ("CC-BY-4.0", "CC-BY-4.0", "MIT", "", "")


@cache
def trained() -> Path:
    """Folder of an adapter that was trained on five lessons and one general sample, once a session."""
    folder = shared_folder() / "exported" / "c1"
    problems = build_problems(shared_folder() / "exported-pictures", 6, seed=4)
    train_student(
        teach(problems[:5]),
        base=source(),
        recipe=RECIPE,
        folder=folder,
        checkpoint_id=FIRST,
        replay=problems[5:],
        host=shared_host(),
    )
    return folder


def make_exported_run(root: Path, *, name: str = "made-1") -> RunFolder:
    """The made-up run over the tiny student; its lessons are those that the adapter was trained on."""
    folder, _ = make_run(root, name=name)
    if not (root / "base").exists():
        shutil.copytree(shared_folder() / "base", root / "base")
    shutil.copytree(trained(), folder.path / "checkpoints" / FIRST)
    old = folder.read_records("lessons.jsonl", Lesson)
    problems = build_problems(shared_folder() / "exported-pictures", 6, seed=4)
    taught = [_with_licence(p, licence) for p, licence in zip(problems[:5], LICENCES, strict=True)]
    folder.write_records(
        "lessons.jsonl", [lesson.model_copy(update={"problem": p}) for lesson, p in zip(old, taught, strict=True)]
    )
    return folder


def _with_licence(problem: Problem, licence: str) -> Problem:
    stated = {"License": licence, "source": "a | b"} if licence else {}
    return problem.model_copy(update={"metadata": stated})
