"""Trainings of several stages, one after the other: what each trains, on which samples, how fast (P3).

A stage starts from the base with the stages before it merged in. The checkpoint is the folder of all stages; opening
it merges them in order. `PLANS` holds the papers' plans as data.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from errata.tools.errors import OperatorError
from errata.tools.records import Problem, Record
from errata.tools.student.source import STAGES, StudentSource
from errata.tools.train.host import StudentHost
from errata.tools.train.job import Finished, TrainProgress, write_atomic
from errata.tools.train.mixture import draw_replay
from errata.tools.train.recipe import Recipe
from errata.tools.train.run import train_problems

Kind = Literal["perception", "reasoning"]
TRAP = 0.5
"""Share of fine questions in the order of the grid from which on a person is warned."""


class Stage(Record):
    """One stage."""

    name: str
    uses: tuple[Kind, ...]
    """Kinds of samples that it trains on."""
    recipe: Recipe


PLANS: dict[str, tuple[Stage, ...]] = {
    "p1": (Stage(name="tuning", uses=("perception", "reasoning"), recipe=Recipe()),),
    "p3": (
        Stage(
            name="perception",
            uses=("perception",),
            recipe=Recipe(
                method="full", target_modules="vision-and-connector", learning_rate=1e-5, epochs=4, batch_size=2
            ),
        ),
        Stage(
            name="reasoning",
            uses=("perception", "reasoning"),
            recipe=Recipe(method="full", target_modules="all", learning_rate=2e-6, epochs=1, batch_size=4),
        ),
    ),
}
"""P1 is one stage. P3: picture encoder and connector on perception questions alone, language model frozen; then all
weights on perception mixed with chains of thought. Parts, learning rates, epochs and batches are the paper's; warm-up
and schedule are Errata's defaults, since it states none."""


def kind_of(problem: Problem) -> Kind:
    """Questions about what is seen say their level; everything else is reasoning."""
    return "perception" if problem.metadata.get("level") in ("coarse", "fine") else "reasoning"


def split_samples(
    problems: Sequence[Problem], stages: Sequence[Stage], *, replay: Sequence[Problem] = ()
) -> list[tuple[Problem, ...]]:
    """The samples of each stage, with its recipe's share of replay. Raises `OperatorError` for a stage without any."""
    parts = []
    for stage in stages:
        part = tuple(problem for problem in problems if kind_of(problem) in stage.uses)
        if not part:
            raise OperatorError(
                f"no samples for the stage {stage.name}",
                where="samples",
                value=", ".join(stage.uses),
                remedy="give perception questions too: `errata matrices make` writes perception.jsonl",
            )
        general = draw_replay(replay, beside=part, share=stage.recipe.replay, seed=stage.recipe.seed)
        parts.append((*part, *general))
    return parts


def find_trap(problems: Sequence[Problem]) -> str:
    """A warning when fine questions come in the order of the grid: the loss falls fast and perception with it (P3)."""
    from errata.tools.synthesize.matrices.perception import measure_grid_order

    share = measure_grid_order([p for p in problems if "matrix" in p.metadata and "place" in p.metadata])
    if share < TRAP:
        return ""
    return f"{share:.0%} of the fine questions follow the grid's order: shuffle them for each picture (P3's trap)"


def train_stages(
    problems: Sequence[Problem],
    *,
    stages: Sequence[Stage],
    base: StudentSource,
    folder: Path,
    replay: Sequence[Problem] = (),
    on_progress: Callable[[str, TrainProgress], None] | None = None,
    host: StudentHost | None = None,
) -> list[Finished]:
    """Train all stages into `folder`; a finished stage is not repeated.

    `replay`: general samples of which each stage gets its share. Raises `OperatorError`.
    """
    done: list[Finished] = []
    names: list[str] = []
    parts = split_samples(problems, stages, replay=replay)
    for number, (stage, part) in enumerate(zip(stages, parts, strict=True), start=1):
        name = f"{number}-{stage.name}"
        source = base
        if names:
            previous = f"{base.checkpoint}+{names[-1]}:{done[-1].adapter}"
            source = base.model_copy(update={"adapter": str(folder / names[-1]), "checkpoint": previous})

        def tell(progress: TrainProgress, stage_name: str = stage.name) -> None:
            if on_progress is not None:
                on_progress(stage_name, progress)

        done.append(
            train_problems(part, base=source, recipe=stage.recipe, folder=folder / name, on_progress=tell, host=host)
        )
        names.append(name)
        write_atomic(folder / name / STAGES, json.dumps([f"../{n}" for n in names]).encode())
    write_atomic(folder / STAGES, json.dumps(names).encode())
    return done
