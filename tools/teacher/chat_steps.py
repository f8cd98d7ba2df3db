"""What a chat teacher says about single steps: the rivals of answer switch over an endpoint (P1 4.5).

Steps are shown with numbers from 1 and named by them, 0 for "none of them"; records count from 0 and say -1. A number
that no step has does not fit the schema of its reply, so that the model is told and asked again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from errata.tools.teacher.chat_asking import Asker, Prompt, closed
from errata.tools.teacher.protocol import (
    RationaleReply,
    RationaleRequest,
    StepCheckReply,
    StepCheckRequest,
    StepIndexReply,
    StepIndexRequest,
)

MOST_STEPS = 40
STEP = {"type": "string", "minLength": 1, "maxLength": 1000}
CHECK = Prompt("step_check", "diagnose", closed(correct={"type": "boolean"}))
WRITE = Prompt(
    "pseudo_rationale",
    "diagnose",
    closed(steps={"type": "array", "items": STEP, "minItems": 1, "maxItems": MOST_STEPS}),
)


def check_steps(asker: Asker, requests: Sequence[StepCheckRequest]) -> list[StepCheckReply]:
    """Whether the last step of each is correct; the gold answer is not told, the picture withheld."""
    asked = [
        asker.request(CHECK, question=r.question, choices=list_options(r.options), steps=r.steps) for r in requests
    ]
    return asker.read("diagnose", asked, StepCheckReply.model_validate, StepCheckReply(correct=None))


def name_steps(asker: Asker, requests: Sequence[StepIndexRequest]) -> list[StepIndexReply]:
    """The first wrong step of each in one call, outright or beside a reference; the picture is withheld."""
    asked = [
        asker.request(
            says_prompt(len(r.steps)),
            question=r.question,
            choices=list_options(r.options),
            answer=r.gold,
            steps=r.steps,
            reference=r.reference,
        )
        for r in requests
    ]
    return asker.read("diagnose", asked, _read_number, StepIndexReply(step=None))


def write_rationales(asker: Asker, requests: Sequence[RationaleRequest]) -> list[RationaleReply]:
    """The teacher's own steps to the gold answer; the picture is shown where the request says so."""
    asked = [
        asker.request(WRITE, problem=r.problem, picture=r.picture, answer=r.problem.target_text) for r in requests
    ]
    return asker.read("diagnose", asked, RationaleReply.model_validate, RationaleReply(steps=()))


def says_prompt(steps: int) -> Prompt:
    """The prompt for a rationale of so many steps."""
    return Prompt(
        "teacher_says", "diagnose", closed(step={"type": "integer", "minimum": 0, "maximum": steps})
    )


def list_options(options: Sequence[str]) -> list[tuple[str, str]]:
    """Letter and text of each option."""
    return [(chr(ord("A") + i), text) for i, text in enumerate(options)]


def _read_number(parsed: dict[str, Any]) -> StepIndexReply:
    return StepIndexReply(step=parsed["step"] - 1)
