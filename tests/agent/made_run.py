"""A small made-up run, written record by record through `RunFolder`: forty questions a split, two rounds."""

from __future__ import annotations

import hashlib
from pathlib import Path

from PIL import Image

from errata.agent.run.folder import RunFolder
from errata.agent.settings.data import DataSettings, SourceSettings
from errata.agent.settings.file import dump_settings
from errata.agent.settings.tree import RunSettings, Settings, StudentSettings
from errata.tools.records import (
    Attempt,
    Candidate,
    Checkpoint,
    Comparison,
    Cost,
    Decision,
    ImageRef,
    Interval,
    Lesson,
    MissingSkill,
    Mistake,
    Problem,
    Scorecard,
    SkillScore,
    SkippedRow,
    Split,
    to_jsonl,
)

BASE, FIRST, SECOND = "base", "checkpoint-1", "checkpoint-2"
COLOURS = ("red", "blue", "green", "yellow")
SKILLS = ("read the colour of a square", "mix two colours")


def make_problem(number: int, *, split: Split, folder: Path) -> Problem:
    """A square of one colour, the question which, and two skills by turns."""
    path = folder / f"{split}-{number}.png"
    Image.new("RGB", (16, 16), COLOURS[number % 4]).save(path)
    sha = hashlib.sha256(path.read_bytes()).hexdigest()
    return Problem(
        id=f"{split}-{number:03d}",
        images=(ImageRef(path=str(path), sha256=sha),),
        question=f"Which colour has square {number} <in the picture>?",
        choices=COLOURS,
        target="ABCD"[number % 4],
        rationale="The square stands in the middle. It is coloured so.",
        split=split,
        skills=(SKILLS[number % 2],),
    )


def make_attempt(problem: Problem, *, checkpoint: str, correct: bool) -> Attempt:
    """Two steps, the second wrong where the answer is."""
    answer = problem.target if correct else "ABCD"[("ABCD".index(problem.target) + 1) % 4]
    steps = ("The square stands in the middle.", f" It is {problem.choices['ABCD'.index(answer)]}.")
    return Attempt(
        id=f"attempt-{checkpoint}-{problem.id}",
        problem=problem.id,
        checkpoint=checkpoint,
        response="".join(steps) + f" The answer is {answer}.",
        steps=steps,
        answer=answer,
        correct=correct,
        score=float(correct),
        format_error=False,
    )


def make_scorecard(checkpoint: str, split: Split, *, correct: tuple[int, int], total: int = 40) -> Scorecard:
    """`correct` of each of the two skills."""
    value = sum(correct) / total
    skills = tuple(SkillScore(skill=s, correct=c, total=total // 2) for s, c in zip(SKILLS, correct, strict=True))
    return Scorecard(
        id=f"scorecard-{checkpoint}-{split}",
        checkpoint=checkpoint,
        split=split,
        accuracy=Interval(value=value, low=max(0.0, value - 0.14), high=min(1.0, value + 0.14)),
        correct=sum(correct),
        total=total,
        format_errors=0,
        by_skill=skills,
    )


def make_comparison(before: str, after: str, split: Split, *, gain: float, low: float, accepted: bool) -> Comparison:
    """The interval is symmetric around `gain`."""
    return Comparison(
        before=before,
        after=after,
        split=split,
        total=40,
        gain=Interval(value=gain, low=low, high=2 * gain - low),
        fixed=12,
        broken=2,
        p_value=0.0129 if low > 0 else 0.6,
        accepted=accepted,
        reason="accepted: the gain is beyond noise" if low > 0 else "rejected: the gain is within noise",
    )


def make_run(root: Path, *, name: str = "made-1", low: float = 0.1) -> tuple[RunFolder, dict[str, Problem]]:
    """The run and its validation questions. `low` is the lower end of the interval of the final test gain."""
    pictures = root / f"pictures-{name}"
    pictures.mkdir(parents=True)
    splits: tuple[Split, ...] = ("pool", "diagnosis", "gate", "test")
    made = {split: [make_problem(n, split=split, folder=pictures) for n in range(8)] for split in splits}
    for split, found in made.items():
        (pictures / f"{split}.jsonl").write_text(to_jsonl(found))
    folder = RunFolder(root / name)
    settings = Settings(
        run=RunSettings(name="made", seed=3),
        data=DataSettings(**{s: SourceSettings(path=str(pictures / f"{s}.jsonl")) for s in splits}),
        student=StudentSettings(base=str(root / "base")),
    )
    folder.write_text("settings.yaml", dump_settings(settings))
    problems = [p for split in splits[1:] for p in made[split]]
    _write_chain(folder, [p for p in problems if p.split == "diagnosis"], pictures)
    _write_scores(folder, low=low)
    _write_logs(folder)
    return folder, {p.id: p for p in problems}


def _write_chain(folder: RunFolder, problems: list[Problem], pictures: Path) -> None:
    attempts = [make_attempt(p, checkpoint=BASE, correct=i >= 4) for i, p in enumerate(problems)]
    folder.write_records(f"attempts/{BASE}.diagnosis.jsonl", attempts)
    mistakes = [_make_mistake(a) for a in attempts if not a.correct]
    folder.write_records("mistakes/1.jsonl", mistakes)
    skills = [
        MissingSkill(
            id=f"skill-{m.problem}",
            mistake=m.id,
            problem=m.problem,
            iteration=1,
            wording="naming the colour",
            skill=SKILLS[i % 2],
        )
        for i, m in enumerate(mistakes)
    ]
    folder.write_records("skills/1.jsonl", skills)
    candidates = [_make_candidate(i, skills[i % 4], pictures) for i in range(6)]
    folder.write_records("candidates/1.jsonl", candidates)
    taken = [(i, candidate) for i, candidate in enumerate(candidates) if candidate.accepted]
    folder.write_records("lessons.jsonl", [_make_lesson(i, candidate) for i, candidate in taken])


def _make_mistake(attempt: Attempt) -> Mistake:
    return Mistake(
        id=f"mistake-{attempt.problem}",
        attempt=attempt.id,
        problem=attempt.problem,
        iteration=1,
        method="answer_switch",
        status="found",
        step=1,
        gaps=(-0.6, None, 0.7),
        run_length=1,
        confidence=0.7,
        probes=2,
    )


def _make_candidate(number: int, skill: MissingSkill, pictures: Path) -> Candidate:
    return Candidate(
        id=f"candidate-{number}",
        problem=make_problem(number, split="pool", folder=pictures),
        route="bm25",
        score=3.5,
        parents=(skill.id,),
        skill=skill.skill,
        accepted=number < 5,
        reason="rank 1",
    )


def _make_lesson(number: int, candidate: Candidate) -> Lesson:
    return Lesson(
        id=f"lesson-{number}",
        problem=candidate.problem,
        candidate=candidate.id,
        parents=candidate.parents,
        route=candidate.route,
        skill=candidate.skill,
        iteration=1,
    )


def _write_scores(folder: RunFolder, *, low: float) -> None:
    folder.write_records(
        "checkpoints.jsonl",
        [
            Checkpoint(id=BASE, parent=None, folder="student", lessons=0, recipe="r", loss=None),
            Checkpoint(id=FIRST, parent=BASE, folder="checkpoints/checkpoint-1", lessons=5, recipe="r", loss=0.4),
            Checkpoint(id=SECOND, parent=BASE, folder="checkpoints/checkpoint-2", lessons=5, recipe="r", loss=0.3),
        ],
    )
    folder.write_records(
        "scorecards.jsonl",
        [
            make_scorecard(BASE, "gate", correct=(8, 8)),
            make_scorecard(FIRST, "gate", correct=(18, 8)),
            make_scorecard(SECOND, "gate", correct=(18, 7)),
            make_scorecard(BASE, "test", correct=(9, 9)),
            make_scorecard(FIRST, "test", correct=(17, 8)),
        ],
    )
    folder.write_records(
        "comparisons.jsonl",
        [
            make_comparison(BASE, FIRST, "gate", gain=0.25, low=0.1, accepted=True),
            make_comparison(FIRST, SECOND, "gate", gain=-0.025, low=-0.1, accepted=False),
            make_comparison(BASE, FIRST, "test", gain=0.175, low=low, accepted=low > 0),
        ],
    )
    folder.write_records(
        "decisions.jsonl",
        [
            Decision(
                id=f"decision-{i}",
                iteration=1,
                batch=SKILLS[0],
                step=i,
                tool=tool,
                arguments={"budget": 5},
                reason=reason,
                cost=Cost(teacher_calls=calls, samples=samples),
                outcome=outcome,
                gain=0.25,
            )
            for i, (tool, reason, calls, samples, outcome) in enumerate(
                [
                    ("locate_mistakes", "nothing is known about these errors yet", 8, 0, "4 of 4 located"),
                    ("retrieve_samples", "most errors lack one skill", 0, 5, "5 samples for 2 skills"),
                ]
            )
        ],
    )


def _write_logs(folder: RunFolder) -> None:
    folder.write_records(
        "skipped.jsonl",
        [SkippedRow(source="pool.jsonl", row=n, id=f"x{n}", reason="picture is missing") for n in range(3)],
    )
    folder.write_records("overlaps.jsonl", [])
    counts = {"pool": 8, "diagnosis": 8, "gate": 8, "test": 8}
    folder.write_json("manifest.json", {s: {"questions": n, "digest": f"d-{s}"} for s, n in counts.items()})
    folder.spend("investigate", iteration=1, seconds=2.5, asked=8, paid=8)
    folder.spend("train", iteration=1, seconds=61.0, samples=5)
    folder.event("run_ended", reason="no_gain_twice")
    folder.write_json("result.json", {"stop_reason": "no_gain_twice"})
