"""`errata train`: one training by itself, without a run; or, with --explain, what it would do."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import yaml
from pydantic import ValidationError

from errata.agent.cli.options.reading import choose_format, read_options
from errata.agent.show.report import duration
from errata.tools.data.read import count_reasons, read_problems
from errata.tools.errors import OperatorError
from errata.tools.records import Problem
from errata.tools.student.source import StudentSource, check_adapter, check_base, find_base
from errata.tools.train.recipe import Recipe

if TYPE_CHECKING:
    from errata.tools.train.explain import Explanation
    from errata.tools.train.job import Finished, TrainProgress
    from errata.tools.train.stages import Stage

PROGRESS_SECONDS = 5.0
LESSONS = "lessons.jsonl"


def run_train(arguments: argparse.Namespace) -> int:
    """Train, or explain; with --json one object on stdout."""
    arguments.base = Path(find_base(str(arguments.base), where="--base"))
    for option in ("base", "adapter"):
        folder = getattr(arguments, option)
        if folder is not None and not folder.is_dir():
            raise OperatorError("no such folder", where=f"--{option}", value=str(folder), remedy="name an existing one")
    check_base(str(arguments.base))
    if arguments.adapter is not None:
        check_adapter(str(arguments.adapter))
    problems = tuple(p for path in (arguments.samples, *arguments.also) for p in read_samples(path, arguments))
    replay = tuple(p for path in arguments.replay for p in read_samples(path, arguments))
    given = read_recipe(arguments.overrides, general=bool(replay))
    source = StudentSource(
        base=str(arguments.base.resolve()),
        adapter=str(arguments.adapter.resolve()) if arguments.adapter else None,
        checkpoint=arguments.base.name,
        prompt=arguments.prompt,
        image_first=arguments.image_first,
    )
    if arguments.explain:
        return explain(problems, replay=replay, source=source, arguments=arguments)
    out = arguments.out or Path("trained")
    if arguments.plan is None:
        done = [train(add_replay(problems, replay, given), source=source, recipe=given, out=out)]
    else:
        done = train_by_plan(problems, replay=replay, source=source, stages=read_stages(arguments), out=out)
    if arguments.json:
        said = [finished.model_dump(mode="json", exclude={"key"}) for finished in done]
        print(json.dumps({"folder": str(out), **said[-1], **({"stages": said} if arguments.plan else {})}))
        return 0
    for finished in done:
        print(f"trained on {finished.samples} samples in {finished.steps} steps, loss {finished.loss:.3f}: {out}")
        for note in finished.notes:
            print(f"note: {note}")
    return 0


def read_stages(arguments: argparse.Namespace) -> tuple[Stage, ...]:
    """The stages of the plan that was asked for, with the values of the command line in each of them."""
    from errata.tools.train.stages import PLANS

    stages = PLANS[arguments.plan]
    general = bool(arguments.replay)
    recipes = [read_recipe(arguments.overrides, given=stage.recipe, general=general) for stage in stages]
    return tuple(s.model_copy(update={"recipe": recipe}) for s, recipe in zip(stages, recipes, strict=True))


def add_replay(problems: tuple[Problem, ...], replay: tuple[Problem, ...], recipe: Recipe) -> tuple[Problem, ...]:
    """The samples with the recipe's share of general ones behind them."""
    from errata.tools.train.mixture import draw_replay

    return (*problems, *draw_replay(replay, beside=problems, share=recipe.replay, seed=recipe.seed))


def explain(
    problems: tuple[Problem, ...],
    *,
    replay: tuple[Problem, ...],
    source: StudentSource,
    arguments: argparse.Namespace,
) -> int:
    """Say what would be trained, stage by stage."""
    from errata.tools.train.explain import explain_training
    from errata.tools.train.stages import find_trap, split_samples

    if arguments.plan is None:
        recipe = read_recipe(arguments.overrides, general=bool(replay))
        found = {"training": (add_replay(problems, replay, recipe), recipe)}
    else:
        stages = read_stages(arguments)
        parts = split_samples(problems, stages, replay=replay)
        found = {stage.name: (part, stage.recipe) for stage, part in zip(stages, parts, strict=True)}
    said = {name: explain_training(part, base=source, recipe=recipe) for name, (part, recipe) in found.items()}
    if arguments.json:
        bodies = {name: one.model_dump(mode="json") for name, one in said.items()}
        print(json.dumps(bodies["training"] if arguments.plan is None else {"stages": bodies}))
        return 0
    for name, one in said.items():
        if arguments.plan is not None:
            print(f"stage {name}:")
        print("\n".join(explain_lines(one)))
    if trap := find_trap(problems):
        print(f"warning: {trap}")
    return 0


def train_by_plan(
    problems: tuple[Problem, ...],
    *,
    replay: tuple[Problem, ...],
    source: StudentSource,
    stages: Sequence[Stage],
    out: Path,
) -> list[Finished]:
    """Train all stages into `out`; progress goes to stderr."""
    from errata.tools.train.stages import find_trap, train_stages

    if trap := find_trap(problems):
        print(f"warning: {trap}", file=sys.stderr)
    tell = tell_progress()
    return train_stages(
        problems,
        stages=stages,
        base=source,
        folder=out,
        replay=replay,
        on_progress=lambda name, progress: tell(name, progress),
    )


def read_recipe(pairs: Sequence[str], *, given: Recipe | None = None, general: bool = False) -> Recipe:
    """The recipe of `KEY=VALUE` pairs over `given`; without general samples there is no replay.

    Raises OperatorError for an unknown key or a bad value.
    """
    fields: dict[str, object] = (given or Recipe()).model_dump()
    if not general:
        fields["replay"] = 0.0
    for pair in pairs:
        key, equals, value = pair.removeprefix("train.").partition("=")
        if not equals or key not in Recipe.model_fields:
            remedy = f"write KEY=VALUE with a key of the recipe: {', '.join(Recipe.model_fields)}"
            raise OperatorError("no setting of the recipe", where="command line", value=pair, remedy=remedy)
        fields[key] = yaml.safe_load(value)
    try:
        read = Recipe.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "recipe"
        raise OperatorError(first["msg"], where=where, value=first["input"], remedy="mend the value") from error
    if read.replay and not general:
        remedy = "name the general samples by --replay FILE"
        raise OperatorError("no samples to replay", where="command line", value=f"replay={read.replay}", remedy=remedy)
    return read


def read_samples(path: Path, arguments: argparse.Namespace) -> tuple[Problem, ...]:
    """Samples of a data file, or the lessons of a run; rows that cannot be used are counted on stderr."""
    if path.is_dir() and (path / LESSONS).is_file():
        path = path / LESSONS
    format = choose_format(path, arguments, of_folder="errata")
    read = read_problems(path, split="pool", format=format, options=read_options(arguments))
    for reason, count in count_reasons(read.skipped).items():
        print(f"rows not used: {count} x {reason}", file=sys.stderr)
    return tuple(read.problems)


def train(problems: tuple[Problem, ...], *, source: StudentSource, recipe: Recipe, out: Path) -> Finished:
    """Train into `out`; progress goes to stderr. The same call again goes on where it was stopped."""
    from errata.tools.train.run import train_problems

    if not problems:
        raise OperatorError("there are no samples to train on", remedy="give a file with at least one")
    tell = tell_progress()
    return train_problems(
        problems, base=source, recipe=recipe, folder=out, on_progress=lambda progress: tell("train", progress)
    )


def tell_progress() -> Callable[[str, TrainProgress], None]:
    """A function that says where a training stands, every few seconds, on stderr."""
    said = time.monotonic()

    def tell(name: str, progress: TrainProgress) -> None:
        nonlocal said
        if time.monotonic() - said >= PROGRESS_SECONDS:
            said = time.monotonic()
            line = f"{name} {progress.step}/{progress.steps}, epoch {progress.epoch + 1}, loss {progress.loss:.3f}"
            print(f"{line}, {progress.micro_batch} samples a pass", file=sys.stderr, flush=True)

    return tell


def explain_lines(found: Explanation) -> list[str]:
    """The explanation for a person."""
    lines = [f"student: {found.family}, {found.parameters:,} parameters, {found.trained:,} of them or on them trained"]
    for part in found.parts:
        what = f"adapters on {part.layers} layers, {part.trained:,} parameters" if part.layers else "frozen"
        if part.trained and not part.layers:
            what = f"trained itself, {part.trained:,} parameters"
        lines.append(f"  {part.part}: {part.parameters:,} parameters, {what}")
    rate = next(s.value for s in found.settings if s.name == "learning_rate")
    lines += [
        f"samples: {found.samples}, about {found.tokens} tokens each, {found.answer_tokens} of the answer",
        f"steps: {found.steps} of {found.batch} samples; the learning rate rises to {rate} over {found.warmup_steps}",
        f"memory: about {found.memory_gib:.2f} GiB on {found.device} with one sample a pass, {found.sample_gib:.2f} "
        "more for each further one; on a GPU it is measured before the first step",
        f"time: about {duration(found.seconds)} on this device",
        "recipe:",
        *(f"  {s.name}: {s.value} ({s.origin})" for s in found.settings),
    ]
    return lines
