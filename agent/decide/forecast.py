"""Forecast of a run with a chat teacher: calls, tokens, money and hours, and how each figure is computed."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from errata.agent.settings.sources import read_source
from errata.agent.settings.tree import Settings
from errata.tools.records import Problem, Split
from errata.tools.teacher.chat import ChatTeacher
from errata.tools.teacher.chat_options import ChatOptions
from errata.tools.teacher.endpoint import ChatReply, ChatRequest, EndpointFault, Role
from errata.tools.teacher.paid import count_bytes
from errata.tools.teacher.protocol import (
    JudgeRequest,
    MissingSkillRequest,
    OptionRequest,
    RationaleRequest,
    RequiredSkillsRequest,
    SameSkillRequest,
    StepCheckRequest,
    StepIndexRequest,
)

WRONG = 0.5
"""Share of the diagnosis questions taken to be answered wrong; the first evaluation tells the real one."""
PROBES = {"answer_switch": 3.2, "per_step": 4.3, "step_alone": 4.3, "pseudo_rationale": 2.0, "teacher_says": 1.0}
"""Requests per error by location method (answer switch by skip scan), as docs/tables/locate.md has them."""
SECONDS = 1.0
"""Taken for one reply."""
BYTES_PER_TOKEN = 4.0
STEPS = ("A sentence of the student's reasoning as long as they are.",) * 3
"""Half of a rationale: what a request of the scan shows on average."""
OUT: dict[Role, int] = {"diagnose": 10, "tag": 40, "judge": 40, "propose": 30}
WRITTEN = 60
"""Reply tokens per request of pseudo rationale: a rationale of 110, and the number of a step."""
SAMPLE = 40
"""Questions whose requests are measured."""


class Part(NamedTuple):
    """One line of the forecast."""

    name: str
    role: Role
    calls: int
    why: str
    out: int
    """Tokens of one reply."""


class RequestRecorder:
    """An endpoint that sends nothing and records the size of each request."""

    def __init__(self) -> None:
        self.tokens: list[float] = []

    def complete(self, request: ChatRequest) -> ChatReply:
        """Record the size; a forecast sends nothing."""
        self.tokens.append(sum(count_bytes(m, picture=0) for m in request.messages) / BYTES_PER_TOKEN)
        return ChatReply(text="")

    def complete_all(self, requests: Sequence[ChatRequest]) -> list[ChatReply | EndpointFault]:
        """As `complete`."""
        return [self.complete(request) for request in requests]


def forecast(settings: Settings, *, chat: ChatOptions) -> dict[str, Any]:
    """One line per kind of request and their sum; money is None where a model has no price."""
    sizes, examples = count_questions(settings)
    parts = plan_parts(settings, sizes)
    method = settings.locate.method
    sizes_in = {part.name: _measure(part, examples, chat=chat, method=method) for part in parts}
    lines = {part.name: _line(part, sizes_in[part.name], chat=chat) for part in parts}
    sums: dict[str, Any] = {
        name: None if any(line[name] is None for line in lines.values()) else sum(line[name] for line in lines.values())
        for name in ("calls", "tokens", "money", "hours")
    }
    sums = {name: round(value, 4) if isinstance(value, float) else value for name, value in sums.items()}
    caps = {name: value for name, value in chat.caps.model_dump().items() if value is not None}
    return {**lines, "in all": {**sums, "caps": caps or "none: give teacher.chat.caps"}}


def plan_parts(settings: Settings, sizes: Mapping[Split, int]) -> list[Part]:
    """Kinds of requests and how many of each, capped as the budget caps them."""
    budget, asked = settings.budget, sizes["diagnosis"]
    errors = round(asked * WRONG)
    rounds = f"{budget.iterations} iterations of {errors} errors ({WRONG:.0%} of {asked} questions taken to be wrong)"
    method = settings.locate.method
    probes = PROBES.get(method, 0.0)
    located, named = round(errors * probes * budget.iterations), errors * budget.iterations
    out = WRITTEN if method == "pseudo_rationale" else OUT["diagnose"]
    parts = [
        _plan_tagging(settings, sizes, errors=named),
        Part("step location", "diagnose", located, f"{rounds}, {probes:g} requests each by {method}", out),
        Part("missing skills", "tag", named, f"{rounds}, one request each", OUT["tag"]),
        Part("comparing skills", "tag", named, f"{rounds}, taken to be one pair each", OUT["diagnose"]),
    ]
    if settings.synthesize.enabled and settings.data.world and settings.control == "none":
        made = round((budget.total.samples or 0) * settings.synthesize.share)
        why = f"{settings.synthesize.share:.0%} of all samples"
        parts.append(Part("judging made samples", "judge", made, why, OUT["judge"]))
    return parts


def _plan_tagging(settings: Settings, sizes: Mapping[Split, int], *, errors: int) -> Part:
    """Requests for the required skills of the pool, no more than the budget has for them."""
    skills, cap = settings.skills, settings.budget.index_calls
    calls, why = sizes["pool"], "one request per sample, once"
    if skills.source == "annotations":
        calls, why = 0, "the dataset's own labels"
    elif skills.tag == "candidates":
        calls = min(calls, errors * skills.candidates)
        why = f"at most {skills.candidates} samples for each of {errors} errors, each sample once"
    calls = calls if cap is None else min(calls, cap)
    return Part("skills of the pool", "tag", calls, f"{why}: {calls}", OUT["tag"])


def count_questions(settings: Settings) -> tuple[dict[Split, int], dict[Split, list[Problem]]]:
    """Number of questions in pool and diagnosis, with examples; a world that is not drawn yet gives made-up ones."""
    data = settings.data
    if data.world is not None:
        sizes = data.world.sizes.model_dump()
        return {"pool": sizes["pool"], "diagnosis": sizes["diagnosis"]}, _world_examples()
    counts: dict[Split, int] = {}
    examples: dict[Split, list[Problem]] = {}
    splits: tuple[Split, ...] = ("pool", "diagnosis")
    for split in splits:
        with tempfile.TemporaryDirectory(prefix="errata-forecast-") as folder:  # for pictures that come as bytes
            found = read_source(data, getattr(data, split), split=split, runs=Path(folder)).problems
        counts[split], examples[split] = len(found), found[:: max(1, len(found) // SAMPLE)][:SAMPLE]
    return counts, examples


def _world_examples() -> dict[Split, list[Problem]]:
    import random

    from errata.tools.records import ImageRef
    from errata.tools.world.generate import make_problem
    from errata.tools.world.programs import FAMILIES
    from errata.tools.world.questions import sample_question

    rng, image = random.Random(0), ImageRef(path="", sha256="")
    made = [make_problem(sample_question(f, rng), split="pool", image=image, skills=()) for f in FAMILIES.values()]
    return {"pool": made, "diagnosis": made}


def _measure(
    part: Part, examples: Mapping[Split, Sequence[Problem]], *, chat: ChatOptions, method: str
) -> float:
    """Mean prompt tokens of this kind of request; each picture counts as `image_tokens` of the settings."""
    recorder = RequestRecorder()
    roles: dict[Role, RequestRecorder] = dict.fromkeys(("diagnose", "tag", "judge", "propose"), recorder)
    text_only = ChatTeacher(roles, options=chat.model_copy(update={"images": False}))
    problems = examples["pool" if part.name == "skills of the pool" else "diagnosis"]
    for problem in problems:
        _ask(text_only, part, problem, method=method)
    without_picture = part.role == "diagnose" or part.name == "comparing skills"
    shown = 0 if without_picture or not chat.images else sum(len(p.images) for p in problems)
    return (sum(recorder.tokens) + shown * chat.image_tokens) / max(1, len(recorder.tokens))


def _ask(text_only: ChatTeacher, part: Part, problem: Problem, *, method: str) -> None:
    """Build a request of this kind about this question and send it to the recorder."""
    options = problem.choices or ("an answer", "another")
    asked: dict[str, Any] = {"problem": "", "question": problem.question, "options": options, "steps": STEPS}
    if part.role == "diagnose" and method == "per_step":
        text_only.check_step([StepCheckRequest(**asked)])
    elif part.role == "diagnose" and method in ("pseudo_rationale", "teacher_says"):
        compared = STEPS if method == "pseudo_rationale" else ()
        asked |= {"steps": STEPS * 2, "gold": problem.target_text, "reference": compared}
        text_only.name_step([StepIndexRequest(**asked)])
        if compared:
            text_only.write_rationale([RationaleRequest(problem=problem)])
    elif part.role == "diagnose":
        text_only.option_probabilities([OptionRequest(**asked, prior=(0.6,))])
    elif part.name == "missing skills":
        text_only.missing_skill([MissingSkillRequest(problem=problem, steps=STEPS * 2, step=2)])
    elif part.name == "comparing skills":
        text_only.same_skill([SameSkillRequest(first=STEPS[0], second=STEPS[0])])
    elif part.role == "judge":
        text_only.judge([JudgeRequest(problem=problem)])
    else:
        text_only.required_skills([RequiredSkillsRequest(problem=problem)])


def _line(part: Part, size: float, *, chat: ChatOptions) -> dict[str, Any]:
    out, price = part.out, chat.prices.get(chat.endpoint(part.role).model)
    money = None
    if price is not None:
        money = round(part.calls * (size * price.tokens_in + out * price.tokens_out) / 1e6, 4)
    why = f"{part.why}; {size:.0f} tokens in (bytes of real prompts / {BYTES_PER_TOKEN:g}), {out} out"
    return {
        "calls": part.calls,
        "tokens": round(part.calls * (size + out)),
        "money": money,
        "hours": round(part.calls * SECONDS / chat.retries.concurrency / 3600, 4),
        "derived": f"{why}; {SECONDS:g} s a reply, {chat.retries.concurrency} at a time",
    }
