"""`errata train`: one training by itself, without a run; or, with --explain, what it would do."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
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
    recipe = read_recipe(arguments.overrides)
    problems = read_samples(arguments)
    source = StudentSource(
        base=str(arguments.base.resolve()),
        adapter=str(arguments.adapter.resolve()) if arguments.adapter else None,
        checkpoint=arguments.base.name,
        prompt=arguments.prompt,
        image_first=arguments.image_first,
    )
    if arguments.explain:
        from errata.tools.train.explain import explain_training

        explanation = explain_training(problems, base=source, recipe=recipe)
        print(explanation.model_dump_json() if arguments.json else "\n".join(explain_lines(explanation)))
        return 0
    out = arguments.out or Path("trained")
    finished = train(problems, source=source, recipe=recipe, out=out)
    if arguments.json:
        print(json.dumps({"folder": str(out), **finished.model_dump(mode="json", exclude={"key"})}))
    else:
        print(f"trained on {finished.samples} samples in {finished.steps} steps, loss {finished.loss:.3f}: {out}")
        for note in finished.notes:
            print(f"note: {note}")
    return 0


def read_recipe(pairs: Sequence[str]) -> Recipe:
    """The recipe of `KEY=VALUE` pairs. Raises OperatorError for an unknown key or a value that is not allowed."""
    fields: dict[str, object] = {"replay": 0.0}
    for pair in pairs:
        key, equals, value = pair.removeprefix("train.").partition("=")
        if not equals or key not in Recipe.model_fields:
            remedy = f"write KEY=VALUE with a key of the recipe: {', '.join(Recipe.model_fields)}"
            raise OperatorError("no setting of the recipe", where="command line", value=pair, remedy=remedy)
        fields[key] = yaml.safe_load(value)
    try:
        return Recipe.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "recipe"
        raise OperatorError(first["msg"], where=where, value=first["input"], remedy="mend the value") from error


def read_samples(arguments: argparse.Namespace) -> tuple[Problem, ...]:
    """Samples of a data file, or the problems of a run's lessons; rows that cannot be used are counted on stderr."""
    path: Path = arguments.samples
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
    said = time.monotonic()

    def tell(progress: TrainProgress) -> None:
        nonlocal said
        if time.monotonic() - said >= PROGRESS_SECONDS:
            said = time.monotonic()
            line = f"train {progress.step}/{progress.steps}, epoch {progress.epoch + 1}, loss {progress.loss:.3f}"
            print(f"{line}, {progress.micro_batch} samples a pass", file=sys.stderr, flush=True)

    return train_problems(problems, base=source, recipe=recipe, folder=out, on_progress=tell)


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
