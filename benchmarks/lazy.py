"""What lazy tagging misses and saves: required skills asked of candidates alone, against a pool that is tagged whole.

Needs ERRATA_DATA. The supporting dataset is tagged by its own labels, which stand in for a teacher's replies: lazy or
not, each sample gets the same skills. The missing skills are those of 100 ScienceQA validation questions, which are
left out of the pool. `words alone` ranks candidates by their own words and asks nobody. What a pool of 1.5 million
would save is not measured here: requests grow with errors and not with the pool.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.retrieval_real import K, Question, draw_questions, read_rows, spread
from benchmarks.tables import parse_arguments, write_table
from errata.tools.records import MissingSkill, Problem
from errata.tools.retrieve.lazy import LazyPool, own_words
from errata.tools.retrieve.lexical import SearchIndex, SkillIndex

CANDIDATES = (50, 100, 200, 500, 1000)


def make_problem(row: Mapping[str, Any]) -> Problem:
    """Question and choices are all that is read here."""
    choices = tuple(map(str, row.get("choices") or ()))
    return Problem(id=row["id"], question=row["question"] or "", choices=choices, target="", scoring="exact")


class LabelTagger:
    """Repeats labels, and remembers which samples it was asked about."""

    def __init__(self, labels: Mapping[str, Sequence[str]]) -> None:
        self.labels, self.asked = labels, set[str]()

    def __call__(self, problems: Sequence[Problem]) -> Mapping[str, Sequence[str]]:
        """Skills by id."""
        self.asked |= {problem.id for problem in problems}
        return {problem.id: self.labels[problem.id] for problem in problems}


def missing(question: Question) -> MissingSkill:
    """The question's own skill, as what the student lacks."""
    skill = question.skill
    return MissingSkill(id=question.id, mistake="", problem=question.id, iteration=1, wording=skill, skill=skill)


def precision(
    index: SearchIndex, query: str, question: Question, known: Mapping[str, Mapping[str, Any]]
) -> tuple[float, float]:
    """Share of the first K that carry the skill, and the topic."""
    rows = [known[hit.sample_id] for hit in index.search(query, K)]
    return sum(question.skill in row["skills"] for row in rows) / K, sum(
        row["topic"] == question.topic for row in rows
    ) / K


def main() -> None:
    """Whole, lazily at several depths, and by words alone."""
    arguments = parse_arguments(__doc__ or "")
    if "ERRATA_DATA" not in os.environ:
        raise SystemExit("set ERRATA_DATA to the folder that holds support_corpus/")
    rows = read_rows(Path(os.environ["ERRATA_DATA"]))
    questions = draw_questions(rows, 20 if arguments.quick else 100)
    wrong = {row["id"]: make_problem(row) for row in rows if row["id"] in {q.id for q in questions}}
    known = {row["id"]: row for row in rows if row["id"] not in wrong}
    pool = {name: make_problem(row) for name, row in known.items()}
    labels = {name: tuple(row["skills"]) for name, row in known.items()}
    words, whole = SkillIndex.build({n: (own_words(p),) for n, p in pool.items()}), SkillIndex.build(labels)
    table: list[list[object]] = []
    result: dict[str, Any] = {"questions": len(questions), "samples": len(pool)}

    def note(name: str, asked: int, found: Sequence[tuple[float, float]]) -> None:
        by_skill, by_topic = (spread(values) for values in zip(*found, strict=True))
        table.append([name, asked, asked / len(pool), *by_skill, *by_topic])
        result[name] = {"asked": asked, "skill": round(by_skill[0], 4), "topic": round(by_topic[0], 4)}

    note("tagged whole", len(pool), [precision(whole, q.skill, q, known) for q in questions])
    silent = {name: problem.model_copy(update={"question": "", "choices": ()}) for name, problem in wrong.items()}
    ways = [(f"{n} candidates an error", n, wrong) for n in (CANDIDATES[:2] if arguments.quick else CANDIDATES)]
    ways.append(("200 candidates by the skill's wording alone", 200, silent))
    for name, candidates, shown in ways:
        tag = LabelTagger(labels)
        lazy = LazyPool(pool, words=words, tag=tag, candidates=candidates)
        found = []
        for question in questions:
            index = lazy.index_for([missing(question)], problems=shown, taken=frozenset())
            found.append(precision(index, question.skill, question, known))
        note(name, len(tag.asked), found)
    note("words alone", 0, [precision(words, f"{q.skill} {own_words(wrong[q.id])}", q, known) for q in questions])
    ends = ("", " low", " high")
    write_table(
        "lazy",
        title=f"Precision of the first {K} of {len(pool)} samples for {len(questions)} errors, tagged whole or lazily",
        columns=["way", "samples tagged", "share", *(f"same {by}{end}" for by in ("skill", "topic") for end in ends)],
        rows=table,
        result=result,
        quick=arguments.quick,
        notes=[
            "Low and high: 95 % bootstrap over questions. The labels of the dataset stand in for the teacher.",
            "Candidates are found by the wording of the missing skill and the words of the question that went wrong.",
        ],
    )


if __name__ == "__main__":
    main()
