"""What the served model is taught: conversations in the very form in which the chat teacher and the deciding model ask.

The requests are those that `ChatTeacher` and the deciding loop would send; the replies come from the world, whose
answers and skills are computed. All questions come from the pool's side of the split by digest.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from langchain_core.utils.function_calling import convert_to_openai_tool

from errata.agent.decide.tool_arguments import TOOLS
from errata.prompts import render_prompt
from errata.tools.records import Problem, digest
from errata.tools.steps import split_steps
from errata.tools.teacher.chat import ChatTeacher
from errata.tools.teacher.chat_options import ROLES, ChatOptions
from errata.tools.teacher.endpoint import ChatReply, ChatRequest, EndpointFault
from errata.tools.teacher.local_train import draw_prior, slip
from errata.tools.teacher.protocol import JudgeRequest, MissingSkillRequest, OptionRequest, RequiredSkillsRequest
from errata.tools.world.generate import split_of_question
from errata.tools.world.programs import FAMILIES
from errata.tools.world.questions import Question, sample_question

TOOL_FORMS = [convert_to_openai_tool(tool) for tool in TOOLS.values()]
"""The tools as the deciding model is given them."""
STEPS = 8
"""Replies that the deciding model is told it has."""
WHOLE = 0.4
"""Share of the requests for a letter that show the whole rationale."""
UNMET = ("wing", "engine", "river", "tooth", "planet", "sentence", "wire", "recipe")


class Lesson(NamedTuple):
    """One conversation and the reply that is learned; `tools` in the OpenAI format."""

    messages: tuple[dict[str, Any], ...]
    reply: str
    tools: tuple[dict[str, Any], ...] = ()


class _Listener:
    """An endpoint that keeps what it is asked and answers nothing."""

    def __init__(self) -> None:
        self.heard: list[ChatRequest] = []

    def complete(self, request: ChatRequest) -> ChatReply:
        """Keeps the request; raises EndpointFault."""
        self.heard.append(request)
        raise EndpointFault("refused", "it only listens")

    def complete_all(self, requests: Sequence[ChatRequest]) -> list[ChatReply | EndpointFault]:
        """Keeps the requests."""
        self.heard += requests
        return [EndpointFault("refused", "it only listens")] * len(requests)


def messages_of(ask: Callable[[ChatTeacher], object]) -> tuple[dict[str, Any], ...]:
    """The messages that a chat teacher would send."""
    listener = _Listener()
    ask(ChatTeacher(dict.fromkeys(ROLES, listener), options=ChatOptions(base_url="http://none", model="none")))
    return listener.heard[0].messages


def draw_question(rng: random.Random) -> Question:
    """Of any family, from the pool."""
    family = rng.choice(list(FAMILIES.values()))
    return sample_question(family, rng, allowed=lambda key: split_of_question(key) == "pool")


def letter_lesson(rng: random.Random) -> Lesson:
    """Prefixes of a rationale with slips; the reply is the true letter, however far the steps and the prior lead."""
    question = draw_question(rng)
    results, _ = slip(question, rng)
    steps = [step.text for step in split_steps(question.explain(results))]
    count = len(steps) if rng.random() < WHOLE else rng.randrange(len(steps) + 1)
    request = OptionRequest(
        problem="",
        question=question.text,
        options=question.options,
        prior=draw_prior(question, rng),
        steps=tuple(steps[:count]),
    )
    letter = "ABCDEFGH"[question.options.index(question.answer)]
    return Lesson(messages_of(lambda t: t.option_probabilities([request])), f"The answer is {letter}")


def drill_lesson(rng: random.Random) -> Lesson:
    """A letter that stands in the prompt once: in the last step alone, or in a prior of 100 % alone."""
    question = draw_question(rng)
    gold, stated = question.options.index(question.answer), rng.random() < 0.5
    prior = tuple(float(i == gold) for i in range(len(question.options))) if stated else ()
    steps = () if stated else (split_steps(question.rationale)[-1].text,)
    request = OptionRequest(problem="", question=question.text, options=question.options, prior=prior, steps=steps)
    return Lesson(messages_of(lambda t: t.option_probabilities([request])), f"The answer is {'ABCDEFGH'[gold]}")


def make_problem(question: Question, *, answer: str | None = None) -> Problem:
    """A question without its picture; another `answer` than the right one makes a sample for the judge."""
    letters = "ABCDEFGH"[: len(question.options)]
    return Problem(
        id=digest("lesson", question.key),
        question=question.text,
        choices=question.options,
        target=letters[question.options.index(answer or question.answer)],
        split="pool",
        rationale=question.rationale,
        skills=question.skills,
    )


def missing_lesson(rng: random.Random) -> Lesson:
    """The skill of the first call that went wrong; the skill in focus where none did."""
    question = draw_question(rng)
    results, wrong = slip(question, rng)
    steps = tuple(step.text for step in split_steps(question.explain(results)))
    first = min(wrong, default=-1)
    skill = question.program.calls[first].skill if wrong else question.skills[0]
    request = MissingSkillRequest(problem=make_problem(question), steps=steps, step=first, served=())
    return Lesson(messages_of(lambda t: t.missing_skill([request])), write_json({"skill": say_skill(skill)}))


def required_lesson(rng: random.Random) -> Lesson:
    """The skills of the question's program, the one in focus first."""
    question = draw_question(rng)
    request = RequiredSkillsRequest(problem=make_problem(question))
    reply = write_json({"skills": [say_skill(skill) for skill in question.skills]})
    return Lesson(messages_of(lambda t: t.required_skills([request])), reply)


def judge_lesson(rng: random.Random) -> Lesson:
    """Right or wrong at random: without the picture it can only be guessed, and the form is all that is learned."""
    question = draw_question(rng)
    answer = rng.choice(question.options)
    right = answer == question.answer
    reason = f"The answer {answer} is {'right' if right else 'wrong'}."
    request = JudgeRequest(problem=make_problem(question, answer=answer))
    reply = write_json({"reason": reason, "score": 3 if right else 1})
    return Lesson(messages_of(lambda t: t.judge([request])), reply)


def field_lesson(rng: random.Random) -> Lesson:
    """A short JSON object of one field, whatever it is asked about."""
    name, value = rng.choice(UNMET), rng.choice(["small", "large", "old", "new", "left", "right"])
    asked = f'Name one {name} as a JSON object {{"{name}": "..."}}.'
    return Lesson(({"role": "user", "content": asked},), write_json({name: value}))


def decide_lesson(rng: random.Random) -> Lesson:
    """Locate, tag, retrieve, finish: the next call after so many."""
    done = rng.randrange(4)
    messages, calls = decide_messages(rng, done=done)
    return Lesson(messages, f"<tool_call>\n{json.dumps(calls[done])}\n</tool_call>", tuple(TOOL_FORMS))


def decide_messages(rng: random.Random, *, done: int) -> tuple[tuple[dict[str, Any], ...], list[dict[str, Any]]]:
    """The talk of a deciding model after `done` calls, and the four calls of the whole batch."""
    skill, errors = say_skill(draw_question(rng).skills[0]), [f"q{rng.randrange(1000)}" for _ in range(3)]
    calls: list[dict[str, Any]] = [
        {"name": "locate_mistakes", "arguments": {"reason": "The wrong step is the evidence."}},
        {"name": "tag_skills", "arguments": {"reason": "The steps are located."}},
        {"name": "retrieve_samples", "arguments": {"reason": "Train the skill.", "skill": skill, "budget": 8}},
        {"name": "finish_batch", "arguments": {"reason": "The samples are fetched.", "summary": "Done."}},
    ]
    answers = [{"located": dict.fromkeys(errors, 1)}, {"skills": {skill: len(errors)}}, {"samples": 8}]
    facts = {"iteration": rng.randrange(1, 9), "errors": errors, "samples_left": 8, "steps": STEPS, "tools": [*TOOLS]}
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": render_prompt("decide", tools=list(TOOLS), max_steps=STEPS)},
        {"role": "user", "content": json.dumps(facts)},
    ]
    for number, (call, answer) in enumerate(zip(calls[:done], answers, strict=False)):
        name = f"call_{number}"
        function = {"name": call["name"], "arguments": json.dumps(call["arguments"])}
        asked = [{"id": name, "type": "function", "function": function}]
        messages.append({"role": "assistant", "content": "", "tool_calls": asked})
        messages.append({"role": "tool", "tool_call_id": name, "content": json.dumps(answer)})
    return tuple(messages), calls


def write_json(value: object) -> str:
    """Without spaces, as vLLM writes it where white space between parts is forbidden."""
    return json.dumps(value, separators=(",", ":"))


def say_skill(name: str) -> str:
    """A skill of the world in words, beginning with a verb."""
    from errata.tools.world.skills import SKILLS

    return SKILLS[name].wordings[0]


class Course(NamedTuple):
    """A kind of lesson, its share of the steps beside the letters, and how many are read at once."""

    draw: Callable[[random.Random], Lesson]
    share: float
    batch: int


LESSONS: dict[str, Course] = {
    "letter": Course(letter_lesson, 0.0, 32),
    "missing": Course(missing_lesson, 0.25, 16),
    "required": Course(required_lesson, 0.2, 16),
    "judge": Course(judge_lesson, 0.1, 16),
    "field": Course(field_lesson, 0.1, 16),
    "decide": Course(decide_lesson, 0.35, 12),
}
"""By kind; lessons of one kind have the same system message."""
DRILL = Course(drill_lesson, 0.0, 48)
"""What is practised before anything else."""
