import pytest

from errata.tools.errors import OperatorError
from errata.tools.evaluate.compare import wilson
from errata.tools.locate.metrics import is_located, location_lead, location_scores
from errata.tools.records import Mistake


def mistakes(*steps: int, method: str = "answer_switch") -> list[Mistake]:
    return [
        Mistake(
            id=f"m{i}",
            attempt=f"a{i}",
            problem=f"p{i}",
            iteration=0,
            method=method,
            status="found" if step >= 0 else "none",
            step=step,
            gaps=(-0.5, None, 0.5, 0.5),
            probes=3,
        )
        for i, step in enumerate(steps)
    ]


@pytest.mark.parametrize(
    ("step", "gold", "reach", "hit"),
    [
        (5, 5, 0, True),
        (5, 4, 0, False),
        (5, 2, 3, True),
        (5, 2, 2, False),
        (5, 3, 2, True),
        (5, 6, 3, False),
        (1, -1, 3, False),
        (-1, -1, 0, True),
        (-1, 0, 3, False),
    ],
)
def test_reach(step: int, gold: int, reach: int, hit: bool) -> None:
    assert is_located(step, gold=gold, reach=reach) is hit


def test_scores() -> None:
    gold = {"a0": 5, "a1": 2, "a2": 3, "a3": 6, "a4": -1}
    scores = location_scores([*mistakes(5, 5, 5, 5, -1, 9)], gold=gold)
    assert scores.total == 5
    assert scores.accuracy == wilson(2, 5)
    assert scores.recall3_steps == wilson(3, 5)
    assert scores.recall3_paper == wilson(4, 5)
    assert (scores.probes, scores.prefixes, scores.saved) == (15, 20, 0.25)
    assert scores.statuses == {"found": 4, "none": 1}


def test_a_method_that_asks_nothing_saves_nothing() -> None:
    silent = [m.model_copy(update={"gaps": (), "probes": 0}) for m in mistakes(1)]
    assert location_scores(silent, gold={"a0": 1}).saved is None


def test_lead_is_paired() -> None:
    gold = {f"a{i}": 1 for i in range(40)}
    lead = location_lead(
        mistakes(*[1] * 40), mistakes(*[1] * 20, *[0] * 20, method="random_step"), gold=gold, seed=1
    )
    assert lead.value == 0.5
    assert 0.3 < lead.low < 0.5 < lead.high < 0.7


def test_gold_steps_must_meet_the_mistakes() -> None:
    with pytest.raises(OperatorError, match="gold"):
        location_scores(mistakes(1), gold={"other": 1})
    with pytest.raises(OperatorError, match="a1"):
        location_lead(mistakes(1, 1), mistakes(1), gold={"a0": 1, "a1": 1}, seed=0)
