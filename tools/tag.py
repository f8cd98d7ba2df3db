"""Skills: the one that a mistake shows to be missing, and those that a sample needs (P1 3.4, 3.5; methods, 3)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, cast

from errata.tools.errors import BudgetSpent
from errata.tools.records import Attempt, MissingSkill, Mistake, Problem, digest
from errata.tools.skills.names import canonical_names
from errata.tools.skills.options import SkillSource
from errata.tools.skills.store import SkillStore, key_number
from errata.tools.teacher.protocol import ComparesSkills, MissingSkillRequest, RequiredSkillsRequest, Teacher


class RequiredSkills(NamedTuple):
    """Skills by problem id as they were worded, how many problems the teacher was asked about, how many were in the
    store, and the canonical wording of each.
    """

    by_problem: dict[str, tuple[str, ...]]
    calls: int
    reused: int
    canonical: dict[str, str]


def tag_missing_skills(
    mistakes: Sequence[Mistake],
    *,
    attempts: Mapping[str, Attempt],
    problems: Mapping[str, Problem],
    teacher: Teacher,
    iteration: int,
    served: Mapping[str, Sequence[str]],
    known_skills: Sequence[str],
    most_checks: int | None = None,
) -> list[MissingSkill]:
    """One missing skill per mistake, in order; none where the teacher has nothing new to say.

    `attempts` by attempt id, `problems` and `served` (wordings and canonical skills given to that error
    before) by problem id. A mistake without a step is tagged from its whole rationale. Wordings join
    `known_skills`, or each other, where they mean the same: by their stems, and by the word of a teacher
    that can compare skills, which is asked about at most `most_checks` pairs. Raises ValueError for two
    mistakes of one problem, and for a test problem.
    """
    repeated = [name for name, n in Counter(m.problem for m in mistakes).items() if n > 1]
    if repeated:
        raise ValueError(f"(problem, iteration) must be unique; more than one mistake for {repeated}")
    requests = [
        MissingSkillRequest(
            problem=_not_test(problems[mistake.problem]),
            steps=attempts[mistake.attempt].steps,
            step=mistake.step,
            served=tuple(served.get(mistake.problem, ())),
        )
        for mistake in mistakes
    ]
    replies = teacher.missing_skill(requests) if requests else []
    wordings = [
        next((s.strip() for s in reply.skills if s.strip() and s not in request.served), "")
        for request, reply in zip(requests, replies, strict=True)
    ]
    names = canonical_names([w for w in wordings if w], known=known_skills)
    if "same_skill" in teacher.operations:
        from errata.tools.skills.merge import merge_names

        names = merge_names(names, known=known_skills, teacher=cast(ComparesSkills, teacher), most=most_checks)
    return [
        MissingSkill(
            id=digest("missing skill", mistake.id, iteration),
            mistake=mistake.id,
            problem=mistake.problem,
            iteration=iteration,
            wording=wording,
            skill=names[wording],
        )
        for mistake, wording in zip(mistakes, wordings, strict=True)
        if wording
    ]


def tag_required_skills(
    problems: Iterable[Problem],
    *,
    teacher: Teacher,
    store: Path | None = None,
    batch: int = 256,
    source: SkillSource = "teacher",
    most: int | None = None,
) -> RequiredSkills:
    """The skills that each problem needs, in the words of the source: the teacher, the dataset's own annotations, or
    both (annotations first, the teacher's where they add something).

    Every batch is committed to `store` (a folder, see tools/skills/store.py) before the next is asked, under a key of
    source and content; what is there is not asked again, so that a pool may be tagged whole, or lazily, candidates
    first. Raises BudgetSpent before anything is asked when the teacher would have to be asked about more than `most`
    problems, and ValueError for a test problem.
    """
    asked = {problem.id: _not_test(problem) for problem in problems}
    keys = required_skill_keys(asked.values(), teacher=teacher, source=source)
    if store is None:
        _check_most(len(asked), most=most, source=source)
        found = dict(_ask_in_batches(list(asked.values()), teacher=teacher, batch=batch, source=source))
        calls = 0 if source == "annotations" else len(asked)
        canonical = canonical_names(skill for skills in found.values() for skill in skills)
        return RequiredSkills(found, calls=calls, reused=0, canonical=canonical)
    with SkillStore(store, writable=True) as opened:
        there = opened.find(list(keys.values()))
        todo = [problem for problem, row in zip(asked.values(), there, strict=True) if row < 0]
        _check_most(len(todo), most=most, source=source)
        for start in range(0, len(todo), batch):
            part = todo[start : start + batch]
            replies = dict(_ask_in_batches(part, teacher=teacher, batch=batch, source=source))
            opened.add([keys[p.id] for p in part], [replies[p.id] for p in part])
        rows = opened.read(opened.find(list(keys.values())))
        texts, ids, ends = opened.texts, rows.ids.tolist(), rows.offsets.tolist()
        by_problem = {p: tuple(texts[i] for i in ids[ends[n] : ends[n + 1]]) for n, p in enumerate(keys)}
        canonical = {texts[i]: texts[opened.canonical[i]] for i in sorted(set(ids))}
    calls = 0 if source == "annotations" else len(todo)
    return RequiredSkills(by_problem, calls=calls, reused=len(keys) - len(todo), canonical=canonical)


def required_skill_keys(problems: Iterable[Problem], *, teacher: Teacher, source: SkillSource) -> dict[str, int]:
    """Problem id -> its key in a store: equal for equal content asked of the same source."""
    name = {"teacher": teacher.name, "annotations": "annotations", "both": f"{teacher.name}+annotations"}[source]
    return {problem.id: key_number(_store_key(problem, name)) for problem in problems}


def _ask_in_batches(
    problems: Sequence[Problem], *, teacher: Teacher, batch: int, source: SkillSource
) -> Iterator[tuple[str, tuple[str, ...]]]:
    for start in range(0, len(problems), batch):
        part = problems[start : start + batch]
        if source == "annotations":
            yield from ((problem.id, problem.skills) for problem in part)
            continue
        replies = teacher.required_skills([RequiredSkillsRequest(problem=problem) for problem in part])
        for problem, reply in zip(part, replies, strict=True):
            labels = problem.skills if source == "both" else ()
            yield problem.id, tuple(dict.fromkeys((*labels, *reply.skills))) if labels else reply.skills


def _check_most(count: int, *, most: int | None, source: SkillSource) -> None:
    if source != "annotations" and most is not None and count > most:
        raise BudgetSpent(f"{count} samples are still to be tagged and {most} teacher calls are left for it")


def _not_test(problem: Problem) -> Problem:
    if problem.split == "test":
        raise ValueError(f"test problem {problem.id} on its way to a teacher")
    return problem


def _store_key(problem: Problem, teacher: str) -> str:
    pictures = [image.sha256 for image in problem.images]
    content = [problem.question, problem.choices, problem.target, problem.rationale, problem.skills]
    return digest("required skills", teacher, problem.id, pictures, content)
