"""`errata show`: lists of what a run found, and any record with all that it came from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from errata.agent.run.lineage import Archive, Node
from errata.agent.run.sentences import spread
from errata.agent.show.examples import answer_text
from errata.tools.records import (
    Attempt,
    Candidate,
    Checkpoint,
    Decision,
    Lesson,
    MissingSkill,
    Mistake,
    Problem,
    Record,
    Scorecard,
)

LISTS = ("errors", "skills", "lessons", "decisions")
PARENTS_SHOWN = 3
"""Parents of one kind that are printed in full; the rest is counted. JSON has them all."""


def list_errors(archive: Archive) -> list[dict[str, Any]]:
    """One row per mistake: where it went wrong, and what was answered instead of what."""
    rows = []
    for mistake in archive.mistakes.values():
        attempt, problem = archive.attempts.get(mistake.attempt), archive.problems.get(mistake.problem)
        rows.append(
            {
                "id": mistake.id,
                "iteration": mistake.iteration,
                "status": mistake.status,
                "step": ""
                if mistake.step < 0 or attempt is None
                else f"{mistake.step + 1} of {len(attempt.steps)}",
                "answer": "" if attempt is None or problem is None else answer_text(attempt, problem),
                "right": problem.target_text if problem else "",
                "question": problem.question if problem else mistake.problem,
            }
        )
    return rows


def list_skills(archive: Archive) -> list[dict[str, Any]]:
    """One row per canonical skill, most errors first."""
    rows: dict[str, dict[str, Any]] = {}
    for missing in archive.skills.values():
        row = rows.setdefault(
            missing.skill,
            {"skill": missing.skill, "errors": 0, "lessons": 0, "wordings": [], "e.g.": missing.id},
        )
        row["errors"] += 1
        if missing.wording not in row["wordings"]:
            row["wordings"].append(missing.wording)
    for lesson in archive.lessons.values():
        if lesson.skill in rows:
            rows[lesson.skill]["lessons"] += 1
    ordered = sorted(rows.values(), key=lambda row: (-row["errors"], row["skill"]))
    return [{**row, "wordings": "; ".join(row["wordings"])} for row in ordered]


def list_lessons(archive: Archive) -> list[dict[str, Any]]:
    """One row per training sample."""
    return [
        {
            "id": n.id,
            "iteration": n.iteration,
            "route": n.route,
            "skill": n.skill,
            "for errors": len(n.parents),
            "question": n.problem.question,
        }
        for n in archive.lessons.values()
    ]


def list_decisions(archive: Archive) -> list[dict[str, Any]]:
    """One row per tool call of the deciding model."""
    return [
        {
            "id": d.id,
            "iteration": d.iteration,
            "batch": d.batch,
            "tool": d.tool,
            "reason": d.reason,
            "outcome": d.outcome,
            "gain": "" if d.gain is None else f"{100 * d.gain:+.1f}",
        }
        for d in archive.decisions.values()
    ]


def rows_of(archive: Archive, what: str) -> list[dict[str, Any]]:
    """The rows of one of `LISTS`."""
    lists = {
        "errors": list_errors,
        "skills": list_skills,
        "lessons": list_lessons,
        "decisions": list_decisions,
    }
    return lists[what](archive)


def tree_lines(node: Node, archive: Archive, *, depth: int = 0) -> Iterator[str]:
    """The record and its parents, each deeper one indented further."""
    indent = "   " * depth
    mark = "" if depth == 0 else "<- "
    yield f"{indent}{mark}{node.kind} {node.id}"
    lines = ["(not in this run)"] if node.record is None else describe(node.record, archive)
    yield from (f"{indent}{' ' * len(mark)}  {line}" for line in lines)
    for parent in node.parents[:PARENTS_SHOWN]:
        yield from tree_lines(parent, archive, depth=depth + 1)
    if len(node.parents) > PARENTS_SHOWN:
        yield f"{indent}   <- and {len(node.parents) - PARENTS_SHOWN} more (all with --json)"


def describe(record: Record, archive: Archive) -> list[str]:
    """A record in a few lines for a person."""
    match record:
        case Lesson():
            return [
                f"iteration {record.iteration}, route {record.route}, for {len(record.parents)} errors",
                f"skill: {record.skill}",
            ]
        case Candidate():
            verdict = "accepted" if record.accepted else "rejected"
            made = [f"{key}: {value}" for key, value in record.provenance.items()]
            return [
                f"route {record.route}, score {record.score:.3f}, {verdict}: {record.reason}",
                *_ask(record.problem),
                *made,
            ]
        case MissingSkill():
            return [
                f"iteration {record.iteration}: {record.skill}",
                f'in the teacher\'s words: "{record.wording}"',
            ]
        case Mistake():
            return _describe_mistake(record, archive)
        case Attempt():
            return [
                f"answered {record.answer or 'nothing readable'}, {'right' if record.correct else 'wrong'}",
                f"in full: {record.response}",
            ]
        case Problem():
            return _ask(record)
        case Checkpoint():
            loss = "" if record.loss is None else f", training loss {record.loss:.4f}"
            return [f"{record.folder}, {record.lessons} lessons{loss}"]
        case Scorecard():
            return [f"{record.split}: {record.correct} of {record.total} right, {spread(record.accuracy)}"]
        case Decision():
            gain = (
                "not measured yet" if record.gain is None else f"{100 * record.gain:+.1f} points on the gate"
            )
            return [
                f"iteration {record.iteration}, batch {record.batch}, step {record.step}",
                f"{record.tool}({record.arguments})",
                f"because: {record.reason}",
                f"outcome: {record.outcome}; gain: {gain}",
                f"cost: {record.cost.teacher_calls} teacher calls, {record.cost.samples} samples",
            ]
        case _:
            return [record.model_dump_json()]


def _describe_mistake(mistake: Mistake, archive: Archive) -> list[str]:
    attempt = archive.attempts.get(mistake.attempt)
    curve = " ".join("." if gap is None else f"{gap:+.2f}" for gap in mistake.gaps)
    lines = [
        f"{mistake.status} by {mistake.method}, {mistake.probes} prefixes asked",
        f"p(wrong) - p(gold) after 0, 1, 2 ... steps: {curve}",
    ]
    for number, step in enumerate(attempt.steps if attempt else ()):
        lines.append(f"{'->' if number == mistake.step else '  '} {number + 1}. {step.strip()}")
    return lines


def _ask(problem: Problem) -> list[str]:
    choices = "  ".join(
        f"({letter}) {choice}" for letter, choice in zip(problem.letters, problem.choices, strict=True)
    )
    pictures = ", ".join(image.path for image in problem.images)
    return [
        line
        for line in (
            problem.question,
            choices,
            f"right: {problem.target}",
            f"picture: {pictures}" if pictures else "",
        )
        if line
    ]
