"""What earlier iterations tried and what it gained, read from their records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from errata.agent.run.folder import RunFolder
from errata.tools.records import Decision, MissingSkill


def _skills(folder: RunFolder, before: int) -> list[MissingSkill]:
    return [
        skill
        for iteration in range(1, before)
        for skill in folder.read_records(f"skills/{iteration}.jsonl", MissingSkill)
    ]


def served_skills(folder: RunFolder, *, before: int) -> dict[str, tuple[str, ...]]:
    """Skills already served, by problem, wording and canonical name (methods, section 3)."""
    served: dict[str, dict[str, None]] = {}
    for skill in _skills(folder, before):
        served.setdefault(skill.problem, {}).update({skill.wording: None, skill.skill: None})
    return {problem: tuple(names) for problem, names in served.items()}


def known_skills(folder: RunFolder, *, before: int, pool: Sequence[str]) -> list[str]:
    """Canonical names that new wordings are matched to: those in use first, then the pool's."""
    return list(dict.fromkeys([*(skill.skill for skill in _skills(folder, before)), *pool]))


def read_history(folder: RunFolder, *, before: int) -> list[Mapping[str, Any]]:
    """One entry per iteration and skill: samples fetched and made, and the gain of that iteration on the gate.

    The gain is that of the whole iteration, in fractions; None when nothing was trained.
    """
    entries: dict[tuple[int, str], dict[str, Any]] = {}
    for decision in folder.read_records("decisions.jsonl", Decision):
        skill = decision.arguments.get("skill")
        if skill is None or decision.iteration >= before or not decision.cost.samples:
            continue
        empty = {
            "iteration": decision.iteration,
            "skill": skill,
            "fetched": 0,
            "made": 0,
            "gain": decision.gain,
        }
        entry = entries.setdefault((decision.iteration, skill), empty)
        entry["fetched" if decision.tool == "retrieve_samples" else "made"] += decision.cost.samples
    return [entries[key] for key in sorted(entries)]
