"""What a tool may ask of a teacher, as typed operations.

A tool never sees a prompt, an endpoint or a token: it hands over a request record and gets a reply record.
Three kinds of teacher fit behind this seam without a change in any tool: the embedded world, the labels that a
dataset already carries, and a language model (any OpenAI-compatible endpoint).
Every operation takes a batch, so that a teacher may answer concurrently; replies come in the order of requests.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Protocol, runtime_checkable

from pydantic import Field

from errata.tools.records import Problem, Record

Operation = Literal[
    "option_probabilities",
    "missing_skill",
    "required_skills",
    "judge",
    "propose",
    "check_step",
    "name_step",
    "write_rationale",
    "same_skill",
    "analyse_failure",
    "packed_prefixes",
]
"""`packed_prefixes` is no method: it says that `option_probabilities` reads the prefixes of one rationale, given in one
call, in one pass. Before it stand the methods of `ReadsSteps`, `ComparesSkills` and `ReadsFailures`."""


class OptionRequest(Record):
    """Which option would you choose after reading these steps? The picture is withheld (P1 3.3)."""

    problem: str
    question: str
    options: tuple[str, ...]
    """Texts of the options; letters follow from the order."""
    prior: tuple[float, ...]
    """Stated prior per option, in [0, 1]; empty when no prior knowledge is stated."""
    steps: tuple[str, ...]
    """The first i steps of the student's rationale."""
    exact: bool = False
    """Asked again because the bounds of the first reply straddled the threshold: an option that is missing from the
    returned top list is to be read by a forced continuation. A teacher that has no such list ignores it."""


class OptionReply(Record):
    """Probability of each option, renormalised over the options."""

    probabilities: tuple[float, ...]
    mass: float
    """Raw probability that fell on any option before renormalising; below 0.5 the prefix is `unscored`."""
    low: tuple[float, ...] = ()
    """Least that each of `probabilities` can be; with `high` empty where all options were read exactly."""
    high: tuple[float, ...] = ()
    """Most that each can be: an option missing from the top list has at most the smallest probability returned."""


class StepCheckRequest(Record):
    """Is the last of these steps correct? The request holds neither the picture nor the gold answer (P1 4.5)."""

    problem: str
    question: str
    options: tuple[str, ...]
    steps: tuple[str, ...]
    """The rationale up to the step that is asked about; at least one."""


class StepCheckReply(Record):
    """None for a reply that could not be read."""

    correct: bool | None


class StepIndexRequest(Record):
    """Which step is the first wrong one? The request holds the gold answer and no picture."""

    problem: str
    question: str
    options: tuple[str, ...]
    gold: str
    """Text of the right option."""
    steps: tuple[str, ...]
    reference: tuple[str, ...] = ()
    """Steps that the teacher itself wrote, to compare with; empty where it is asked outright."""


class StepIndexReply(Record):
    """0-based; -1 for "none of them"; None for a reply that could not be read."""

    step: int | None


class RationaleRequest(Record):
    """Write the reasoning steps that lead to the gold answer (P1 4.5, pseudo rationale)."""

    problem: Problem
    picture: bool = False
    """Whether the picture is shown."""


class RationaleReply(Record):
    """The teacher's own steps; empty when it has none."""

    steps: tuple[str, ...]


class MissingSkillRequest(Record):
    """Which one skill does the student lack?"""

    problem: Problem
    steps: tuple[str, ...]
    step: int
    """The marked mistake step; -1 when none was located, and then the whole rationale is the evidence."""
    served: tuple[str, ...] = ()
    """Skills already served to this error; they are excluded."""


class RequiredSkillsRequest(Record):
    """Which skills does this training sample exercise?"""

    problem: Problem


class SkillReply(Record):
    """One or more short skills in the teacher's own words; empty when it knows none."""

    skills: tuple[str, ...]


class SameSkillRequest(Record):
    """Are two wordings one and the same skill?"""

    first: str
    second: str


class SameSkillReply(Record):
    """None for a reply that could not be read."""

    same: bool | None


class FailureRequest(Record):
    """What went wrong in this answer (P2)? The picture is shown where the teacher can see."""

    problem: Problem
    given: str
    """The student's answer in words; empty when it gave none."""


class FailureReply(Record):
    """A failure as a reader sees it; all empty where the teacher had nothing to say."""

    picture: str = ""
    """What the picture shows."""
    elements: tuple[str, ...] = ()
    """What of it decides the question."""
    reasoning: str = ""
    """What the student probably thought."""
    type: str = ""
    """From an open list: causality, spatial relation, counting, attribute, reading, ..."""


class JudgeRequest(Record):
    """Is question and answer right and answerable from the picture?"""

    problem: Problem


class JudgeReply(Record):
    """1 wrong, 2 ambiguous, 3 right and answerable (P2); only 3 stays."""

    score: Literal[1, 2, 3]
    reason: str


class ProposeRequest(Record):
    """Propose `count` new training samples that exercise `skill`, in the manner of `example`."""

    skill: str
    example: Problem
    count: int
    seed: int


class Proposal(Record):
    """One proposed sample: what to draw, and what to ask. `program` is the scene program for exact drawing."""

    skill: str
    program: dict[str, Any] = Field(default_factory=dict)


class ProposeReply(Record):
    """As many proposals as the teacher can make, at most `count`."""

    proposals: tuple[Proposal, ...]


@runtime_checkable
class StagedTeacher(Protocol):
    """A teacher that keeps a ledger of its own, by stage and iteration."""

    def scoped(self, stage: str, *, iteration: int) -> Teacher:
        """The same teacher, whose requests are entered under this stage."""
        ...


@runtime_checkable
class Teacher(Protocol):
    """See the module's docstring. An operation that a teacher cannot do is absent from `operations`."""

    name: str
    operations: frozenset[Operation]

    def option_probabilities(self, requests: Sequence[OptionRequest]) -> list[OptionReply]:
        """P1 3.3: the probability of every option at the answer position."""
        ...

    def missing_skill(self, requests: Sequence[MissingSkillRequest]) -> list[SkillReply]:
        """P1 3.4: one short, fine-grained skill per error."""
        ...

    def required_skills(self, requests: Sequence[RequiredSkillsRequest]) -> list[SkillReply]:
        """P1 3.5: the skills a training sample needs."""
        ...

    def judge(self, requests: Sequence[JudgeRequest]) -> list[JudgeReply]:
        """P2: rate a made sample."""
        ...

    def propose(self, requests: Sequence[ProposeRequest]) -> list[ProposeReply]:
        """P2: propose new samples."""
        ...


@runtime_checkable
class ReadsSteps(Protocol):
    """Optional operations of a teacher that talks about single steps: what the rivals of answer switch need."""

    def check_step(self, requests: Sequence[StepCheckRequest]) -> list[StepCheckReply]:
        """P1 4.5, prompt per step."""
        ...

    def name_step(self, requests: Sequence[StepIndexRequest]) -> list[StepIndexReply]:
        """The index of the first wrong step in one call, outright or beside a reference."""
        ...

    def write_rationale(self, requests: Sequence[RationaleRequest]) -> list[RationaleReply]:
        """P1 4.5, pseudo rationale."""
        ...


@runtime_checkable
class ComparesSkills(Protocol):
    """Optional operation of a teacher: whether two wordings mean one skill."""

    def same_skill(self, requests: Sequence[SameSkillRequest]) -> list[SameSkillReply]:
        """Methods, section 3: the check behind a canonical skill."""
        ...


@runtime_checkable
class ReadsFailures(Protocol):
    """Optional operation of a teacher that can describe a failure."""

    def analyse_failure(self, requests: Sequence[FailureRequest]) -> list[FailureReply]:
        """P2: picture, deciding elements, hypothesised reasoning, type."""
        ...
