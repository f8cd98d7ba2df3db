"""A tiny dataset, a student that answers from a table, and a teacher that reads a script: no model, no torch."""

from __future__ import annotations

import json
import re
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from errata.agent.run.folder import RunFolder
from errata.agent.run.reporter import SilentReporter, Stage
from errata.agent.settings.tree import Settings
from errata.tools.evaluate.score import make_attempts
from errata.tools.records import Attempt, Checkpoint, Lesson, Problem, seed_of
from errata.tools.teacher.protocol import (
    JudgeReply,
    JudgeRequest,
    MissingSkillRequest,
    Operation,
    OptionReply,
    OptionRequest,
    ProposeReply,
    ProposeRequest,
    RequiredSkillsRequest,
    SkillReply,
)

SKILLS = ("count shapes", "compare sizes", "mirror letters", "name colours")
NEEDS = {"count shapes": 6, "compare sizes": 14, "mirror letters": 10_000, "name colours": 0}
"""Lessons after which the student has a skill; 10,000 is never."""


def write_data(folder: Path, *, pool: int = 160, rest: int = 40) -> None:
    """Four splits as JSONL of Problem records, without pictures, skills in turn."""
    folder.mkdir(parents=True, exist_ok=True)
    for split, count in (("pool", pool), ("diagnosis", rest), ("gate", rest), ("test", rest)):
        rows = [make_row(split, number) for number in range(count)]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{split}.jsonl").write_text(text, encoding="utf-8")


def make_row(split: str, number: int) -> dict[str, object]:
    skill = SKILLS[number % len(SKILLS)]
    return {
        "id": f"{split}-{number:03}",
        "question": f"{split} question {number} about {skill}",
        "choices": ["one", "two", "three", "four"],
        "target": "ABCD"[number % 3],
        "rationale": "Look at it. Think.",
        "skills": [skill],
        "split": split,
    }


def make_settings(data: Path, *, base: Path, **changes: object) -> Settings:
    """Settings over `write_data`; `changes` by branch are merged one level deep."""
    base.mkdir(parents=True, exist_ok=True)
    tree: dict[str, object] = {
        "run": {"name": "t", "seed": 3, "branches": 2},
        "data": {s: {"path": str(data / f"{s}.jsonl")} for s in ("pool", "diagnosis", "gate", "test")},
        "student": {"base": str(base)},
        "decide": {"batch_errors": 11, "max_steps": 12},
        "budget": {"total": {"samples": 90}, "iteration": {"samples": 30}, "iterations": 3},
    }
    for branch, value in changes.items():
        old = tree.get(branch)
        tree[branch] = {**old, **value} if isinstance(old, dict) and isinstance(value, dict) else value
    return Settings.model_validate(tree)


class TableStudent:
    """Right on a problem when it has had enough lessons on its skill; fails when asked beyond `lives` answers."""

    def __init__(self, *, needs: dict[str, int] | None = None, lives: int = 10_000) -> None:
        self.needs, self.lives = needs or NEEDS, lives
        self.answered: Counter[tuple[str, str]] = Counter()
        self.trained: Counter[str] = Counter()

    def evaluate(
        self,
        problems: Sequence[Problem],
        *,
        checkpoint: Checkpoint,
        store: Path,
        on_answer: Callable[[int, int, int], None],
    ) -> list[Attempt]:
        learned = (
            json.loads((Path(checkpoint.folder) / "counts.json").read_text()) if checkpoint.parent else {}
        )
        kept = [json.loads(line) for line in store.read_text().splitlines()] if store.exists() else []
        known = {row["problem"]: row["response"] for row in kept}
        right = 0
        for done, problem in enumerate(problems, start=1):
            if problem.id not in known:
                assert self.lives > 0, "the student is asked for more answers than it has"
                self.lives -= 1
                self.answered[checkpoint.id, problem.id] += 1
                known[problem.id] = self.answer(problem, learned)
                with store.open("a") as file:
                    file.write(json.dumps({"problem": problem.id, "response": known[problem.id]}) + "\n")
            right += known[problem.id].endswith(f"{problem.target}.")
            on_answer(done, len(problems), right)
        return make_attempts(problems, [known[p.id] for p in problems], checkpoint=checkpoint.id)

    def answer(self, problem: Problem, learned: dict[str, int]) -> str:
        able = learned.get(problem.skills[0], 0) >= self.needs[problem.skills[0]]
        letter = problem.target if able else "D"
        return (
            f"The picture shows {problem.id}. So it must be this. Therefore I choose. The answer is {letter}."
        )

    def train(
        self,
        lessons: Sequence[Lesson],
        *,
        checkpoint_id: str,
        folder: Path,
        replay: Sequence[Problem],
        max_seconds: float | None,
        on_progress: Callable[[int, int, float | None], None],
    ) -> Checkpoint:
        own = {"validation": "diagnosis"}
        assert all(lesson.problem.split == own.get(lesson.route, "pool") for lesson in lessons)
        assert all(problem.split == "pool" for problem in replay)
        del max_seconds
        folder.mkdir(parents=True, exist_ok=True)
        for step in (1, 2):
            on_progress(step, 2, 1 / step)
        counts = Counter(lesson.problem.skills[0] for lesson in lessons)
        (folder / "counts.json").write_text(json.dumps(counts))
        (folder / "adapter_model.safetensors").write_bytes(bytes(100))
        self.trained[checkpoint_id] += 1
        return Checkpoint(
            id=checkpoint_id,
            parent="base",
            folder=str(folder),
            lessons=len(lessons),
            recipe="table",
            loss=0.5,
        )


class ScriptedTeacher:
    """Believes the second step of every student is the wrong one; names a served skill as such and again."""

    name = "scripted"

    def __init__(self, *, operations: frozenset[Operation] | None = None, lives: int = 100_000) -> None:
        every: frozenset[Operation] = frozenset({"option_probabilities", "missing_skill", "required_skills"})
        self.operations: frozenset[Operation] = every if operations is None else operations
        self.lives = lives
        self.asked: Counter[str] = Counter()
        self._lock = threading.Lock()

    def _spend(self, keys: Sequence[str]) -> None:
        with self._lock:
            assert self.lives >= len(keys), "the teacher is asked for more than it has"
            self.lives -= len(keys)
            self.asked.update(keys)

    def option_probabilities(self, requests: Sequence[OptionRequest]) -> list[OptionReply]:
        self._spend([f"{r.problem}/{len(r.steps)}" for r in requests])
        return [self._weigh(r) for r in requests]

    def _weigh(self, request: OptionRequest) -> OptionReply:
        count = len(request.options)
        wrong = count - 1 if len(request.steps) >= 2 else seed_of(request.problem) % (count - 1)
        probabilities = [0.1 / (count - 1)] * count
        probabilities[wrong] = 0.9
        return OptionReply(probabilities=tuple(probabilities), mass=1.0)

    def missing_skill(self, requests: Sequence[MissingSkillRequest]) -> list[SkillReply]:
        self._spend([f"{r.problem.id}/skill/{len(r.served)}" for r in requests])
        return [SkillReply(skills=(r.problem.skills[0] + " again" * len(r.served),)) for r in requests]

    def required_skills(self, requests: Sequence[RequiredSkillsRequest]) -> list[SkillReply]:
        self._spend([f"{r.problem.id}/required" for r in requests])
        return [SkillReply(skills=r.problem.skills) for r in requests]

    def judge(self, requests: Sequence[JudgeRequest]) -> list[JudgeReply]:
        raise AssertionError(f"this teacher cannot judge {requests}")

    def propose(self, requests: Sequence[ProposeRequest]) -> list[ProposeReply]:
        raise AssertionError(f"this teacher cannot propose {requests}")


class StoppingReporter(SilentReporter):
    """Asks for a stop when a stage ends for the `number`-th time."""

    def __init__(self, folder: RunFolder, *, stage: Stage, number: int) -> None:
        self.folder, self.stage, self.left = folder, stage, number

    def stage_ended(self, stage: Stage, *, iteration: int, seconds: float, summary: str) -> None:
        del iteration, seconds, summary
        self.left -= stage == self.stage
        if self.left == 0:
            self.left = -1
            self.folder.request_stop()


RECORDS = (
    "scorecards.jsonl",
    "comparisons.jsonl",
    "decisions.jsonl",
    "lessons.jsonl",
    "checkpoints.jsonl",
    "skipped.jsonl",
    "result.json",
)


def read_everything(folder: RunFolder) -> dict[str, str]:
    """All records of a run by file name; the name of the run folder is no part of them."""
    names = [*RECORDS]
    for part in ("attempts", "mistakes", "skills", "candidates"):
        names += sorted(f"{part}/{path.name}" for path in (folder.path / part).glob("*.jsonl"))
    texts = {name: (folder.path / name).read_text(encoding="utf-8") for name in names}
    own = re.compile(rf"(?<![\w-]){re.escape(folder.id)}(?![\w-])")  # and not a part of another folder's name
    return {name: own.sub("RUN", text) for name, text in texts.items()}
