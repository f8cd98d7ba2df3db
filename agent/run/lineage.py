"""All records of one run by id, and the chain from any record back to its question.

lesson -> candidate -> missing skill -> mistake -> attempt -> problem (and the checkpoint that answered)
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from errata.agent.run.folder import RunFolder
from errata.tools.errors import OperatorError
from errata.tools.records import (
    Attempt,
    Candidate,
    Checkpoint,
    Decision,
    Lesson,
    MissingSkill,
    Mistake,
    Problem,
    R,
    Record,
    Scorecard,
)

MIN_PREFIX = 4
"""Characters of an id that are enough, when they fit one record only."""

AnyRecord = (
    Attempt | Candidate | Checkpoint | Decision | Lesson | Mistake | MissingSkill | Problem | Scorecard
)


class Node(NamedTuple):
    """A record with what it came from; `record` is None for an id that the run does not hold."""

    kind: str
    id: str
    record: Record | None
    parents: tuple[Node, ...]

    def as_json(self) -> dict[str, Any]:
        """Nested objects with kind, id, record and parents."""
        record = None if self.record is None else self.record.model_dump(mode="json")
        parents = [parent.as_json() for parent in self.parents]
        return {"kind": self.kind, "id": self.id, "record": record, "parents": parents}


class Archive:
    """The records of one run. `problems`: its questions by id, as far as they can be read."""

    def __init__(self, folder: RunFolder, *, problems: Mapping[str, Problem]) -> None:
        self.folder = folder
        self.attempts = _by_id(_read_all(folder, "attempts", Attempt))
        self.mistakes = _by_id(_read_all(folder, "mistakes", Mistake))
        self.skills = _by_id(_read_all(folder, "skills", MissingSkill))
        self.candidates = _by_id(_read_all(folder, "candidates", Candidate))
        self.lessons = _by_id(folder.read_records("lessons.jsonl", Lesson))
        self.checkpoints = _by_id(folder.read_records("checkpoints.jsonl", Checkpoint))
        self.scorecards = _by_id(folder.read_records("scorecards.jsonl", Scorecard))
        self.decisions = _by_id(folder.read_records("decisions.jsonl", Decision))
        found = {c.problem.id: c.problem for c in self.candidates.values()}
        self.problems = {**found, **problems}

    def records(self) -> Mapping[str, Mapping[str, AnyRecord]]:
        """By kind in the order of the chain, then by id; the kind is what is printed."""
        return {
            "lesson": self.lessons,
            "candidate": self.candidates,
            "missing skill": self.skills,
            "mistake": self.mistakes,
            "attempt": self.attempts,
            "checkpoint": self.checkpoints,
            "scorecard": self.scorecards,
            "decision": self.decisions,
            "problem": self.problems,
        }

    def find(self, name: str) -> tuple[str, str]:
        """Kind and id of the record whose id is or begins with `name`. Raises OperatorError."""
        for kind, records in self.records().items():
            if name in records:
                return kind, name
        ids = [(kind, key) for kind, records in self.records().items() for key in records]
        fits = [pair for pair in ids if pair[1].startswith(name)] if len(name) >= MIN_PREFIX else []
        if len(fits) == 1:
            return fits[0]
        if fits:
            raise OperatorError(
                f"{len(fits)} records begin so",
                where=self.folder.id,
                value=name,
                remedy=f"give more of the id, e.g. {fits[0][1]} ({fits[0][0]})",
            )
        near = difflib.get_close_matches(name, [key for _, key in ids], n=3, cutoff=0.5)
        remedy = f"the nearest are {', '.join(near)}" if near else "list ids with: errata show RUN lessons"
        raise OperatorError("no such record", where=self.folder.id, value=name, remedy=remedy)

    def trace(self, kind: str, name: str) -> Node:
        """The record, with the records that it came from in `parents`."""
        record = self.records()[kind].get(name)
        parents = tuple(self.trace(k, n) for k, n in self._parents(record)) if record is not None else ()
        return Node(kind, name, record, parents)

    def _parents(self, record: AnyRecord) -> Iterator[tuple[str, str]]:
        match record:
            case Lesson():
                yield ("candidate", record.candidate)
            case Candidate():
                yield from (("missing skill", parent) for parent in record.parents if parent in self.skills)
            case MissingSkill():
                yield ("mistake", record.mistake)
            case Mistake():
                yield ("attempt", record.attempt)
            case Attempt():
                yield ("problem", record.problem)
                yield ("checkpoint", record.checkpoint)
            case Checkpoint():
                yield from [("checkpoint", record.parent)] if record.parent else []
            case Scorecard():
                yield ("checkpoint", record.checkpoint)
            case _:
                return


def _by_id(records: Iterable[R]) -> dict[str, R]:
    return {getattr(record, "id"): record for record in records}  # noqa: B009


def _read_all(folder: RunFolder, name: str, kind: type[R]) -> Iterator[R]:
    """Records of every file in a folder of the run; numbers in their order."""
    paths = (folder.path / name).glob("*.jsonl")
    for path in sorted(paths, key=lambda p: (len(p.name), p.name)):
        yield from folder.read_records(f"{name}/{path.name}", kind)
