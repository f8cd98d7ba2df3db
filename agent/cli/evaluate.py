"""`errata eval`: bring a file of questions and a student, get an evaluation with its interval."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from errata.agent.cli.options.reading import choose_format, read_options
from errata.agent.run.sentences import chance_of, chance_sentence, spread
from errata.tools.data.read import ReadResult, count_reasons, read_problems
from errata.tools.errors import OperatorError
from errata.tools.records import Attempt, Problem, Scorecard, digest
from errata.tools.student.source import check_adapter, check_base, find_base

PROGRESS_SECONDS = 5.0


def run_eval(arguments: argparse.Namespace) -> int:
    """Evaluate, print the scorecard; with --json one object."""
    arguments.model = Path(find_base(str(arguments.model), where="--model"))
    for option in ("model", "adapter"):
        folder = getattr(arguments, option)
        if folder is not None and not folder.is_dir():
            raise OperatorError("no such folder", where=f"--{option}", value=str(folder), remedy="name an existing one")
    check_base(str(arguments.model))
    if arguments.adapter is not None:
        check_adapter(str(arguments.adapter))
    if arguments.out is not None:
        check_out(arguments.out)
    format = choose_format(arguments.questions, arguments, of_folder="errata")
    options = read_options(arguments)
    read = read_problems(arguments.questions, split=arguments.split, format=format, options=options)
    problems = read.problems[: arguments.limit]
    attempts = answer(problems, arguments)
    from errata.tools.evaluate.score import make_scorecard

    card = make_scorecard(problems, attempts, checkpoint=attempts[0].checkpoint, split=arguments.split, seed=0)
    if arguments.json:
        print(json.dumps(result_object(card, read=read, chance=chance_of(problems))))
    else:
        print_card(card, read=read, chance=chance_of(problems))
    return 0


def check_out(path: Path) -> None:
    """Raise OperatorError if the file cannot be written, before any question is asked."""
    above = next(p for p in path.absolute().parents if p.exists())
    if path.is_dir() or not above.is_dir():
        what = "a folder stands where a file is needed" if path.is_dir() else f"{above} is no folder"
        raise OperatorError(what, where="--out", value=str(path), remedy="name a file of answers, or a new one")


def answer(problems: list[Problem], arguments: argparse.Namespace) -> list[Attempt]:
    """All attempts, in processes of their own; progress goes to stderr."""
    from errata.tools.evaluate.student import GenerateOptions, evaluate_student
    from errata.tools.student.source import StudentSource

    model, adapter = arguments.model.resolve(), arguments.adapter.resolve() if arguments.adapter else None
    source = StudentSource(
        base=str(model),
        adapter=str(adapter) if adapter else None,
        checkpoint=f"{model.name}-{digest(str(model), str(adapter), length=8)}",
        prompt=arguments.prompt,
        image_first=arguments.image_first,
    )
    result = time.monotonic()

    def tell(done: int, total: int, correct: int) -> None:
        nonlocal result
        if time.monotonic() - result >= PROGRESS_SECONDS:
            result = time.monotonic()
            print(f"evaluate {done}/{total}, {100 * correct / done:.1f} % right", file=sys.stderr, flush=True)

    options = GenerateOptions(max_new_tokens=arguments.max_new_tokens, batch_size=arguments.batch)
    out: Path | None = arguments.out
    return evaluate_student(
        problems, model=source, options=options, workers=arguments.workers, on_answer=tell, store=out
    )


def result_object(card: Scorecard, *, read: ReadResult, chance: float | None) -> dict[str, object]:
    """The scorecard with the skipped rows counted by reason, and the accuracy of guessing."""
    return {**card.model_dump(mode="json"), "chance": chance, "skipped": count_reasons(read.skipped)}


def print_card(card: Scorecard, *, read: ReadResult, chance: float | None) -> None:
    """Accuracy with its interval, by skill, and what was left out."""
    from errata.agent.show.tables import fill_table, make_console, make_table

    print(f"accuracy {spread(card.accuracy)}, {card.correct} of {card.total} right (95 % interval)")
    if chance and card.accuracy.low <= chance:
        print(chance_sentence(card, chance))
    print(f"answers that could not be read: {card.format_errors}")
    for reason, count in count_reasons(read.skipped).items():
        print(f"rows not used: {count} x {reason}")
    table = make_table("By skill", "skill", ">right", ">questions", ">accuracy")
    scores = sorted(card.by_skill, key=lambda score: (-score.total, score.skill))
    rows = [(s.skill, s.correct, s.total, f"{100 * s.correct / s.total:.0f} %") for s in scores]
    make_console().print(fill_table(table, rows))
