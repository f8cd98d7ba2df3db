"""Two runs on the same questions: the paired difference of their best checkpoints."""

from __future__ import annotations

from collections.abc import Sequence

from errata.agent.run.folder import RunFolder
from errata.agent.run.outcome import Outcome, read_settings
from errata.agent.run.questions import validation_problems
from errata.tools.errors import OperatorError
from errata.tools.records import Attempt, Comparison, Split


def compare_best(folders: Sequence[RunFolder], outcomes: Sequence[Outcome]) -> Comparison:
    """Paired on test where both runs read it, else on gate. Raises OperatorError for different questions."""
    from errata.tools.evaluate.compare import compare_attempts

    splits: list[Split] = ["test", "gate"]
    split = next((s for s in splits if all(o.scorecard(o.best, s) is not None for o in outcomes)), None)
    if split is None:
        remedy = "let both runs end, or resume them"
        raise OperatorError("not measured on the same split", where=", ".join(f.id for f in folders), remedy=remedy)
    digests = [(folder.read_json("manifest.json") or {}).get(split) for folder in folders]
    if None in digests or digests[0] != digests[1]:
        where = f"{folders[0].id}, {folders[1].id}"
        remedy = "compare runs with the same data settings"
        raise OperatorError(f"the runs have different {split} questions", where=where, remedy=remedy)
    problems = [p for p in validation_problems(folders[0], required=True).values() if p.split == split]
    before, after = (
        folder.read_records(f"attempts/{outcome.best}.{split}.jsonl", Attempt)
        for folder, outcome in zip(folders, outcomes, strict=True)
    )
    answered = {a.problem for a in before} & {a.problem for a in after}
    problems = [p for p in problems if p.id in answered]
    if not problems:
        where = f"{folders[0].id}, {folders[1].id}"
        remedy = "the files in attempts/ were taken away; choose other runs"
        raise OperatorError(f"no {split} question has answers in both runs", where=where, remedy=remedy)
    seed = read_settings(folders[0]).run.seed
    return compare_attempts(before, after, split=split, problems=problems, seed=seed)
