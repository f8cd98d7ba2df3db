"""Whose samples are about what the student lacks? All selection methods at equal budget, without any training.

The shipped base student answers the diagnosis questions of a world; its errors are located and named as in a run. Each
method then chooses from the same pool. What a sample is truly about is known by construction (the family of its
question); what the student lacks is what it was not taught. `need` is measured on other questions, those of the gate:
the error rate of the base student on the skill that a chosen sample is about, meaned over the chosen samples.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.tables import ROOT, parse_arguments, write_table
from errata.agent.settings.file import load_settings
from errata.tools.data.read import read_problems
from errata.tools.evaluate.compare import wilson
from errata.tools.evaluate.student import evaluate_student
from errata.tools.locate.answer_switch import SwitchOptions, locate_mistakes
from errata.tools.records import Attempt, Candidate, MissingSkill, Mistake, Problem
from errata.tools.retrieve.chroma import SkillCollection
from errata.tools.retrieve.dense import DenseIndex
from errata.tools.retrieve.embeddings import HashingEmbedding
from errata.tools.retrieve.lexical import SkillIndex
from errata.tools.retrieve.rivals import METHODS, Means, Request
from errata.tools.retrieve.rivals.ablations import steps_as_skills, validation_as_skills
from errata.tools.retrieve.rivals.gradients import StudentGradients
from errata.tools.retrieve.rivals.perplexity import FolderPerplexity
from errata.tools.retrieve.rivals.superfiltering import make_exchange
from errata.tools.retrieve.select import HybridIndex
from errata.tools.student.source import StudentSource
from errata.tools.tag import tag_missing_skills, tag_required_skills
from errata.tools.teacher.world import WorldTeacher
from errata.tools.vectors import Embedding
from errata.tools.world.generate import LACKING, WorldSizes, generate_world, world_name
from errata.tools.world.programs import FAMILIES

CONFIG = ROOT / "runs" / "configs" / "demo.yaml"
FULL = WorldSizes(pool=3000, diagnosis=300, gate=300, test=1)
QUICK = WorldSizes(pool=1000, diagnosis=100, gate=100, test=1)
SEED, DRAWS = 7, 3


class Setup(NamedTuple):
    """A world, what the base student got wrong in it, and what is there to choose with."""

    request: Request
    means: Means
    need: Mapping[str, float]
    """Error rate of the base student on the gate questions about a skill."""
    queries: Mapping[str, Sequence[MissingSkill]]
    """By ablation of errata-bm25, what is searched for in place of the diagnosed skills."""
    errors: int
    seconds: Mapping[str, float]
    """Of diagnosis and index, which the searching methods share."""


def prepare_setup(folder: Path, *, sizes: WorldSizes, budget: int) -> Setup:
    """Evaluate, diagnose, index."""
    student = load_settings(CONFIG, []).student
    world = generate_world(folder / world_name(seed=SEED, sizes=sizes), seed=SEED, sizes=sizes).folder
    pool, diagnosis, gate = (
        {p.id: p for p in read_problems(world / f"{split}.jsonl", split=split).problems}
        for split in ("pool", "diagnosis", "gate")
    )
    source = StudentSource(base=student.base, checkpoint="base", prompt=student.prompt, image_first=student.image_first)
    asked = [*diagnosis.values(), *gate.values()]
    attempts = {a.problem: a for a in evaluate_student(asked, model=source, options=student.generate, workers=2)}
    wrong = [attempts[name] for name in diagnosis if not attempts[name].correct]
    began = time.perf_counter()
    mistakes = locate_mistakes(wrong, problems=diagnosis, teacher=WorldTeacher(), iteration=1, options=SwitchOptions())
    skills = name_skills(mistakes, attempts=wrong, problems=diagnosis)
    diagnosed = time.perf_counter()
    required = tag_required_skills(pool.values(), teacher=WorldTeacher()).by_problem
    lexical = SkillIndex.build(required)
    embedding = HashingEmbedding()
    dense = open_dense(folder / "selection-index", lexical, embedding=embedding)
    indexed = time.perf_counter()
    return Setup(
        request=Request(pool, budget, skills=skills, validation=list(diagnosis.values())),
        means=Means(
            search=lexical,
            bm25=lexical,
            dense=dense,
            hybrid=HybridIndex(lexical, dense),
            embed=embedding,
            perplexity=FolderPerplexity(Path(student.base)),
            gradients=StudentGradients(source),
        ),
        need=measure_need(gate, attempts),
        queries=make_queries(mistakes, attempts=wrong, problems=diagnosis),
        errors=len(wrong),
        seconds={"diagnosis": diagnosed - began, "index": indexed - diagnosed},
    )


def make_queries(
    mistakes: Sequence[Mistake], *, attempts: Sequence[Attempt], problems: Mapping[str, Problem]
) -> dict[str, list[MissingSkill]]:
    """The paper's ablations: what is searched for when a part of the diagnosis is left out."""
    unmarked = [m.model_copy(update={"step": -1, "status": "none"}) for m in mistakes]
    questions = list(problems.values())
    required = tag_required_skills(questions, teacher=WorldTeacher()).by_problem
    return {
        "without mistake identification": name_skills(unmarked, attempts=attempts, problems=problems),
        "without error collection": validation_as_skills(questions, required=required, iteration=1),
        "without skill analysis": steps_as_skills(mistakes, attempts={a.id: a for a in attempts}),
    }


def load_models(setup: Setup) -> None:
    """Import and load what the models need, so that no method's seconds hold another one's share of it."""
    (sample,) = list(setup.request.pool.values())[:1]
    assert setup.means.perplexity is not None
    assert setup.means.gradients is not None
    setup.means.perplexity([make_exchange(sample)])
    setup.means.gradients([sample])


def name_skills(
    mistakes: Sequence[Mistake], *, attempts: Sequence[Attempt], problems: Mapping[str, Problem]
) -> list[MissingSkill]:
    """One missing skill per mistake, in the teacher's words."""
    return tag_missing_skills(
        mistakes,
        attempts={a.id: a for a in attempts},
        problems=problems,
        teacher=WorldTeacher(),
        iteration=1,
        served={},
        known_skills=(),
    )


def open_dense(folder: Path, samples: SkillIndex, *, embedding: Embedding) -> DenseIndex:
    """The skill index in Chroma."""
    collection = SkillCollection(folder, embedding=embedding)
    collection.build(samples.count_skills())
    return DenseIndex(collection, samples)


def measure_need(gate: Mapping[str, Problem], attempts: Mapping[str, Attempt]) -> dict[str, float]:
    """Error rate by skill, in fractions."""
    wrong: dict[str, list[bool]] = {}
    for name, problem in gate.items():
        wrong.setdefault(true_skill(problem), []).append(not attempts[name].correct)
    return {skill: sum(found) / len(found) for skill, found in sorted(wrong.items())}


def true_skill(problem: Problem) -> str:
    """What the question is about, by construction."""
    return FAMILIES[str(problem.metadata["family"])].focus


def choose(name: str, setup: Setup) -> tuple[list[Candidate], float]:
    """What a method chooses, accepted alone, and its seconds; `random` is the mean of its draws."""
    began = time.perf_counter()
    seeds = range(DRAWS) if name == "random" else range(1)
    chosen = []
    for seed in seeds:
        selection = METHODS[name](setup.request._replace(seed=seed), means=setup.means)
        chosen += [c for c in selection.candidates if c.accepted]
    return chosen, (time.perf_counter() - began) / len(seeds)


def score_choice(candidates: Sequence[Candidate], *, seconds: float, draws: int, setup: Setup) -> dict[str, float]:
    """Share about what is lacking, with its Wilson interval over samples, and the rest of a row."""
    about = [true_skill(c.problem) for c in candidates]
    share = wilson(sum(skill in LACKING for skill in about), len(about))
    known = [setup.need[skill] for skill in about if skill in setup.need]
    unique = len({c.problem.id for c in candidates}) if draws == 1 else len(candidates) / draws
    return {
        "lacking": share.value,
        "low": share.low,
        "high": share.high,
        "need": sum(known) / len(known),
        "skills": float(len(set(about) & set(LACKING))),
        "unique": unique,
        "seconds": seconds,
    }


def run_methods(setup: Setup) -> dict[str, dict[str, float]]:
    """All methods by name, then the ablations of errata-bm25."""
    rows: dict[str, dict[str, float]] = {}
    for name in METHODS:
        chosen, seconds = choose(name, setup)
        draws = DRAWS if name == "random" else 1
        rows[name] = score_choice(chosen, seconds=seconds, draws=draws, setup=setup)
    for name, skills in setup.queries.items():
        altered = setup._replace(request=setup.request._replace(skills=skills))
        chosen, seconds = choose("errata-bm25", altered)
        rows[f"errata-bm25, {name}"] = score_choice(chosen, seconds=seconds, draws=1, setup=setup)
    return rows


def main() -> None:
    """Run everything and write the table."""
    arguments = parse_arguments(__doc__ or "")
    sizes, budget = (QUICK, 100) if arguments.quick else (FULL, 300)
    setup = prepare_setup(arguments.runs_dir, sizes=sizes, budget=budget)
    load_models(setup)
    scores = run_methods(setup)
    base = sum(true_skill(p) in LACKING for p in setup.request.pool.values()) / len(setup.request.pool)
    shared = {f"{name}_seconds": round(value, 2) for name, value in setup.seconds.items()}
    result = {
        "pool": sizes.pool,
        "budget": budget,
        "errors": setup.errors,
        "missing_skills": len(setup.request.skills),
        "share_in_pool": base,
        **shared,
        "methods": {name: {k: round(v, 4) for k, v in row.items()} for name, row in scores.items()},
    }
    rows = [
        [
            name,
            f"{100 * row['lacking']:.1f} %",
            f"{100 * row['low']:.1f} to {100 * row['high']:.1f}",
            row["need"],
            f"{int(row['skills'])} of {len(LACKING)}",
            round(row["unique"]),
            f"{row['seconds']:.2f}",
        ]
        for name, row in scores.items()
    ]
    write_table(
        "selection",
        title="What the methods choose: samples about a skill that the student lacks",
        columns=["method", "about a lacking skill", "95 % interval", "need", "skills", "unique samples", "seconds"],
        rows=rows,
        result=result,
        quick=arguments.quick,
        notes=describe(result),
    )


def describe(result: Mapping[str, object]) -> list[str]:
    """How the table is to be read."""
    return [
        f"Pool of {result['pool']} samples ({100 * float(str(result['share_in_pool'])):.1f} % about a lacking skill), "
        f"budget {result['budget']}; {result['errors']} errors of the base student on the diagnosis questions, "
        f"{result['missing_skills']} missing skills. Lacking: {', '.join(LACKING)}.",
        f"Diagnosis ({result['diagnosis_seconds']} s) and index ({result['index_seconds']} s), which the first four "
        "methods share, are not in their seconds; the other methods' seconds are all that they take with their "
        "models loaded.",
        "`need`: mean error rate of the base student on gate questions about the chosen samples' skills.",
        "Stand-ins, since no model is shipped for them: `dense`, `hybrid` and `insta` embed by hashed letter n-grams, "
        "`superfiltering` asks the base student's own language model without the picture. `less` takes gradients at "
        "the base, without warm-up training.",
        "`random` is the mean of three seeds. `full` takes no notice of the budget; `validation-only` is as large as "
        "the budget allows. The interval is Wilson's over the chosen samples and says nothing of another world.",
    ]


if __name__ == "__main__":
    main()
