"""A checkpoint answers whole splits and is scored; each answer is written to disk when it arrives."""

from __future__ import annotations

from collections.abc import Sequence

from errata.agent.run.context import Context
from errata.agent.run.disk import disk_faults
from errata.agent.run.sentences import percent
from errata.tools.records import Attempt, Checkpoint, Scorecard, Split


def attempts_file(checkpoint: str, split: Split) -> str:
    """File in the run folder with the answers of a checkpoint to a split."""
    return f"attempts/{checkpoint}.{split}.jsonl"


def read_attempts(checkpoint: str, split: Split, *, context: Context) -> list[Attempt]:
    """The answers that are on disk, in the order of the problems."""
    found = {a.problem: a for a in context.folder.read_records(attempts_file(checkpoint, split), Attempt)}
    return [found[name] for name in context.problems[split] if name in found]


def read_checkpoint(name: str, *, context: Context) -> Checkpoint:
    """The checkpoint of that id."""
    return next(c for c in context.folder.read_records("checkpoints.jsonl", Checkpoint) if c.id == name)


def measure_checkpoint(
    checkpoint: Checkpoint, *, splits: Sequence[Split], iteration: int, context: Context
) -> dict[Split, Scorecard]:
    """Answers that are on disk are not asked for again, and read anew by another version of the parser.

    The splits are answered together, scored one by one.
    """
    from errata.tools.evaluate.answers import PARSER_VERSION
    from errata.tools.evaluate.score import make_scorecard

    total = sum(len(context.problems[split]) for split in splits)
    with context.timed("evaluate", iteration=iteration, total=total) as summary:
        context.receipts.once(
            "evaluate",
            [checkpoint.id, list(splits), PARSER_VERSION],
            lambda: _answer(checkpoint, splits=splits, iteration=iteration, context=context),
        )
        cards: dict[Split, Scorecard] = {}
        for split in splits:
            cards[split] = make_scorecard(
                list(context.problems[split].values()),
                read_attempts(checkpoint.id, split, context=context),
                checkpoint=checkpoint.id,
                split=split,
                seed=context.settings.run.seed,
            )
            summary.append(evaluated_text(cards[split]))
        context.folder.merge_records("scorecards.jsonl", list(cards.values()), kind=Scorecard)
    for card in cards.values():
        context.folder.event("scored", scorecard=card.model_dump(mode="json"))
        context.reporter.scored(card)
    return cards


def _answer(checkpoint: Checkpoint, *, splits: Sequence[Split], iteration: int, context: Context) -> dict[str, int]:
    """Answer all splits in one go, and write the attempts of each; how many there are by split."""
    problems = [problem for split in splits for problem in context.problems[split].values()]

    def advance(done: int, total: int, correct: int) -> None:
        context.reporter.stage_advanced("evaluate", iteration=iteration, done=done, total=total, correct=correct)
        context.stop_if_asked()

    store = context.folder.path / "answers" / f"{checkpoint.id}.jsonl"
    with disk_faults(store):
        store.parent.mkdir(exist_ok=True)
        attempts = context.student.evaluate(problems, checkpoint=checkpoint, store=store, on_answer=advance)
    counts: dict[str, int] = {}
    for split in splits:
        mine = [a for a in attempts if a.problem in context.problems[split]]
        context.folder.write_records(attempts_file(checkpoint.id, split), mine)
        counts[split] = len(mine)
    return counts


def evaluated_text(card: Scorecard) -> str:
    """`gate 117 of 200 right (58.5 %)`."""
    return f"{card.split} {card.correct} of {card.total} right ({percent(card.accuracy.value)})"
