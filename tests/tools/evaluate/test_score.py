import pytest
from hypothesis import given
from hypothesis import strategies as st

from errata.tools.errors import OperatorError
from errata.tools.evaluate.score import (
    anls,
    exact_match,
    make_attempts,
    make_scorecard,
    normalise,
    relaxed_number,
    score_answer,
    vqa_soft,
)
from errata.tools.records import Problem, Scoring, digest


def choice(name: str, *, target: str = "B", skills: tuple[str, ...] = ()) -> Problem:
    return Problem(id=name, question="?", choices=("red", "blue"), target=target, skills=skills)


def free(target: str, *, scoring: Scoring, answers: list[str] | None = None) -> Problem:
    metadata = {"answers": answers} if answers else {}
    return Problem(id="f", question="?", target=target, scoring=scoring, metadata=metadata)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The  Red-cell.", "red cell"),
        ("it's 3.5, ok", "its 3.5 ok"),
        ("1,000 cats", "1000 cats"),
        ("Two dogs", "2 dogs"),
        ("-5", "-5"),
        ("a", ""),
    ],
)
def test_normalise(text: str, expected: str) -> None:
    assert normalise(text) == expected


@given(st.text(max_size=40))
def test_normalising_twice_changes_nothing_that_matters(text: str) -> None:
    assert exact_match(text, gold=text) == 1.0


@pytest.mark.parametrize(
    ("answer", "gold", "score"),
    [
        ("105", "100", 1.0),
        ("95", "100", 1.0),
        ("105.1", "100", 0.0),
        ("-100", "100", 0.0),
        ("0", "0", 1.0),
        ("0.01", "0", 0.0),
        ("45%", "45", 1.0),
        ("$1,020", "1000", 1.0),
        ("three", "3", 1.0),
        ("red", "Red", 1.0),
        ("red", "100", 0.0),
    ],
)
def test_relaxed_number(answer: str, gold: str, score: float) -> None:
    assert relaxed_number(answer, gold=gold) == score


@pytest.mark.parametrize(("agreeing", "score"), [(0, 0.0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1.0), (10, 1.0)])
def test_vqa_soft_has_the_published_values(agreeing: int, score: float) -> None:
    golds = ["red"] * agreeing + [f"other{i}" for i in range(10 - agreeing)]
    assert vqa_soft("Red.", golds=golds) == pytest.approx(score)


@pytest.mark.parametrize(
    ("answer", "gold", "score"),
    [
        ("Hello", "hello", 1.0),
        ("hallo", "hello", 0.8),
        ("ab", "cd", 0.0),
        ("ab", "ac", 0.0),
        ("", "abc", 0.0),
    ],
)
def test_anls(answer: str, gold: str, score: float) -> None:
    assert anls(answer, gold=gold) == pytest.approx(score)


def test_scoring_is_chosen_by_the_problem() -> None:
    assert score_answer("B", choice("p")) == 1.0
    assert score_answer("A", choice("p")) == 0.0
    assert score_answer(None, choice("p")) == 0.0
    assert score_answer("The red", free("red", scoring="exact")) == 1.0
    assert score_answer("103", free("100", scoring="relaxed_number")) == 1.0
    assert score_answer("103", free("100", scoring="exact")) == 0.0
    assert score_answer("hallo", free("x", scoring="anls", answers=["y", "hello"])) == pytest.approx(0.8)
    assert score_answer("red", free("blue", scoring="vqa_soft", answers=["red"] * 2 + ["blue"] * 8)) == 0.6
    assert score_answer("blue", free("blue", scoring="vqa_soft")) == 1.0


def test_attempts_are_parsed_cut_split_and_scored() -> None:
    responses = ["Look here. It is blue. The answer is B. Bye.", "It is of glass.", "The answer is A."]
    found = make_attempts([choice("p"), choice("q"), choice("r")], responses, checkpoint="base")
    assert [a.id for a in found] == [digest("attempt", "base", name) for name in "pqr"]
    assert found[0].steps == ("Look here. ", "It is blue. ")
    assert (found[0].answer, found[0].correct, found[0].score, found[0].format_error) == (
        "B",
        True,
        1.0,
        False,
    )
    assert (found[1].steps, found[1].answer, found[1].format_error) == (("It is of glass.",), None, True)
    assert (found[2].steps, found[2].correct) == ((), False)
    assert [a.response for a in found] == responses


def test_free_form_attempts() -> None:
    (found,) = make_attempts(
        [free("red", scoring="exact")], ["It is a cell. The answer is the red."], checkpoint="base"
    )
    assert (found.answer, found.correct, found.steps) == ("the red", True, ("It is a cell. ",))


def test_as_many_responses_as_problems() -> None:
    with pytest.raises(ValueError, match="zip"):
        make_attempts([choice("p")], [], checkpoint="base")


def test_scorecard() -> None:
    problems = [choice("p", skills=("count", "x")), choice("q", skills=("count",)), choice("r")]
    attempts = make_attempts(problems, ["The answer is B.", "Hm.", "The answer is A."], checkpoint="base")
    card = make_scorecard(problems, attempts, checkpoint="base", split="gate", seed=0)
    assert (card.correct, card.total, card.format_errors) == (1, 3, 1)
    assert card.accuracy.value == pytest.approx(1 / 3)
    assert [(s.skill, s.correct, s.total) for s in card.by_skill] == [("(no skill)", 0, 1), ("count", 1, 2)]
    assert card == make_scorecard(problems, attempts[::-1], checkpoint="base", split="gate", seed=9)


def test_soft_scores_are_averaged_with_a_bootstrap_interval() -> None:
    problems = [
        free("red", scoring="vqa_soft", answers=["red"] * 2 + ["blue"] * 8).model_copy(update={"id": f"f{i}"})
        for i in range(20)
    ]
    responses = ["The answer is red."] * 10 + ["The answer is blue."] * 10
    attempts = make_attempts(problems, responses, checkpoint="base")
    card = make_scorecard(problems, attempts, checkpoint="base", split="gate", seed=0)
    assert card.accuracy.value == pytest.approx(0.8)
    assert 0.6 < card.accuracy.low < 0.8 < card.accuracy.high < 1.0


def test_a_scorecard_needs_problems_and_their_attempts() -> None:
    with pytest.raises(OperatorError, match="no problems"):
        make_scorecard([], [], checkpoint="base", split="gate", seed=0)
    with pytest.raises(OperatorError, match="p"):
        make_scorecard([choice("p")], [], checkpoint="base", split="gate", seed=0)
