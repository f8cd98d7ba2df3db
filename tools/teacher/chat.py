"""A language model behind an OpenAI-compatible endpoint as the teacher.

Each operation renders a prompt file per request, sends the batch, and makes typed replies of what comes back. The
pictures are withheld in step location (P1 3.3) and shown elsewhere. A request without a usable reply ends the stage
with one line, or, where the settings say so, leaves its error unscored or untagged; it is never answered by default.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from errata.tools.records import seed_of
from errata.tools.teacher.chat_asking import Asker, Prompt, closed
from errata.tools.teacher.chat_exact import LetterForcer
from errata.tools.teacher.chat_options import ChatOptions
from errata.tools.teacher.chat_steps import check_steps, name_steps, write_rationales
from errata.tools.teacher.endpoint import Endpoint, EndpointFault, Role
from errata.tools.teacher.letters import read_options
from errata.tools.teacher.protocol import (
    FailureReply,
    FailureRequest,
    JudgeReply,
    JudgeRequest,
    MissingSkillRequest,
    Operation,
    OptionReply,
    OptionRequest,
    Proposal,
    ProposeReply,
    ProposeRequest,
    RationaleReply,
    RationaleRequest,
    RequiredSkillsRequest,
    SameSkillReply,
    SameSkillRequest,
    SkillReply,
    StepCheckReply,
    StepCheckRequest,
    StepIndexReply,
    StepIndexRequest,
)

ANSWER_TOKENS = 12
"""Enough for "The answer is A."."""
MOST_SKILLS = 8
SKILL = {"type": "string", "minLength": 3, "maxLength": 160}
TEXT = {"type": "string", "maxLength": 1000}
LOCATE = Prompt("mistake_step", "diagnose", None, max_tokens=ANSWER_TOKENS, logprobs=True)
MISSING = Prompt("missing_skill", "tag", closed(skill=SKILL))
REQUIRED = Prompt(
    "required_skills", "tag", closed(skills={"type": "array", "items": SKILL, "minItems": 1, "maxItems": MOST_SKILLS})
)
JUDGE = Prompt(
    "judge",
    "judge",
    closed(reason=TEXT, score={"type": "integer", "enum": [1, 2, 3]}),
)
SAME = Prompt("canonical_names", "tag", closed(same={"type": "boolean"}))
FAILURE = Prompt(
    "failure_analysis",
    "judge",
    closed(
        picture=TEXT,
        elements={"type": "array", "items": {"type": "string", "maxLength": 200}, "maxItems": 20},
        reasoning=TEXT,
        type={"type": "string", "minLength": 1, "maxLength": 60},
    ),
)
OPERATIONS: frozenset[Operation] = frozenset(
    {
        "option_probabilities",
        "check_step",
        "name_step",
        "write_rationale",
        "missing_skill",
        "required_skills",
        "same_skill",
        "judge",
        "analyse_failure",
    }
)


class ChatTeacher:
    """Satisfies `Teacher`, `StagedTeacher`, `ReadsSteps`, `ComparesSkills` and `ReadsFailures`."""

    def __init__(
        self, endpoints: Mapping[Role, Endpoint], *, options: ChatOptions, families: Sequence[str] = ()
    ) -> None:
        """`families`: names of the drawing programs to propose from; without any it cannot propose."""
        self._take(Asker(endpoints, options=options), LetterForcer(), families)

    def _take(self, asker: Asker, forcer: LetterForcer, families: Sequence[str]) -> None:
        self.name = f"chat {asker.options.endpoint('tag').model}"
        self._asker, self._forcer, self._families = asker, forcer, tuple(families)
        self.operations: frozenset[Operation] = OPERATIONS | (frozenset({"propose"}) if families else frozenset())

    def scoped(self, stage: str, *, iteration: int) -> ChatTeacher:
        """The same teacher, whose requests are entered under this stage."""
        twin = ChatTeacher.__new__(ChatTeacher)
        twin._take(self._asker.scoped(stage, iteration=iteration), self._forcer, self._families)
        return twin

    def option_probabilities(self, requests: Sequence[OptionRequest]) -> list[OptionReply]:
        """See `Teacher`; letters missing from the top list have upper ends, and are forced where `exact` asks for
        it and the endpoint can.
        """
        letters = [[chr(ord("A") + i) for i in range(len(request.options))] for request in requests]
        asked = [
            self._asker.request(
                LOCATE,
                question=request.question,
                choices=list(zip(names, request.options, strict=True)),
                prior=[(f"{100 * p:g}", n) for p, n in zip(request.prior, names, strict=False) if p > 0],
                steps=request.steps,
                letters=names,
            )
            for request, names in zip(requests, letters, strict=True)
        ]
        replies = self._asker.ask("diagnose", asked)
        exact = [i for i, request in enumerate(requests) if request.exact]
        forced = self._forcer.force(self._asker, [(asked[i], replies[i], letters[i]) for i in exact])
        known = dict(zip(exact, forced, strict=True))
        return [
            OptionReply(probabilities=tuple(1 / len(names) for _ in names), mass=0.0)
            if isinstance(reply, EndpointFault)
            else read_options(reply, names, forced=known.get(i, {}))
            for i, (reply, names) in enumerate(zip(replies, letters, strict=True))
        ]

    def check_step(self, requests: Sequence[StepCheckRequest]) -> list[StepCheckReply]:
        """See `ReadsSteps`; None where a request was skipped."""
        return check_steps(self._asker, requests)

    def name_step(self, requests: Sequence[StepIndexRequest]) -> list[StepIndexReply]:
        """See `ReadsSteps`; None where a request was skipped."""
        return name_steps(self._asker, requests)

    def write_rationale(self, requests: Sequence[RationaleRequest]) -> list[RationaleReply]:
        """See `ReadsSteps`; no step where a request was skipped."""
        return write_rationales(self._asker, requests)

    def missing_skill(self, requests: Sequence[MissingSkillRequest]) -> list[SkillReply]:
        """See `Teacher`; no skill where a request was skipped."""
        asked = [
            self._asker.request(
                MISSING, problem=r.problem, steps=r.steps, wrong=r.step, served=r.served, answer=r.problem.target
            )
            for r in requests
        ]
        return self._asker.read("tag", asked, _read_skill, SkillReply(skills=()))

    def required_skills(self, requests: Sequence[RequiredSkillsRequest]) -> list[SkillReply]:
        """See `Teacher`; no skill where a request was skipped."""
        asked = [
            self._asker.request(
                REQUIRED,
                problem=r.problem,
                answer=r.problem.target,
                solution=r.problem.rationale or "(none)",
                most=MOST_SKILLS,
            )
            for r in requests
        ]
        return self._asker.read("tag", asked, _read_skills, SkillReply(skills=()))

    def judge(self, requests: Sequence[JudgeRequest]) -> list[JudgeReply]:
        """See `Teacher`; 1 where a request was skipped (methods, section 5: what cannot be parsed counts 1)."""
        asked = [self._asker.request(JUDGE, problem=r.problem, answer=r.problem.target) for r in requests]
        skipped = JudgeReply(score=1, reason="the judge gave no usable reply")
        return self._asker.read("judge", asked, JudgeReply.model_validate, skipped)

    def propose(self, requests: Sequence[ProposeRequest]) -> list[ProposeReply]:
        """See `Teacher`; families of the drawing programs in turn, each with a seed of its own."""
        names = {"type": "array", "items": {"type": "string", "enum": list(self._families)}, "maxItems": MOST_SKILLS}
        prompt = Prompt("propose", "propose", closed(families=names))
        asked = [
            self._asker.request(
                prompt, families=self._families, skill=r.skill, question=r.example.question, most=MOST_SKILLS
            )
            for r in requests
        ]
        found = self._asker.read("propose", asked, lambda parsed: tuple(dict.fromkeys(parsed["families"])), ())
        return [_spread_proposals(r, families) for r, families in zip(requests, found, strict=True)]

    def same_skill(self, requests: Sequence[SameSkillRequest]) -> list[SameSkillReply]:
        """See `ComparesSkills`; None where a request was skipped."""
        asked = [self._asker.request(SAME, first=r.first, second=r.second) for r in requests]
        return self._asker.read("tag", asked, SameSkillReply.model_validate, SameSkillReply(same=None))

    def analyse_failure(self, requests: Sequence[FailureRequest]) -> list[FailureReply]:
        """See `ReadsFailures`; empty where a request was skipped."""
        asked = [
            self._asker.request(FAILURE, problem=r.problem, answer=r.problem.target_text, given=r.given)
            for r in requests
        ]
        return self._asker.read("judge", asked, FailureReply.model_validate, FailureReply())


def _read_skill(parsed: dict[str, Any]) -> SkillReply:
    return SkillReply(skills=tuple(filter(None, [tidy_skill(parsed["skill"])])))


def _read_skills(parsed: dict[str, Any]) -> SkillReply:
    return SkillReply(skills=tuple(filter(None, dict.fromkeys(tidy_skill(s) for s in parsed["skills"]))))


def tidy_skill(text: str) -> str:
    """One line without a full stop."""
    return " ".join(text.split()).rstrip(".")


def _spread_proposals(request: ProposeRequest, families: Sequence[str]) -> ProposeReply:
    proposals = (
        Proposal(
            skill=request.skill,
            program={"family": families[(request.seed + i) % len(families)], "seed": seed_of(request.seed, i)},
        )
        for i in range(request.count if families else 0)
    )
    return ProposeReply(proposals=tuple(proposals))
