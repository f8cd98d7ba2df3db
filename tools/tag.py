"""Skills: the one that a mistake shows to be missing, and those that a sample needs (P1 3.4, 3.5; methods,
3).
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tools.errors import OperatorError
from tools.records import Attempt, MissingSkill, Mistake, Problem, digest
from tools.teacher.protocol import MissingSkillRequest, RequiredSkillsRequest, Teacher


class RequiredSkills(NamedTuple):
    """Skills by problem id, how many problems the teacher was asked about, how many were in the store."""

    by_problem: dict[str, tuple[str, ...]]
    calls: int
    reused: int


def tag_missing_skills(
    mistakes: Sequence[Mistake],
    *,
    attempts: Mapping[str, Attempt],
    problems: Mapping[str, Problem],
    teacher: Teacher,
    iteration: int,
    served: Mapping[str, Sequence[str]],
    known_skills: Sequence[str],
) -> list[MissingSkill]:
    """One missing skill per mistake, in order; none where the teacher has nothing new to say.

    `attempts` by attempt id, `problems` and `served` (wordings and canonical skills given to that error
    before) by problem id. A mistake without a step is tagged from its whole rationale. Wordings join
    `known_skills` where they mean the same. Raises ValueError for two mistakes of one problem, and for a
    test problem.
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
    problems: Iterable[Problem], *, teacher: Teacher, store: Path | None = None, batch: int = 256
) -> RequiredSkills:
    """The skills that each problem needs, in the teacher's words.

    Every batch is appended to `store` (JSONL) before the next is asked, under a key of teacher and content;
    what is there is not asked again, and a last line cut off by a kill is dropped and asked again.
    """
    keys = {problem.id: _store_key(_not_test(problem), teacher.name) for problem in problems}
    asked = {problem.id: problem for problem in problems}
    known = _read_store(store) if store else {}
    todo = [asked[name] for name, key in keys.items() if key not in known]
    for start in range(0, len(todo), batch):
        part = todo[start : start + batch]
        replies = teacher.required_skills([RequiredSkillsRequest(problem=problem) for problem in part])
        found = {keys[p.id]: r.skills for p, r in zip(part, replies, strict=True)}
        known.update(found)
        if store:
            rows = [
                {"key": keys[p.id], "problem": p.id, "teacher": teacher.name, "skills": found[keys[p.id]]} for p in part
            ]
            _append(store, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    by_problem = {name: known[key] for name, key in keys.items()}
    return RequiredSkills(by_problem, calls=len(todo), reused=len(keys) - len(todo))


def _not_test(problem: Problem) -> Problem:
    if problem.split == "test":
        raise ValueError(f"test problem {problem.id} on its way to a teacher")
    return problem


def _store_key(problem: Problem, teacher: str) -> str:
    pictures = [image.sha256 for image in problem.images]
    content = [problem.question, problem.choices, problem.target, problem.rationale, problem.skills]
    return digest("required skills", teacher, problem.id, pictures, content)


def _read_store(store: Path) -> dict[str, tuple[str, ...]]:
    """Cuts off an unfinished last line; raises OperatorError for a broken line before it."""
    if not store.exists():
        return {}
    data = store.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if len(whole) < len(data):
        os.truncate(store, len(whole))
    known: dict[str, tuple[str, ...]] = {}
    for row, line in enumerate(whole.split(b"\n"), start=1):
        if line:
            try:
                entry = json.loads(line)
                known[entry["key"]] = tuple(entry["skills"])
            except (ValueError, KeyError, TypeError) as error:
                remedy = "delete the line; its samples are tagged again"
                raise OperatorError("broken line of stored skills", where=f"{store}:{row}", remedy=remedy) from error
    return known


def _append(store: Path, text: str) -> None:
    store.parent.mkdir(parents=True, exist_ok=True)
    with store.open("a", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


_FILLER = frozenset(
    re.findall(
        r"\w+",
        """a an the of in on at to for and or by with from its their is are be being as this that which what
        ability able skill skills identify identifying recognize recognizing recognise recognising determine
        determining understand understanding knowledge know knowing correctly accurately""",
    )
)
_SPELLING = {"colour": "color", "grey": "gray", "centre": "center", "neighbour": "neighbor"}
_ENDINGS = ("ations", "ation", "ings", "ing", "ies", "es", "ed", "s", "e", "y")
_OPPOSING = frozenset(("not", "no", "non", "without", "un", "in", "dis", "except"))


def canonical_names(wordings: Iterable[str], *, known: Sequence[str] = ()) -> dict[str, str]:
    """wording -> canonical wording, for every one of `wordings`; the order of `wordings` does not matter.

    Conservative, since a wrong merge hides a skill: two wordings are one skill when the stems of their
    content words are the same set, or when one set holds the other and at least four fifths of its words,
    and the words more are no negation. So "left of" and "right of" stay apart at any length. A wording
    joins the first leader that fits; leaders are `known` in the given order, then the more frequent, the
    shorter, the first by alphabet.
    """
    counts = Counter(wordings)
    ranked = sorted(counts, key=lambda w: (-counts[w], len(w), w))
    leaders: list[tuple[str, frozenset[str]]] = []
    exact: dict[frozenset[str], str] = {}
    names: dict[str, str] = {}
    for wording in [*known, *ranked]:
        stems = skill_stems(wording)
        leader = exact.get(stems) or next((name for name, other in leaders if _same_skill(stems, other)), None)
        if leader is None:
            leader = wording
            leaders.append((wording, stems))
        exact.setdefault(stems, leader)
        if wording in counts:
            names.setdefault(wording, leader)
    return names


def skill_stems(wording: str) -> frozenset[str]:
    """Stems of the content words; of all words where nothing else is left."""
    words = re.findall(r"\w+", wording.casefold())
    content = [w for w in words if w not in _FILLER] or words
    return frozenset(_stem(w) for w in content)


def _stem(word: str) -> str:
    for british, american in _SPELLING.items():
        word = word.replace(british, american)
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            stem = word[: -len(ending)]
            return stem[:-1] if len(stem) > 3 and stem[-1] == stem[-2] and stem[-1] not in "lsz" else stem
    return word


def _same_skill(one: frozenset[str], other: frozenset[str]) -> bool:
    small, large = sorted((one, other), key=len)
    return small <= large and len(small) >= 0.8 * len(large) and not (large - small) & _OPPOSING
