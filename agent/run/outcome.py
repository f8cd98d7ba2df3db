"""The outcome of a run, read from its records alone; `status`, the last lines and the report are made from it.

Nothing here writes, loads a model or reads a dataset. An unfinished run gives an outcome with gaps.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import yaml
from pydantic import ValidationError

from errata.agent.run.checkpoints import PrunedCheckpoint, read_pruned
from errata.agent.run.find import summarize_run
from errata.agent.run.folder import RunFolder
from errata.agent.settings.older import upgrade_settings
from errata.agent.settings.tree import Settings
from errata.tools.data.firewall import Overlap
from errata.tools.errors import OperatorError
from errata.tools.records import (
    Checkpoint,
    Comparison,
    Decision,
    Lesson,
    Scorecard,
    SkippedRow,
    Split,
)


class Outcome(NamedTuple):
    """See the module's docstring. `before` is the base student, `after` the best accepted checkpoint."""

    run: str
    state: str
    stop_reason: str
    control: str
    checkpoints: list[Checkpoint]
    scorecards: list[Scorecard]
    comparisons: list[Comparison]
    decisions: list[Decision]
    lessons: list[Lesson]
    base: str
    best: str
    skipped: list[tuple[str, str, int]]
    """Source, reason and number of the rows that were not used, most first."""
    pruned: Sequence[PrunedCheckpoint] = ()
    """Checkpoints whose adapter was removed from disk (run.keep_checkpoints)."""

    def scorecard(self, checkpoint: str, split: Split) -> Scorecard | None:
        """The last scorecard of a checkpoint on a split; None when it was not measured."""
        found = [s for s in self.scorecards if s.checkpoint == checkpoint and s.split == split]
        return found[-1] if found else None

    @property
    def rounds(self) -> list[Comparison]:
        """The gate comparison of every iteration, in order."""
        return [c for c in self.comparisons if c.split == "gate"]

    @property
    def accepted(self) -> int:
        """Iterations whose checkpoint was accepted."""
        return sum(c.accepted for c in self.rounds)

    @property
    def held_out(self) -> Comparison | None:
        """The one comparison on the test split; None before the end or when nothing was accepted."""
        found = [c for c in self.comparisons if c.split == "test"]
        return found[-1] if found else None

    @property
    def final_split(self) -> Split:
        """The split that the run is judged on: test once it was read, else gate."""
        return "test" if self.scorecard(self.base, "test") else "gate"


class StageCost(NamedTuple):
    """Amounts that one stage used over all iterations; None means unknown, not 0."""

    stage: str
    seconds: float | None
    asked: int | None
    paid: int | None
    samples: int | None


class SkillChange(NamedTuple):
    """One skill before and after, on the same problems; counts are of problems."""

    skill: str
    before: int
    after: int
    total: int

    @property
    def gain(self) -> float:
        """In fractions of the skill's problems."""
        return (self.after - self.before) / self.total


def read_settings(folder: RunFolder) -> Settings:
    """The settings that the run was started with; the files that they name need not exist any more."""
    path = folder.path / "settings.yaml"
    try:
        return Settings.model_validate(upgrade_settings(yaml.safe_load(path.read_text(encoding="utf-8"))))
    except (yaml.YAMLError, UnicodeDecodeError, ValidationError):
        remedy = "the file was altered by something else; put the old file back or start a new run"
        raise OperatorError("not the settings of a run", where=str(path), remedy=remedy) from None


def read_outcome(folder: RunFolder) -> Outcome:
    """Gather the records of a run; missing files count as not yet written."""
    checkpoints = folder.read_records("checkpoints.jsonl", Checkpoint)
    comparisons = folder.read_records("comparisons.jsonl", Comparison)
    base = next((c.id for c in checkpoints if c.parent is None), "")
    kept = [c.after for c in comparisons if c.split == "gate" and c.accepted]
    summary = summarize_run(folder)
    return Outcome(
        run=folder.id,
        state=summary.state,
        stop_reason=summary.stop_reason,
        control=read_settings(folder).control,
        checkpoints=checkpoints,
        scorecards=folder.read_records("scorecards.jsonl", Scorecard),
        comparisons=comparisons,
        decisions=folder.read_records("decisions.jsonl", Decision),
        lessons=folder.read_records("lessons.jsonl", Lesson),
        base=base,
        best=kept[-1] if kept else base,
        skipped=_count_skipped(folder),
        pruned=read_pruned(folder),
    )


def _count_skipped(folder: RunFolder) -> list[tuple[str, str, int]]:
    """Number of rows that were not used and of pool samples that the firewall removed, by source and reason."""
    counts = Counter((row.source, row.reason) for row in folder.read_records("skipped.jsonl", SkippedRow))
    for overlap in folder.read_records("overlaps.jsonl", Overlap):
        counts["pool", f"overlaps a {overlap.split} problem: {overlap.kind}"] += 1
    return [(source, reason, count) for (source, reason), count in sorted(counts.items(), key=lambda i: (-i[1], i[0]))]


def total_of(amounts: Iterable[float | None]) -> float | None:
    """Sum of what is known; None when nothing is."""
    known = [a for a in amounts if a is not None]
    return sum(known) if known else None


def cost_by_stage(ledger: Sequence[Mapping[str, Any]]) -> list[StageCost]:
    """Sums of the ledger by stage, in order of first use."""
    costs = []
    for stage in dict.fromkeys(str(entry["stage"]) for entry in ledger):
        rows = [entry for entry in ledger if entry["stage"] == stage]
        sums = {key: total_of(row.get(key) for row in rows) for key in ("seconds", "asked", "paid", "samples")}
        whole = {key: None if value is None else int(value) for key, value in sums.items()}
        costs.append(StageCost(stage, sums["seconds"], whole["asked"], whole["paid"], whole["samples"]))
    return costs


def samples_by_route(lessons: Sequence[Lesson]) -> dict[str, int]:
    """How many training samples came by each route, most first."""
    return dict(sorted(Counter(lesson.route for lesson in lessons).items(), key=lambda kv: (-kv[1], kv[0])))


def changes_by_skill(outcome: Outcome) -> list[SkillChange]:
    """Every skill of the judged split, greatest gain first."""
    split = outcome.final_split
    before, after = outcome.scorecard(outcome.base, split), outcome.scorecard(outcome.best, split)
    if before is None or after is None:
        return []
    later = {score.skill: score.correct for score in after.by_skill}
    changes = [
        SkillChange(score.skill, score.correct, later[score.skill], score.total)
        for score in before.by_skill
        if score.skill in later and score.total
    ]
    return sorted(changes, key=lambda change: (-change.gain, change.skill))
