"""Samples that several batches proposed: taken once, with all parents, whatever the order of the branches."""

from __future__ import annotations

from errata.agent.decide.conversation import BatchOutcome
from errata.agent.loop.assemble import make_lessons, pick_samples, settle_decisions
from errata.tools.records import Candidate, Cost, Decision, Problem, digest


def candidate(name: str, parent: str, *, accepted: bool = True) -> Candidate:
    problem = Problem(id=name, question=f"question {name}", target="a", scoring="exact")
    return Candidate(
        id=digest(name, parent),
        problem=problem,
        route="bm25",
        score=1.0,
        parents=(parent,),
        skill="s",
        accepted=accepted,
        reason="r",
    )


def outcome(batch: str, names: str, *, budget: int, rejected: str = "") -> BatchOutcome:
    found = [candidate(n, batch) for n in names] + [candidate(n, batch, accepted=False) for n in rejected]
    decision = Decision(
        id=f"d{batch}",
        iteration=1,
        batch=batch,
        step=2,
        tool="retrieve_samples",
        arguments={},
        reason="r",
        cost=Cost(teacher_calls=7, samples=budget),
        outcome="o",
    )
    return BatchOutcome(
        mistakes=(), skills=(), fetched={2: tuple(found)}, budgets={2: budget}, decisions=(decision,)
    )


def test_batches_choose_in_turn_and_reserves_fill_what_was_taken() -> None:
    pick = pick_samples(
        [outcome("x", "abcdef", budget=3), outcome("y", "abcdef", budget=3)], barred=frozenset()
    )
    assert [c.problem.id for c in pick.accepted] == list("abcdef")
    assert pick.taken == {(0, 2): 3, (1, 2): 3}
    parents = {c.problem.id: c.parents for c in pick.accepted}
    assert parents["a"] == ("x", "y")
    assert parents["b"] == ("y", "x")


def test_budget_is_never_passed_and_what_is_missing_is_freed() -> None:
    outcomes = [outcome("x", "abc", budget=3), outcome("y", "abc", budget=3)]
    pick = pick_samples(outcomes, barred=frozenset("c"))
    assert sorted(c.problem.id for c in pick.accepted) == ["a", "b"]
    settled = settle_decisions(outcomes, taken=pick.taken)
    assert [d.cost.samples for d in settled] == [1, 1]
    assert [d.cost.teacher_calls for d in settled] == [7, 7]


def test_rejected_candidates_are_kept_and_give_no_lesson() -> None:
    pick = pick_samples([outcome("x", "a", budget=5, rejected="z")], barred=frozenset())
    assert [c.problem.id for c in pick.rejected] == ["z"]
    lessons = make_lessons([*pick.accepted, *pick.rejected], iteration=1)
    assert [lesson.problem.id for lesson in lessons] == ["a"]
    assert lessons[0].parents == ("x",)
