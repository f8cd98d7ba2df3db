"""Lazy tagging: the teacher is asked about what may fit, once, and what it says decides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from errata.tools.records import MissingSkill, Problem
from errata.tools.retrieve.lazy import LazyPool, own_words
from errata.tools.retrieve.lexical import SkillIndex
from errata.tools.retrieve.select import retrieve_samples

POOL = {
    p.id: p
    for p in [
        *(
            Problem(id=f"m{i}", question=f"Which pole of magnet {i} is this?", target="x", scoring="exact")
            for i in range(6)
        ),
        *(Problem(id=f"r{i}", question=f"Which river is number {i}?", target="x", scoring="exact") for i in range(6)),
        Problem(id="odd", question="Do these two repel?", target="x", scoring="exact"),
    ]
}
REQUIRED = {name: ("find the poles of a magnet",) if name[0] == "m" else ("read a map",) for name in POOL}


class LabelTagger:
    """Knows what each sample requires, and was asked about which."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, problems: Sequence[Problem]) -> Mapping[str, Sequence[str]]:
        self.asked += [problem.id for problem in problems]
        return {problem.id: REQUIRED[problem.id] for problem in problems}


def missing(wording: str, problem: str) -> MissingSkill:
    return MissingSkill(id=f"s-{problem}", mistake="m", problem=problem, iteration=1, wording=wording, skill=wording)


def lazy_pool(tag: LabelTagger, *, candidates: int) -> LazyPool:
    words = SkillIndex.build({name: (own_words(problem),) for name, problem in POOL.items()})
    return LazyPool(POOL, words=words, tag=tag, candidates=candidates)


WRONG = {"d": Problem(id="d", question="Which pole of the magnet is on the left?", target="x", scoring="exact")}


def test_only_candidates_are_tagged_and_their_skills_rank_them() -> None:
    tag = LabelTagger()
    skills = [missing("find the poles of a magnet", "d")]
    index = lazy_pool(tag, candidates=8).index_for(skills, problems=WRONG, taken=frozenset())
    assert len(tag.asked) == 8  # rivers share "Which" and "is" with the question that went wrong
    assert {name for name in tag.asked if name[0] == "m"} == {f"m{i}" for i in range(6)}
    found = retrieve_samples(skills, pool=POOL, index=index, budget=5)
    assert [c.problem.id for c in found] == ["m0", "m1", "m2", "m3", "m4"]
    assert {c.route for c in found} == {"bm25"}


def test_the_words_of_the_question_bring_candidates_that_the_skill_alone_does_not() -> None:
    tag = LabelTagger()
    lazy_pool(tag, candidates=3).index_for([missing("physics", "d")], problems=WRONG, taken=frozenset())
    assert tag.asked == ["m0", "m1", "m2"]


def test_what_was_trained_on_makes_room_for_others() -> None:
    tag = LabelTagger()
    lazy_pool(tag, candidates=3).index_for([missing("physics", "d")], problems=WRONG, taken={"m0", "m2"})
    assert tag.asked == ["m1", "m3", "m4"]


def test_errors_of_one_call_share_their_candidates_in_one_order() -> None:
    wrong = {**WRONG, "e": Problem(id="e", question="Which river is this?", target="x", scoring="exact")}
    skills = [missing("find the poles of a magnet", "d"), missing("read a map", "e")]
    first, second = LabelTagger(), LabelTagger()
    lazy_pool(first, candidates=2).index_for(skills, problems=wrong, taken=frozenset())
    lazy_pool(second, candidates=2).index_for(skills[::-1], problems=wrong, taken=frozenset())
    assert first.asked == second.asked == ["m0", "m1", "r0", "r1"]


def test_nothing_near_is_nothing_found() -> None:
    tag = LabelTagger()
    wrong = {"d": Problem(id="d", question="Quidquid agis?", target="x", scoring="exact")}
    index = lazy_pool(tag, candidates=5).index_for([missing("latin", "d")], problems=wrong, taken=frozenset())
    assert tag.asked == []
    assert index.search("latin", 5) == []
