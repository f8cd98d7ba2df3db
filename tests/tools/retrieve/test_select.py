"""Budget to samples: unique, in turn, with all parents."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from errata.tools.records import MissingSkill, Problem
from errata.tools.retrieve.lexical import Hit, SkillIndex
from errata.tools.retrieve.select import HybridIndex, retrieve_samples


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


def test_nothing_at_zero_is_retrieved_and_no_sample_twice() -> None:
    index = Fixed("c1", "c0", "c1", "c2", "c3")
    index.hits[3:] = [Hit("c2", 0.0), Hit("c3", -0.5)]
    found = retrieve_samples([missing("e1", "x")], pool=POOL, index=index, budget=9)  # type: ignore[arg-type]
    assert [(c.problem.id, c.parents) for c in found] == [("c1", ("skill-e1",)), ("c0", ("skill-e1",))]
    filled = retrieve_samples([missing("e1", "x")], pool=POOL, index=index, budget=9, fill=True)  # type: ignore[arg-type]
    assert [c.route for c in filled] == ["dense"] * 2 + ["fill"] * 7


@settings(max_examples=60, deadline=None)
@given(
    lists=st.lists(st.permutations(list(POOL)[:7]), min_size=1, max_size=4),
    cut=st.integers(1, 7),
    budget=st.integers(0, 12),
    taken=st.sets(st.sampled_from(sorted(POOL)), max_size=4),
)
def test_round_robin_by_rank_as_written_down_once_more(
    lists: list[list[str]], cut: int, budget: int, taken: set[str]
) -> None:
    """Against a plain reading of the rule: at rank r every error in order of id names its r-th sample."""
    by_query = {f"q{i}": [n for n in names[:cut]] for i, names in enumerate(lists)}
    wanted = [missing(f"e{i}", f"q{i}") for i in range(len(lists))]
    found = retrieve_samples(wanted, pool=POOL, index=ByQuery(by_query), budget=budget, taken=taken)  # type: ignore[arg-type]
    chosen: dict[str, list[str]] = {}
    free = {query: [n for n in names if n not in taken] for query, names in by_query.items()}
    for rank in range(cut):
        if len(chosen) >= budget:
            break
        for i in range(len(lists)):
            name = dict(enumerate(free[f"q{i}"])).get(rank)
            if name is not None and (name in chosen or len(chosen) < budget):
                chosen.setdefault(name, []).append(f"skill-e{i}")
    assert [(c.problem.id, list(c.parents)) for c in found] == list(chosen.items())


class ByQuery:
    """An index that gives each query its own list."""

    route = "dense"

    def __init__(self, lists: dict[str, list[str]]) -> None:
        self.lists = lists

    def search(self, query: str, k: int) -> list[Hit]:
        return [Hit(name, 1.0 / rank) for rank, name in enumerate(self.lists[query], start=1)][:k]
