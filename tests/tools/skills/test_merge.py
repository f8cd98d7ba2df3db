"""Names that the teacher calls the same are one skill; what is asked about is near, bounded and in a stable order."""

from collections.abc import Sequence

from errata.tools.skills.merge import NEAREST, find_near, merge_names
from errata.tools.skills.names import skill_stems
from errata.tools.teacher.protocol import SameSkillReply, SameSkillRequest


class PairTeacher:
    """Calls these pairs the same, has no answer about those, and remembers what it was asked."""

    def __init__(self, *same: frozenset[str], silent: frozenset[str] = frozenset()) -> None:
        self.same, self.silent, self.asked = same, silent, list[SameSkillRequest]()

    def same_skill(self, requests: Sequence[SameSkillRequest]) -> list[SameSkillReply]:
        self.asked += requests
        pairs = [frozenset({r.first, r.second}) for r in requests]
        return [SameSkillReply(same=None if pair == self.silent else pair in self.same) for pair in pairs]


NAMES = {w: w for w in ("count the dots", "tally the dots", "name the colour of dots", "spell a word")}


def test_a_new_name_joins_the_known_one_that_the_teacher_calls_the_same() -> None:
    teacher = PairTeacher(frozenset({"tally the dots", "count the dots"}))
    merged = merge_names(NAMES, known=["count the dots"], teacher=teacher)
    assert merged == {**NAMES, "tally the dots": "count the dots"}
    assert all(request.first != "count the dots" for request in teacher.asked), "a known name joins nothing"
    assert not any("spell a word" in (r.first, r.second) for r in teacher.asked), "it shares no word"


def test_new_names_join_each_other_and_what_those_joined() -> None:
    pairs = [{"tally the dots", "count the dots"}, {"tally the dots", "sum all dots"}]
    teacher = PairTeacher(*map(frozenset, pairs))
    names = {"tally the dots": "tally the dots", "please tally": "tally the dots", "sum all dots": "sum all dots"}
    merged = merge_names(names, known=["count the dots"], teacher=teacher)
    assert set(merged.values()) == {"count the dots"}
    assert merge_names({}, known=["count the dots"], teacher=teacher) == {}


def test_without_an_answer_or_beyond_the_bound_names_stay_apart() -> None:
    pair = frozenset({"tally the dots", "count the dots"})
    assert merge_names(NAMES, known=["count the dots"], teacher=PairTeacher(silent=pair)) == NAMES
    teacher = PairTeacher(pair)
    assert merge_names(NAMES, known=["count the dots"], teacher=teacher, most=0) == NAMES
    assert teacher.asked == []


def test_only_the_nearest_are_candidates() -> None:
    among = {name: skill_stems(name) for name in ("dots", *(f"count the dots of figure {i}" for i in range(200)))}
    near = find_near("count the dots", skill_stems("count the dots"), among=among)
    assert len(near) == NEAREST
    assert all(name.startswith("count") for name in near)
    assert find_near("read a clock", skill_stems("read a clock"), among=among) == []
