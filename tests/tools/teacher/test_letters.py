"""Reading letters: surface forms, position, what is missing from the list."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from errata.tools.teacher.endpoint import ChatReply, TokenChoice
from errata.tools.teacher.letters import find_answer_position, letter_of, read_options


def tops(*positions):
    return tuple(tuple(TokenChoice(token=t, logprob=math.log(p)) for t, p in position) for position in positions)


def reply(*positions):
    return ChatReply(text="", top=tops(*positions))


def plain(*tokens):
    return [[(token, 0.9)] for token in tokens]


@pytest.mark.parametrize("token", ["A", " A", "(A", "a", "A.", "▁A", "ĠA", "**A", "A)", "\n A"])
def test_surface_forms(token):
    assert letter_of(token, "ABC") == "A"


@pytest.mark.parametrize("token", ["An", "D", "", " ", "AB", "answer"])
def test_other_tokens(token):
    assert letter_of(token, "ABC") is None


@pytest.mark.parametrize(
    ("tokens", "place"),
    [
        (["The", " answer", " is", " B"], 3),
        (["B"], 0),
        (["(", "B", ")"], 1),
        (["**", "Answer", ":**", " B"], 3),
        (["Option", " B"], 1),
        (["The", " answer", " is", " a", " magnet"], None),
        (["The", " answer", " is", " a"], 3),
        (["A", " magnet"], None),
        (["A", " Magnet"], 0),
        (["I", " think", " so"], None),
        ([], None),
    ],
)
def test_where_the_answer_stands(tokens, place):
    assert find_answer_position(tops(*plain(*tokens)), "ABC") == place


def test_forms_are_summed_and_the_raw_mass_is_kept():
    read = read_options(reply(*plain("is"), [(" A", 0.5), ("A", 0.1), (" a", 0.1), (" B", 0.1), (" the", 0.2)]), "AB")
    assert read.probabilities == pytest.approx((0.875, 0.125))
    assert read.mass == pytest.approx(0.8)
    assert read.low == read.high == ()


def test_a_missing_letter_has_an_upper_end_and_is_no_silent_zero():
    read = read_options(reply([("A", 0.9), (" x", 0.04)]), "ABC")
    assert read.probabilities == pytest.approx((1.0, 0.0, 0.0))
    assert read.high[1] == read.high[2] == pytest.approx(0.04 / 0.94)
    assert read.high[0] == pytest.approx(1.0)
    assert read.low == pytest.approx((0.9 / 0.98, 0.0, 0.0))
    close = read_options(reply([("A", 0.9), (" x", 0.09)]), "AB")
    assert close.high[1] == pytest.approx(0.01 / 0.91), "no more than what the returned ones leave"


def test_a_reply_without_an_answer_has_no_mass():
    read = read_options(reply(*plain("I", " cannot", " say")), "ABC")
    assert read.mass == 0
    assert read.probabilities == pytest.approx((1 / 3,) * 3)


@given(st.lists(st.floats(1e-6, 1.0), min_size=2, max_size=8))
def test_they_add_up_and_agree_with_what_was_sent(weights):
    total = sum(weights)
    shares = [w / total for w in weights]
    letters = [chr(ord("A") + i) for i in range(len(shares))]
    listed = sorted(zip(letters, shares, strict=True), key=lambda pair: -pair[1])
    read = read_options(reply([(f" {name}", p) for name, p in listed]), letters)
    assert sum(read.probabilities) == pytest.approx(1)
    assert read.probabilities == pytest.approx(tuple(shares))
