"""What else can be searched for than diagnosed skills: the paper's ablations (P1 table 5; methods, section 4).

Each gives records that a search takes in place of the missing skills. The other ablations need nothing here:
without mistake identification is the location method `whole_rationale`, without targeting is `random`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from errata.tools.records import Attempt, MissingSkill, Mistake, Problem, digest


def steps_as_skills(mistakes: Sequence[Mistake], *, attempts: Mapping[str, Attempt]) -> list[MissingSkill]:
    """Without skill analysis: the marked step is the query, the whole rationale where none was found.

    `attempts` by attempt id. A mistake whose student said nothing has no query and is left out.
    """
    queries = []
    for mistake in mistakes:
        steps = attempts[mistake.attempt].steps
        text = " ".join((steps[mistake.step] if mistake.step >= 0 else "".join(steps)).split())
        if text:
            queries.append(_query(text, source=mistake.id, problem=mistake.problem, iteration=mistake.iteration))
    return queries


def validation_as_skills(
    problems: Sequence[Problem], *, required: Mapping[str, Sequence[str]], iteration: int
) -> list[MissingSkill]:
    """Without error collection: all skills that a validation question needs are the query, right or wrong.

    `required` by problem id; a question that needs none has no query and is left out.
    """
    return [
        _query(" ".join(required[p.id]), source=p.id, problem=p.id, iteration=iteration)
        for p in problems
        if required.get(p.id)
    ]


def _query(text: str, *, source: str, problem: str, iteration: int) -> MissingSkill:
    return MissingSkill(
        id=digest("query", source, iteration, text),
        mistake=source,
        problem=problem,
        iteration=iteration,
        wording=text,
        skill=text,
    )
