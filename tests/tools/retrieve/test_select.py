"""Budget to samples: unique, in turn, with all parents."""

from __future__ import annotations

from tools.records import MissingSkill, Problem
from tools.retrieve.lexical import Hit, SkillIndex
from tools.retrieve.rivals import random_samples, uniform_samples
from tools.retrieve.select import HybridIndex, retrieve_samples


def pool_of(skills: dict[str, list[str]]) -> dict[str, Problem]:
    return {
        name: Problem(id=name, question=f"{name}?", target="x", scoring="exact", skills=tuple(found))
        for name, found in skills.items()
    }


def missing(problem: str, wording: str, *, iteration: int = 1) -> MissingSkill:
    return MissingSkill(
        id=f"skill-{problem}",
        mistake=f"mistake-{problem}",
        problem=problem,
        iteration=iteration,
        wording=wording,
        skill=wording,
    )


SKILLS = (
    {f"c{i}": ["count circles"] for i in range(6)} | {f"m{i}": ["mix colours"] for i in range(3)} | {"z": ["other"]}
)
POOL = pool_of(SKILLS)
INDEX = SkillIndex.build(SKILLS)


def test_errors_take_turns_and_share_what_they_find() -> None:
    skills = [missing("e3", "mix colours"), missing("e1", "count circles"), missing("e2", "count circles")]
    found = retrieve_samples(skills, pool=POOL, index=INDEX, budget=5)
    assert [c.problem.id for c in found] == ["c0", "m0", "c1", "m1", "c2"]
    assert [c.parents for c in found[:2]] == [("skill-e1", "skill-e2"), ("skill-e3",)]
    assert found[4].parents == ("skill-e1", "skill-e2")
    assert all(c.accepted and c.route == "bm25" and c.score > 0 for c in found)
    assert found == retrieve_samples(list(reversed(skills)), pool=POOL, index=INDEX, budget=5)
    assert len({c.id for c in found}) == 5


def test_a_budget_counts_unique_samples_and_a_list_may_end() -> None:
    skills = [missing("e1", "count circles"), missing("e2", "mix colours")]
    found = retrieve_samples(skills, pool=POOL, index=INDEX, budget=50)
    assert sorted(c.problem.id for c in found) == sorted(n for n in POOL if n != "z")
    assert retrieve_samples(skills, pool=POOL, index=INDEX, budget=0) == []
    assert retrieve_samples([], pool=POOL, index=INDEX, budget=5, fill=True) == []


def test_taken_foreign_and_forbidden_samples_are_passed_over() -> None:
    pool = {name: p for name, p in POOL.items() if name != "c2"}
    found = retrieve_samples(
        [missing("e1", "count circles")],
        pool=pool,
        index=INDEX,
        budget=2,
        taken={"c0"},
        forbidden={"c1": "overlaps test problem t", "m0": "never met"},
    )
    assert [(c.problem.id, c.accepted) for c in found] == [("c3", True), ("c4", True), ("c1", False)]
    assert found[2].reason == "overlaps test problem t"


def test_fill_is_seeded_marked_and_takes_only_what_is_left() -> None:
    skills = [missing("e1", "mix colours")]
    found = retrieve_samples(skills, pool=POOL, index=INDEX, budget=6, taken={"m1"}, seed=3, fill=True)
    assert [c.route for c in found] == ["bm25"] * 2 + ["fill"] * 4
    assert len({c.problem.id for c in found} - {"m1"}) == 6
    assert found[3].parents == ("iteration-1",)
    assert found == retrieve_samples(skills, pool=POOL, index=INDEX, budget=6, taken={"m1"}, seed=3, fill=True)
    other = retrieve_samples(skills, pool=POOL, index=INDEX, budget=6, taken={"m1"}, seed=4, fill=True)
    assert found[2:] != other[2:]


def test_a_list_is_read_deeper_when_its_head_is_taken() -> None:
    many = {f"s{i:04}": ["count"] for i in range(900)}
    found = retrieve_samples(
        [missing("e1", "count")],
        pool=pool_of(many),
        index=SkillIndex.build(many),
        budget=2,
        taken={f"s{i:04}" for i in range(800)},
    )
    assert [c.problem.id for c in found] == ["s0800", "s0801"]


def test_the_canonical_skill_can_be_the_query() -> None:
    skill = missing("e1", "tally").model_copy(update={"skill": "count circles"})
    assert retrieve_samples([skill], pool=POOL, index=INDEX, budget=1) == []
    (found,) = retrieve_samples([skill], pool=POOL, index=INDEX, budget=1, query="skill")
    assert found.skill == "count circles"


class Fixed:
    """An index that always gives one list."""

    route = "dense"

    def __init__(self, *names: str) -> None:
        self.hits = [Hit(name, 1.0 / rank) for rank, name in enumerate(names, start=1)]

    def search(self, query: str, k: int) -> list[Hit]:
        assert query
        return self.hits[:k]


def test_hybrid_adds_reciprocal_ranks() -> None:
    hybrid = HybridIndex(Fixed("a", "b", "c"), Fixed("c", "b", "d"))  # type: ignore[arg-type]
    hits = hybrid.search("x", 3)
    assert hits == [
        Hit("c", round(1 / 63 + 1 / 61, 12)),
        Hit("b", round(2 / 62, 12)),
        Hit("a", round(1 / 61, 12)),
    ]
    assert hybrid.route == "hybrid"


def test_uniform_gives_each_error_its_share_of_unique_samples() -> None:
    skills = [missing("e1", "count circles"), missing("e2", "count circles"), missing("e3", "mix colours")]
    found = uniform_samples(skills, pool=POOL, index=INDEX, budget=7, taken={"c0"})
    assert [c.problem.id for c in found] == ["c1", "c2", "c3", "c4", "c5", "m0", "m1"]
    assert found[0].parents == ("skill-e1", "skill-e2")
    assert found[3].parents == ("skill-e2",)
    assert uniform_samples([], pool=POOL, index=INDEX, budget=7) == []


def test_random_is_seeded_unique_and_leaves_out_what_was_taken() -> None:
    found = random_samples(POOL, budget=4, taken={"z"}, seed=1, iteration=2)
    assert len({c.problem.id for c in found}) == 4
    assert {c.route for c in found} == {"random"}
    assert found == random_samples(POOL, budget=4, taken={"z"}, seed=1, iteration=2)
    assert found != random_samples(POOL, budget=4, taken={"z"}, seed=2, iteration=2)
    everything = random_samples(POOL, budget=99, taken={"z"}, seed=1, iteration=2)
    assert {c.problem.id for c in everything} == POOL.keys() - {"z"}
