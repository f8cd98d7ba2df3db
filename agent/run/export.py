"""What a run says of one of its checkpoints: everything that its model card shows, read from records."""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from errata import __version__
from errata.agent.run.folder import RunFolder
from errata.agent.run.outcome import Outcome, read_outcome, read_settings, samples_by_route
from errata.agent.run.sentences import verdict
from errata.agent.settings.data import DataSettings
from errata.agent.settings.tree import Settings
from errata.prompts import render_prompt
from errata.tools.errors import OperatorError
from errata.tools.export.base import describe_base
from errata.tools.export.card import (
    NOT_STATED,
    Count,
    Figure,
    Lineage,
    ModelCard,
    RunFigure,
    SkillFigure,
    flatten_values,
)
from errata.tools.export.folder import PARITY
from errata.tools.records import Checkpoint, Lesson, Problem, Split
from errata.tools.train.job import FINISHED
from errata.tools.train.samples import read_trained

SPLITS: tuple[Split, ...] = ("test", "gate")
LICENCE_FIELDS = ("licence", "license", "licenses", "licences")
"""Fields of a sample's metadata that state its licence, whatever their case."""
EXAMPLE = ("What colour is the circle in the picture?", (("A", "red"), ("B", "blue"), ("C", "green")))
_ITERATION = re.compile(r"(\d+)-")


def choose_checkpoint(outcome: Outcome, name: str | None) -> Checkpoint:
    """The run's best accepted checkpoint, or the one called `name`. Raises OperatorError."""
    trained = [c for c in outcome.checkpoints if c.parent is not None]
    known = ", ".join(c.id for c in trained)
    if name is None and outcome.best == outcome.base:
        remedy = f"name one that was rejected with --checkpoint: {known}" if known else "nothing was trained yet"
        raise OperatorError("no checkpoint was accepted", where=outcome.run, remedy=remedy)
    found = [c for c in outcome.checkpoints if c.id == (name or outcome.best)]
    if not found:
        remedy = f"there are {known}" if known else "nothing was trained yet"
        raise OperatorError("no such checkpoint", where=outcome.run, value=name, remedy=remedy)
    if found[0].parent is None:
        remedy = f"there are {known}" if known else "nothing was trained yet"
        raise OperatorError("this is the base itself", where=outcome.run, value=name, remedy=remedy)
    pruned = next((p for p in outcome.pruned if p.id == found[0].id), None)
    if pruned is not None:
        what = f"its adapter was removed: {pruned.reason}"
        raise OperatorError(what, where=outcome.run, value=name, remedy=f"the accepted one is there: {outcome.best}")
    return found[0]


def describe_checkpoint(folder: RunFolder, checkpoint: Checkpoint, *, base_name: str | None, title: str) -> ModelCard:
    """The card of a checkpoint. `base_name` is the base's name on the hub, where a person gave one."""
    outcome, settings = read_outcome(folder), read_settings(folder)
    student, adapter = settings.student, folder.path / checkpoint.folder
    split: Split = next((s for s in SPLITS if outcome.scorecard(checkpoint.id, s)), "gate")
    recipe = settings.train.model_dump(mode="json") | {"seed": settings.train.seed + settings.run.seed}
    shown = outcome._replace(best=checkpoint.id)
    question, choices = EXAMPLE
    return ModelCard(
        title=title,
        run=folder.id,
        checkpoint=checkpoint.id,
        control=outcome.control,
        gate=_gate_sentence(outcome, checkpoint),
        sentences=tuple(verdict(shown, chance=None)),
        base=describe_base(student.base, name=base_name),
        figures=tuple(f for s in SPLITS if (f := _figure(outcome, checkpoint.id, s)) is not None),
        controls=tuple(find_controls(folder)),
        by_skill=tuple(_by_skill(outcome, checkpoint.id, split)),
        skill_split=split,
        lineage=_lineage(folder, outcome, checkpoint, settings),
        recipe=flatten_values(recipe),
        training=_read_values(adapter / FINISHED, leave_out=("key", "adapter")) or (),
        parity=_read_values(adapter / PARITY),
        prompt=student.prompt,
        example=render_prompt(student.prompt, question=question, choices=choices),
        image_first=student.image_first,
        made_with=_versions(),
    )


def trained_digest(adapter: Path) -> str | None:
    """Beginning of the SHA-256 of the weights, as the training wrote it down; None where it did not."""
    values = dict(_read_values(adapter / FINISHED) or ())
    return values.get("adapter")


def lessons_of(checkpoint: Checkpoint, outcome: Outcome) -> list[Lesson]:
    """The lessons that a checkpoint was trained on: all of its iteration and before that were not withdrawn.

    An iteration is withdrawn when its checkpoint was rejected because a watched skill fell (agent/decide/gate.py).
    """
    number = _iteration(checkpoint.id)
    if number is None:
        return list(outcome.lessons)
    fallen = [c.after for c in outcome.rounds if c.sentinels_fallen and not c.accepted]
    withdrawn = {i for i in map(_iteration, fallen) if i is not None and i < number}
    return [lesson for lesson in outcome.lessons if lesson.iteration <= number and lesson.iteration not in withdrawn]


def find_controls(folder: RunFolder) -> list[RunFigure]:
    """Control runs beside this one that were measured on the same questions, on test and gate where they read them.

    A control whose gate kept nothing is shown by the last checkpoint that it trained, on the gate. A run that cannot
    be read is left out and said on stderr.
    """
    found: list[RunFigure] = []
    for path in sorted(folder.path.parent.glob("*/settings.yaml")):
        other = RunFolder(path.parent)
        if other.path != folder.path:
            try:
                found += _control_figures(other, questions=folder.read_json("manifest.json") or {})
            except OperatorError as error:
                print(f"errata: {other.id} is not looked at as a control: {error}", file=sys.stderr)
    return found


def _control_figures(other: RunFolder, *, questions: Mapping[str, Any]) -> Iterator[RunFigure]:
    """One for each split whose questions are those of `questions`; none where the run is no control."""
    if read_settings(other).control == "none":
        return
    outcome, theirs = read_outcome(other), other.read_json("manifest.json") or {}
    kept = outcome.best != outcome.base
    trained = [c.id for c in outcome.checkpoints if c.parent is not None]
    shown = outcome.best if kept else trained[-1] if trained else ""
    for split in (s for s in SPLITS if s in questions and questions[s] == theirs.get(s)):
        figure = _figure(outcome, shown, split)
        if figure is not None:
            samples = len(outcome.lessons)
            yield RunFigure(run=other.id, control=outcome.control, samples=samples, kept=kept, figure=figure)


def _figure(outcome: Outcome, checkpoint: str, split: Split) -> Figure | None:
    before, after = outcome.scorecard(outcome.base, split), outcome.scorecard(checkpoint, split)
    if before is None or after is None:
        return None
    pairs = [c for c in outcome.comparisons if (c.split, c.before, c.after) == (split, outcome.base, checkpoint)]
    gain = pairs[-1].gain if pairs else None
    return Figure(split=split, before=before.accuracy, after=after.accuracy, total=after.total, gain=gain)


def _by_skill(outcome: Outcome, checkpoint: str, split: Split) -> Iterable[SkillFigure]:
    before, after = outcome.scorecard(outcome.base, split), outcome.scorecard(checkpoint, split)
    if before is not None and after is not None:
        later = {score.skill: score.correct for score in after.by_skill}
        for score in before.by_skill:
            if score.skill in later:
                right = later[score.skill]
                yield SkillFigure(skill=score.skill, before=score.correct, after=right, total=score.total)


def _gate_sentence(outcome: Outcome, checkpoint: Checkpoint) -> str:
    found = [c for c in outcome.rounds if c.after == checkpoint.id]
    if not found:
        return "The gate did not judge this checkpoint."
    return f"Verdict of the gate, against the best checkpoint before it: {found[-1].reason}."


def _lineage(folder: RunFolder, outcome: Outcome, checkpoint: Checkpoint, settings: Settings) -> Lineage:
    lessons = lessons_of(checkpoint, outcome)
    path = folder.path / checkpoint.folder
    replay: list[Problem] | None = None
    if (trained := read_trained(path)) is not None:
        taught = {lesson.problem.id for lesson in lessons}
        replay = [p for p in trained if p.id not in taught]
    samples = [*(lesson.problem for lesson in lessons), *(replay or ())]
    return Lineage(
        lessons=checkpoint.lessons,
        traced=len(lessons),
        routes=_sorted_counts(samples_by_route(lessons)),
        skills=_count(lesson.skill for lesson in lessons),
        iterations=tuple(Count(name=str(n), count=c) for n, c in sorted(Counter(x.iteration for x in lessons).items())),
        sources=_count(str(p.metadata.get("source") or NOT_STATED) for p in samples),
        replay=None if replay is None else len(replay),
        licences=_count(licence_of(p) for p in samples),
        skipped=_count_skipped(outcome.skipped),
        datasets=tuple(_hub_datasets(settings.data)),
    )


def licence_of(problem: Problem) -> str:
    """What a sample's metadata state as its licence; NOT_STATED where they do not."""
    for key, value in problem.metadata.items():
        if key.lower() in LICENCE_FIELDS and value:
            return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return NOT_STATED


def _hub_datasets(data: DataSettings) -> Iterable[str]:
    """The pool and, where it is trained on too, nothing else: names of hub datasets, not paths of this machine."""
    if data.pool is not None and data.pool.format == "huggingface" and not Path(data.pool.path).exists():
        yield data.pool.path


def _count_skipped(skipped: Sequence[tuple[str, str, int]]) -> tuple[Count, ...]:
    """By reason alone: a source is a path of this machine."""
    counts: Counter[str] = Counter()
    for _, reason, number in skipped:
        counts[reason] += number
    return _sorted_counts(counts)


def _count(names: Iterable[str]) -> tuple[Count, ...]:
    return _sorted_counts(Counter(names))


def _sorted_counts(counts: dict[Any, int]) -> tuple[Count, ...]:
    return tuple(Count(name=str(n), count=c) for n, c in sorted(counts.items(), key=lambda i: (-i[1], str(i[0]))))


def _iteration(checkpoint: str) -> int | None:
    found = _ITERATION.match(checkpoint)
    return int(found[1]) if found else None


def _read_values(path: Path, *, leave_out: Sequence[str] = ()) -> tuple[tuple[str, str], ...] | None:
    """A file with one JSON object as pairs; None where there is no such file. Raises OperatorError."""
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (ValueError, OSError) as error:
        remedy = "put the old file back, or take it away"
        raise OperatorError("cannot be read", where=str(path), value=str(error)[:120], remedy=remedy) from None
    if not isinstance(body, dict):
        raise OperatorError("not a JSON object", where=str(path), remedy="put the old file back, or take it away")
    return flatten_values({key: value for key, value in body.items() if key not in leave_out})


def _versions() -> tuple[tuple[str, str], ...]:
    found = [("errata-vlm", __version__)]
    for name in ("torch", "transformers", "peft"):
        try:
            found.append((name, version(name)))
        except PackageNotFoundError:
            found.append((name, "not installed"))
    return tuple(found)
