"""One error batch as the tool executor gets it, and the result of a tool call."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypedDict

from errata.tools.records import Attempt, Candidate, MissingSkill, Mistake, Problem, Record


class Allotment(TypedDict):
    """One error batch and what it may use."""

    batch: str
    problems: list[str]
    samples: int
    teacher_calls: int | None
    batches: int
    """How many batches share the iteration: retrieval keeps that many times its share in reserve."""


class ToolResult(Record):
    """Result of one call: `answer` goes to the model, `outcome` into the decision, the records into the batch."""

    answer: dict[str, Any]
    outcome: str
    asked: int = 0
    samples: int = 0
    mistakes: tuple[Mistake, ...] = ()
    skills: tuple[MissingSkill, ...] = ()
    candidates: tuple[Candidate, ...] = ()


class Batch(NamedTuple):
    """One error batch as the tool executor gets it."""

    iteration: int
    allotment: Allotment
    attempts: Sequence[Attempt]
    """The wrong attempts of the batch, in the order of the allotment."""
    served: Mapping[str, Sequence[str]]
    """Skills that were served to a problem in earlier iterations."""
    known_skills: Sequence[str]
    """Canonical skills so far; new wordings are matched to them."""
    taken: frozenset[str]
    """Pool samples that were trained on before."""


def usable(found: Sequence[Candidate]) -> int:
    """How many candidates may be trained on."""
    return sum(candidate.accepted for candidate in found)


def sample_result(found: Sequence[Candidate], budget: int, *, verb: str) -> ToolResult:
    """Result of a call for samples, for the model and for the decision; `verb` is `found` or `made`."""
    fit = usable(found)
    refused = Counter(c.reason for c in found if not c.accepted)
    got = min(budget, fit)
    reserve = f", {fit - got} in reserve" if fit > got else ""
    summary = "".join(f", {count} rejected: {reason}" for reason, count in sorted(refused.items()))
    answer = {verb: got, "asked": budget, "rejected": dict(sorted(refused.items()))}
    return ToolResult(
        answer=answer,
        outcome=f"{verb} {got} of {budget}{reserve}{summary}",
        samples=got,
        candidates=tuple(found),
    )


def answer_text(problem: Problem, attempt: Attempt) -> str:
    """The student's answer in words; empty when it gave none."""
    if attempt.answer is None or not problem.choices:
        return attempt.answer or ""
    return problem.choices[problem.letters.index(attempt.answer)]


def show_error(problem: Problem, attempt: Attempt, mistake: Mistake | None) -> dict[str, Any]:
    """One error in full, as the deciding model reads it."""
    return {
        "problem": problem.id,
        "question": problem.question,
        "choices": list(problem.choices),
        "gold": problem.target,
        "steps": list(attempt.steps),
        "answer": attempt.answer,
        "mistake_step": mistake.step if mistake else None,
    }
