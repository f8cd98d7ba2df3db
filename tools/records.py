"""The data that flows through Errata, each record naming its parent.

    Problem -> Attempt -> Mistake -> MissingSkill -> Candidate -> Lesson -> Checkpoint -> Scorecard

Records are frozen, refuse unknown fields, and carry no time stamps and no durations: two runs with the same
settings and seed write the same records. (Durations are in the ledger, time stamps in the event log.)
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

Split = Literal["pool", "diagnosis", "gate", "test"]
Route = Literal[
    "bm25",
    "dense",
    "hybrid",
    "scene",
    "original-image",
    "diffusion",
    "random",
    "fill",
    "validation",
    "insta",
    "superfiltering",
    "less",
    "full",
]
Status = Literal["found", "none", "no_switch", "unscored", "format_error"]
Scoring = Literal["choice", "exact", "relaxed_number", "vqa_soft", "anls"]


def digest(*parts: object, length: int = 16) -> str:
    """Hex digest of any JSON-able values; equal values give equal digests on every machine."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:length]


def seed_of(*parts: object) -> int:
    """A 63-bit seed from any JSON-able values, for `random.Random` and numpy."""
    return int(digest(*parts, length=16), 16) >> 1


class Record(BaseModel):
    """Base of all records: frozen and closed."""

    model_config = ConfigDict(frozen=True, extra="forbid")


R = TypeVar("R", bound=Record)


class ImageRef(Record):
    """A picture by path and content hash; pixels never live in a record."""

    path: str
    """Relative to the folder that the dataset was read from, or absolute."""
    sha256: str


class Problem(Record):
    """One question. `target` is the letter for multiple choice and the text for free-form."""

    id: str
    images: tuple[ImageRef, ...] = ()
    question: str
    choices: tuple[str, ...] = ()
    """Empty for free-form questions."""
    target: str
    rationale: str = ""
    """Gold chain of thought, without the answer sentence; may be empty."""
    split: Split = "pool"
    skills: tuple[str, ...] = ()
    """Skills that the dataset itself carries, in its own wording; the first is the one the question is about."""
    scoring: Scoring = "choice"
    metadata: dict[str, Any] = Field(default_factory=dict)

    @property
    def letters(self) -> tuple[str, ...]:
        """The letters of the options, `A` for the first."""
        return tuple(chr(ord("A") + i) for i in range(len(self.choices)))

    @property
    def target_text(self) -> str:
        """The gold answer in words."""
        return self.choices[self.letters.index(self.target)] if self.choices else self.target


class Attempt(Record):
    """The student's answer to one problem from one checkpoint."""

    id: str
    problem: str
    checkpoint: str
    response: str
    steps: tuple[str, ...]
    """The rationale split into steps (answer sentence and all after it cut off); joined they give it back."""
    answer: str | None
    """A letter, or for free-form the text; None when nothing could be parsed."""
    correct: bool
    score: float
    """0 to 1; equals `correct` for multiple choice."""
    format_error: bool


class Mistake(Record):
    """Where one wrong attempt first went wrong."""

    id: str
    attempt: str
    problem: str
    iteration: int
    method: str
    status: Status
    step: int
    """0-based index into the attempt's steps; -1 means none."""
    gaps: tuple[float | None, ...] = ()
    """p(wrong) - p(gold) after 0..T steps; None where the prefix was not probed or not scored."""
    run_length: int = 0
    """How many prefixes in a row, from the found step on, are known to stay at or above delta."""
    confidence: float = 0.0
    """Mean gap over the confirming window, 0 when none was found."""
    probes: int = 0
    """Prefixes for which the teacher was asked."""


class MissingSkill(Record):
    """The skill whose lack explains one mistake. (problem, iteration) is unique."""

    id: str
    mistake: str
    problem: str
    iteration: int
    wording: str
    """As the teacher said it."""
    skill: str
    """Canonical wording."""


class Candidate(Record):
    """A sample that was found or made for a mistake, whether or not it was taken."""

    id: str
    problem: Problem
    route: Route
    score: float
    parents: tuple[str, ...]
    """Ids of the MissingSkills (or of the iteration, for controls) that it was found or made for."""
    skill: str
    accepted: bool
    reason: str
    """Why it was accepted or rejected."""
    provenance: dict[str, Any] = Field(default_factory=dict)


class Lesson(Record):
    """An accepted training sample with all its parents."""

    id: str
    problem: Problem
    candidate: str
    parents: tuple[str, ...]
    route: Route
    skill: str
    iteration: int


class Checkpoint(Record):
    """A student: the base (no parent) or an adapter trained from it."""

    id: str
    parent: str | None
    folder: str
    """Folder of the adapter, relative to the run folder; for the base the folder of the model."""
    lessons: int
    recipe: str
    """Digest of the training recipe."""
    loss: float | None
    """Mean training loss of the last epoch; None for the base."""


class Interval(Record):
    """A value with its 95 % interval."""

    value: float
    low: float
    high: float


class SkillScore(Record):
    """How the student does on the problems of one skill."""

    skill: str
    correct: int
    total: int


class Scorecard(Record):
    """What one checkpoint scores on one split."""

    id: str
    checkpoint: str
    split: Split
    accuracy: Interval
    correct: int
    total: int
    format_errors: int
    by_skill: tuple[SkillScore, ...]


class Comparison(Record):
    """Paired difference of two checkpoints on the same problems (after minus before)."""

    before: str
    after: str
    split: Split
    total: int
    gain: Interval
    """Paired bootstrap, 95 %."""
    fixed: int
    broken: int
    p_value: float
    """Exact McNemar, two-sided."""
    sentinels_fallen: tuple[str, ...] = ()
    """Skills that fell beyond their own noise."""
    accepted: bool
    reason: str


class Cost(Record):
    """What one decision or stage used. Unknown is None, never 0."""

    teacher_calls: int = 0
    samples: int = 0
    money: float | None = None


class Decision(Record):
    """One tool call that the deciding model made for one error batch."""

    id: str
    iteration: int
    batch: str
    step: int
    """Order within the batch."""
    tool: str
    arguments: dict[str, Any]
    reason: str
    cost: Cost
    outcome: str
    """What the tool answered, in one line."""
    gain: float | None = None
    """Measured on the gate after training, in fractions; filled in later."""


class SkippedRow(Record):
    """A row of a dataset that was not used, and why."""

    source: str
    row: int
    id: str
    reason: str
    bad: bool = False
    """It breaks a rule and counts against `max_bad_share`; else the format itself leaves such rows out."""


def to_jsonl(records: Iterable[Record]) -> str:
    """One JSON object per line, keys in field order."""
    return "".join(r.model_dump_json() + "\n" for r in records)


def from_jsonl(text: str, kind: type[R]) -> Iterator[R]:
    """The inverse of `to_jsonl`; raises pydantic's ValidationError on a foreign line."""
    for line in text.split("\n"):  # not splitlines(): U+2028 may stand inside a string
        if line.strip():
            yield kind.model_validate_json(line)
