"""A language model behind an OpenAI-compatible endpoint as the teacher.

Each operation renders a prompt file per request, sends the batch, and makes typed replies of what comes back. The
pictures are withheld in step location (P1 3.3) and shown elsewhere. A request without a usable reply ends the stage
with one line, or, where the settings say so, leaves its error unscored or untagged; it is never answered by default.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from prompts import prompt_digest, render_messages
from tools.errors import OperatorError
from tools.records import ImageRef, Problem, seed_of
from tools.teacher.chat_options import ChatOptions, EndpointOptions
from tools.teacher.endpoint import ChatReply, ChatRequest, Endpoint, EndpointFault, FaultKind, Role, Scoped
from tools.teacher.letters import read_options
from tools.teacher.protocol import (
    JudgeReply,
    JudgeRequest,
    MissingSkillRequest,
    Operation,
    OptionReply,
    OptionRequest,
    Proposal,
    ProposeReply,
    ProposeRequest,
    RequiredSkillsRequest,
    SkillReply,
)

T = TypeVar("T")
ANSWER_TOKENS = 12
"""Enough for "The answer is A."."""
MOST_SKILLS = 8
SKILL = {"type": "string", "minLength": 3, "maxLength": 160}
MIME = {b"\x89PNG": "png", b"\xff\xd8\xff": "jpeg", b"GIF8": "gif", b"RIFF": "webp"}
REMEDIES: dict[FaultKind, str] = {
    "rate_limited": "wait, or lower teacher.chat.patience.concurrency or set requests_per_minute",
    "server": "see whether the endpoint is well",
    "timeout": "see whether the endpoint is well, or raise teacher.chat.timeout_seconds",
    "connection": "see that base_url is right and the endpoint runs",
    "bad_reply": "see what it can do with: errata doctor --teacher CONFIG",
    "refused": "set teacher.chat.unanswered to skip to go on without such questions",
    "filtered": "set teacher.chat.unanswered to skip to go on without such questions",
    "too_long": "serve a longer context, or set teacher.chat.unanswered to skip",
    "bad_request": "see what it can do with: errata doctor --teacher CONFIG",
    "key": "set the environment variable that key_env names to a valid key",
    "no_model": "name a model that the endpoint has",
    "quota": "pay the provider, or use another endpoint",
}


class Prompt(NamedTuple):
    """A prompt file, the role that asks it, and the schema of its reply."""

    name: str
    role: Role
    schema: dict[str, Any] | None


def closed(**fields: dict[str, Any]) -> dict[str, Any]:
    """A JSON schema of an object with exactly these fields."""
    return {"type": "object", "properties": fields, "required": list(fields), "additionalProperties": False}


LOCATE = Prompt("mistake_step", "diagnose", None)
MISSING = Prompt("missing_skill", "tag", closed(skill=SKILL))
REQUIRED = Prompt(
    "required_skills", "tag", closed(skills={"type": "array", "items": SKILL, "minItems": 1, "maxItems": MOST_SKILLS})
)
JUDGE = Prompt(
    "judge",
    "judge",
    closed(reason={"type": "string", "maxLength": 1000}, score={"type": "integer", "enum": [1, 2, 3]}),
)


class ChatTeacher:
    """Satisfies `Teacher` and `StagedTeacher`."""

    def __init__(
        self, endpoints: Mapping[Role, Endpoint], *, options: ChatOptions, families: Sequence[str] = ()
    ) -> None:
        """`families`: names of the drawing programs to propose from; without any it cannot propose."""
        self.name = f"chat {options.endpoint('tag').model}"
        self._endpoints, self._options, self._families = dict(endpoints), options, tuple(families)
        operations: set[Operation] = {"option_probabilities", "missing_skill", "required_skills", "judge"}
        self.operations: frozenset[Operation] = frozenset(operations | ({"propose"} if families else set()))

    def scoped(self, stage: str, *, iteration: int) -> ChatTeacher:
        """The same teacher, whose requests are entered under this stage."""
        endpoints: dict[Role, Endpoint] = {
            role: e.scoped(stage, iteration=iteration) if isinstance(e, Scoped) else e
            for role, e in self._endpoints.items()
        }
        return ChatTeacher(endpoints, options=self._options, families=self._families)

    def option_probabilities(self, requests: Sequence[OptionRequest]) -> list[OptionReply]:
        """See `Teacher`; letters missing from the top list have upper ends."""
        letters = [[chr(ord("A") + i) for i in range(len(request.options))] for request in requests]
        asked = [
            self._request(
                LOCATE,
                question=request.question,
                choices=list(zip(names, request.options, strict=True)),
                prior=[(f"{100 * p:g}", n) for p, n in zip(request.prior, names, strict=False) if p > 0],
                steps=request.steps,
                letters=names,
            )
            for request, names in zip(requests, letters, strict=True)
        ]
        return [
            OptionReply(probabilities=tuple(1 / len(names) for _ in names), mass=0.0)
            if isinstance(reply, EndpointFault)
            else read_options(reply, names)
            for reply, names in zip(self._ask("diagnose", asked), letters, strict=True)
        ]

    def missing_skill(self, requests: Sequence[MissingSkillRequest]) -> list[SkillReply]:
        """See `Teacher`; no skill where a request was skipped."""
        asked = [
            self._request(
                MISSING, problem=r.problem, steps=r.steps, wrong=r.step, served=r.served, answer=r.problem.target
            )
            for r in requests
        ]
        return self._read("tag", asked, _read_skill, SkillReply(skills=()))

    def required_skills(self, requests: Sequence[RequiredSkillsRequest]) -> list[SkillReply]:
        """See `Teacher`; no skill where a request was skipped."""
        asked = [
            self._request(
                REQUIRED,
                problem=r.problem,
                answer=r.problem.target,
                solution=r.problem.rationale or "(none)",
                most=MOST_SKILLS,
            )
            for r in requests
        ]
        return self._read("tag", asked, _read_skills, SkillReply(skills=()))

    def judge(self, requests: Sequence[JudgeRequest]) -> list[JudgeReply]:
        """See `Teacher`; 1 where a request was skipped (methods, section 5: what cannot be parsed counts 1)."""
        asked = [self._request(JUDGE, problem=r.problem, answer=r.problem.target) for r in requests]
        skipped = JudgeReply(score=1, reason="the judge gave no usable reply")
        return self._read("judge", asked, JudgeReply.model_validate, skipped)

    def propose(self, requests: Sequence[ProposeRequest]) -> list[ProposeReply]:
        """See `Teacher`; families of the drawing programs in turn, each with a seed of its own."""
        names = {"type": "array", "items": {"type": "string", "enum": list(self._families)}, "maxItems": MOST_SKILLS}
        prompt = Prompt("propose", "propose", closed(families=names))
        asked = [
            self._request(
                prompt, families=self._families, skill=r.skill, question=r.example.question, most=MOST_SKILLS
            )
            for r in requests
        ]
        found = self._read("propose", asked, lambda parsed: tuple(dict.fromkeys(parsed["families"])), ())
        return [_spread_proposals(r, families) for r, families in zip(requests, found, strict=True)]

    def _request(self, prompt: Prompt, *, problem: Problem | None = None, **values: object) -> ChatRequest:
        if problem is not None:
            choices = list(zip(problem.letters, problem.choices, strict=True))
            values |= {"question": problem.question, "choices": choices}
        messages: list[dict[str, Any]] = list(render_messages(prompt.name, **values))
        if problem is not None and problem.images and self._options.images:
            pictures = [_show_picture(image) for image in problem.images]
            messages[-1] = {"role": "user", "content": [{"type": "text", "text": messages[-1]["content"]}, *pictures]}
        options = self._options.endpoint(prompt.role)
        locating = prompt is LOCATE
        return ChatRequest(
            role=prompt.role,
            model=options.model,
            messages=tuple(messages),
            reply_schema=prompt.schema,
            top_logprobs=self._options.top_logprobs if locating else 0,
            max_tokens=ANSWER_TOKENS if locating else options.max_tokens,
            temperature=options.temperature,
            prompt_version=prompt_digest(prompt.name),
        )

    def _ask(self, role: Role, requests: Sequence[ChatRequest]) -> list[ChatReply | EndpointFault]:
        try:
            return self._endpoints[role].complete_all(requests) if requests else []
        except EndpointFault as fault:
            raise stop_line(fault, role=role, endpoint=self._options.endpoint(role)) from None

    def _read(
        self, role: Role, requests: Sequence[ChatRequest], read: Callable[[dict[str, Any]], T], skipped: T
    ) -> list[T]:
        replies = self._ask(role, requests)
        return [
            skipped if isinstance(reply, EndpointFault) or reply.parsed is None else read(reply.parsed)
            for reply in replies
        ]


def stop_line(
    fault: EndpointFault, *, role: Role, endpoint: EndpointOptions, where: str = "teacher.chat"
) -> OperatorError:
    """What a person reads when an endpoint's fault ends the stage."""
    what = f"{fault.kind} from {endpoint.model} at {endpoint.base_url}: {fault}"
    return OperatorError(what, where=f"{where} ({role})", remedy=REMEDIES[fault.kind])


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


def _show_picture(image: ImageRef) -> dict[str, Any]:
    """The picture as a data URL; its format is read from its first bytes."""
    try:
        data = Path(image.path).read_bytes()
    except OSError as error:
        raise OperatorError(f"the picture cannot be read ({error.strerror})", where=image.path) from None
    kind = next((name for start, name in MIME.items() if data.startswith(start)), "png")
    url = f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"
    return {"type": "image_url", "image_url": {"url": url}}
