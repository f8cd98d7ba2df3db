"""P3's two stages on the embedded world: what each part of the recipe is worth, one part left out at a time.

The pictures have their colour channels in another order, so that the embedded student reads their colours wrongly:
perception has to be adapted first. Stage one trains picture encoder and connector on questions about cells, language
model frozen; stage two trains all weights on these and on questions about four rules that the student lacks. Asked are
questions of the test side of the world: what stands in two cells and the rules, on such pictures; and what the student
knew before, on the pictures that it knew.
"""

from __future__ import annotations

import hashlib
import random
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.tables import ROOT, parse_arguments, write_table
from errata.tools.evaluate.compare import paired_interval
from errata.tools.evaluate.student import GenerateOptions, evaluate_student
from errata.tools.records import ImageRef, Problem, Split, digest, seed_of
from errata.tools.student.source import StudentSource
from errata.tools.train.host import StudentHost
from errata.tools.train.recipe import Recipe
from errata.tools.train.stages import Stage, train_stages
from errata.tools.world.draw import draw_scene, encode_png
from errata.tools.world.generate import HARD, KNOWN, LACKING, make_problem, split_of_question
from errata.tools.world.programs import FAMILIES
from errata.tools.world.questions import sample_question
from errata.tools.world.scene import CELLS, Scene

BASE = str(ROOT / "tools" / "world" / "student")
LOOKUPS = ("colours_at", "shapes_at", "sizes_at", "poles_at")
RULES = tuple(f.name for f in FAMILIES.values() if f.focus in LACKING and f.focus not in HARD)
OLD = tuple(f.name for f in FAMILIES.values() if f.focus in KNOWN and f.focus not in HARD)
REGULAR = "There is one order."
"""Prefix of answers to questions about a rule, in words of the student's vocabulary; all others have none."""
SMALL: dict[str, Any] = {"method": "full", "batch_size": 8, "device": "cpu"}
SEEN, REASONED, ASKED = 800, 800, 400


class Cell(NamedTuple):
    """Which parts of the recipe a training has."""

    order: str = "shuffled"
    process: bool = True
    prefix: bool = True
    replay: float = 0.1


CELLS_OF_THE_STUDY = {
    "the recipe": Cell(),
    "two cells in the order of the grid": Cell(order="grid"),
    "answers without the process": Cell(process=False),
    "no prefix": Cell(prefix=False),
    "no replay": Cell(replay=0.0),
}


def write_scene(scene: Scene, folder: Path, *, swapped: bool) -> ImageRef:
    """The picture of a scene as a file."""
    pixels = draw_scene(scene)
    png = encode_png(pixels[..., [1, 2, 0]] if swapped else pixels)
    sha = hashlib.sha256(png).hexdigest()
    path = folder / f"{sha[:20]}.png"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png)
    return ImageRef(path=str(path), sha256=sha)


def ask_world(
    families: Sequence[str], count: int, *, split: Split, seed: int, folder: Path, swapped: bool
) -> list[Problem]:
    """Questions of these families, in turn, from one side of the world's split."""
    rng = random.Random(seed_of("two-stage", families, split, seed))
    problems = []
    for number in range(count):
        family = FAMILIES[families[number % len(families)]]
        question = sample_question(family, rng, allowed=lambda key: split_of_question(key) == split)
        image = write_scene(question.scene, folder, swapped=swapped)
        problem = make_problem(question, split=split, image=image, skills=question.skills)
        problems.append(problem.model_copy(update={"id": f"{problem.id}-{number}"}))
    return problems


def elicit(count: int, *, order: str, seed: int, folder: Path) -> list[Problem]:
    """Elicitation: what two cells hold; any two, or (`grid`) two that follow one another in the order of the grid."""
    rng = random.Random(seed_of("elicit", seed))
    found: list[Problem] = []
    while len(found) < count:
        some = ask_world(LOOKUPS, count, split="pool", seed=rng.getrandbits(32), folder=folder, swapped=True)
        found += some if order == "shuffled" else [p for p in some if follows_grid(p.question)]
    return [p.model_copy(update={"metadata": {**p.metadata, "level": "fine"}}) for p in found[:count]]


def follows_grid(question: str) -> bool:
    """Whether the two cells of a question are neighbours in reading order."""
    first, second = (CELLS.index(name) for name in re.findall(r"\b[abcd][1-4]\b", question))
    return second == first + 1


def prepare(problems: Sequence[Problem], *, process: bool = True, prefix: str = "") -> list[Problem]:
    """Samples with or without their process and with a prefix before the answer."""
    kept = [f"{prefix} {p.rationale if process else ''}".strip() for p in problems]
    return [p.model_copy(update={"rationale": text}) for p, text in zip(problems, kept, strict=True)]


def make_stages(replay: float, *, seed: int) -> tuple[Stage, Stage]:
    """P3's stages, with rates and epochs for a student of one million parameters."""
    return (
        Stage(
            name="perception",
            uses=("perception",),
            recipe=Recipe(
                target_modules="vision-and-connector",
                learning_rate=1e-3,
                epochs=4,
                replay=replay,
                seed=seed,
                **SMALL,
            ),
        ),
        Stage(
            name="reasoning",
            uses=("perception", "reasoning"),
            recipe=Recipe(target_modules="all", learning_rate=1e-3, epochs=4, replay=replay, seed=seed, **SMALL),
        ),
    )


def train_cell(cell: Cell, *, seed: int, folder: Path, pictures: Path, host: StudentHost) -> None:
    """Both stages of one training; a finished one is not repeated."""
    prefix = REGULAR if cell.prefix else ""
    seen = elicit(SEEN, order=cell.order, seed=seed, folder=pictures)
    rules = ask_world(RULES, REASONED, split="pool", seed=seed, folder=pictures, swapped=True)
    old = ask_world(OLD, REASONED, split="pool", seed=seed, folder=pictures, swapped=False)
    train_stages(
        [*seen, *prepare(rules, process=cell.process, prefix=prefix)],
        stages=make_stages(cell.replay, seed=seed),
        base=source(None),
        folder=folder,
        replay=old,
        host=host,
    )


def source(folder: Path | None) -> StudentSource:
    """The embedded student, or what it became in `folder`."""
    return StudentSource(
        base=BASE,
        adapter=str(folder) if folder else None,
        checkpoint=str(folder or "base"),
        prompt="student_brief",
        image_first=False,
    )


class Measured(NamedTuple):
    """Scores of one student, a question each; `prefixes`: share of rule answers that begin with their prefix."""

    see: list[float]
    rule: list[float]
    old: list[float]
    prefixes: float


def measure(model: StudentSource, asked: dict[str, list[Problem]], *, host: StudentHost) -> Measured:
    """Ask all questions."""
    options = GenerateOptions(max_new_tokens=200, batch_size=64, device="cpu")
    answers = {name: evaluate_student(some, model=model, options=options, host=host) for name, some in asked.items()}
    scores = {name: [attempt.score for attempt in some] for name, some in answers.items()}
    named = sum(attempt.response.strip().startswith(REGULAR) for attempt in answers["rule"])
    return Measured(scores["see"], scores["rule"], scores["old"], named / len(answers["rule"]))


def ask_all(split: Split, *, folder: Path, count: int) -> dict[str, list[Problem]]:
    """The three sets of questions."""
    return {
        "see": ask_world(LOOKUPS, count, split=split, seed=0, folder=folder, swapped=True),
        "rule": ask_world(RULES, count, split=split, seed=0, folder=folder, swapped=True),
        "old": ask_world(OLD, count, split=split, seed=0, folder=folder, swapped=False),
    }


def run_study(work: Path, *, seeds: int, count: int) -> dict[str, list[Measured]]:
    """By training, a measurement each seed; after the first stage alone under `NAME: first stage`."""
    found: dict[str, list[Measured]] = {}
    asked = ask_all("test", folder=work / "pictures", count=count)
    with StudentHost() as host:
        found["the student before"] = [measure(source(None), asked, host=host)] * seeds
        for name, cell in CELLS_OF_THE_STUDY.items():
            for seed in range(seeds):
                folder = work / f"{digest(name, length=8)}-{seed}"
                train_cell(cell, seed=seed, folder=folder, pictures=work / "pictures", host=host)
                found.setdefault(name, []).append(measure(source(folder), asked, host=host))
                if cell.order == "grid" or cell == Cell():
                    first = measure(source(folder / "1-perception"), asked, host=host)
                    found.setdefault(f"{name}: first stage", []).append(first)
                print(name, seed, [round(mean(s), 3) for s in found[name][-1][:3]], flush=True)
    return found


def mean(values: Sequence[float]) -> float:
    """0 for none."""
    return sum(values) / max(1, len(values))


TABLES = (
    ("order of elicitation, after the first stage", "see", "two cells in the order of the grid: first stage"),
    ("order of elicitation", "see", "two cells in the order of the grid"),
    ("order of elicitation", "rule", "two cells in the order of the grid"),
    ("process supervision", "rule", "answers without the process"),
    ("prefix", "rule", "no prefix"),
    ("replay", "old", "no replay"),
    ("replay", "rule", "no replay"),
)
ASKED_FOR = {
    "see": "what is in two cells",
    "rule": "four rules",
    "old": "what it knew, on the pictures that it knew",
}


def compare(found: dict[str, list[Measured]]) -> tuple[list[list[object]], dict[str, Any]]:
    """A row a comparison: with the part, without it, and the difference over all seeds, paired by question."""
    rows: list[list[object]] = []
    result: dict[str, Any] = {}
    for part, measure_name, without in TABLES:
        full = "the recipe: first stage" if without.endswith(": first stage") else "the recipe"
        pairs = [
            (getattr(a, measure_name), getattr(b, measure_name))
            for a, b in zip(found[full], found[without], strict=True)
        ]
        each = [mean(a) - mean(b) for a, b in pairs]
        gain = paired_interval([x - y for a, b in pairs for x, y in zip(a, b, strict=True)], seed=0)
        with_part, without_part = mean([mean(a) for a, _ in pairs]), mean([mean(b) for _, b in pairs])
        by_seed = ", ".join(f"{value:+.3f}" for value in each)
        interval = f"{gain.value:+.3f} ({gain.low:+.3f} to {gain.high:+.3f})"
        rows.append([part, ASKED_FOR[measure_name], with_part, without_part, interval, by_seed])
        result[f"{part}: {measure_name}"] = {
            "with": round(with_part, 4),
            "without": round(without_part, 4),
            "gain": round(gain.value, 4),
            "lo": round(gain.low, 4),
            "hi": round(gain.high, 4),
            "by_seed": [round(value, 4) for value in each],
        }
    return rows, result


def main() -> None:
    """Train, ask, and write the table."""
    arguments = parse_arguments(__doc__ or "")
    seeds, count = (1, 80) if arguments.quick else (3, ASKED)
    with tempfile.TemporaryDirectory() as temporary:
        found = run_study(Path(temporary), seeds=seeds, count=count)
    rows, result = compare(found)
    before = found["the student before"][0]
    result["before"] = {name: round(mean(getattr(before, name)), 4) for name in ASKED_FOR}
    named = round(mean([m.prefixes for m in found["the recipe"]]), 4)
    result |= {"seeds": seeds, "questions": count, "prefix_right": named}
    see, rule, old = (f"{result['before'][name]:.2f}" for name in ("see", "rule", "old"))
    write_table(
        "two_stage",
        title="P3's two stages on the embedded world, one part left out at a time",
        columns=["part", "asked", "with it", "without it", "difference (95 %)", "by seed"],
        rows=rows,
        result=result,
        notes=[
            f"Each figure: {count} questions of the world's test side, {seeds} seeds of samples and training.",
            "The interval is a paired bootstrap over the questions of all seeds.",
            "The pictures have their colour channels in another order;",
            f"before the training the student got {see} of what is in two cells and {rule} of the rules",
            f"on them, and {old} of what it knew on the pictures that it knew (two options a question).",
            f"{SEEN} questions about two cells, {REASONED} about rules; the prefix of a rule was written",
            f"before {named:.3f} of the answers about rules.",
            "Without the process a sample's target is its answer alone.",
            "Rates and epochs are for a student of one million parameters, chosen on other questions: P3 states them",
            "for one of 7 billion.",
        ],
        quick=arguments.quick,
    )


if __name__ == "__main__":
    main()
