"""Letters missing from the top list, read by a forced continuation where the endpoint can."""

import math

import pytest

from errata.tools.errors import OperatorError
from errata.tools.locate.answer_switch import SwitchOptions, ask_gaps
from errata.tools.records import Problem
from errata.tools.teacher.endpoint import ChatReply, TokenChoice
from errata.tools.teacher.letters import begin_with, read_options
from tests.chat_server import ChatServer, say_letter
from tests.tools.teacher.test_chat import open_stack, option_request
from tests.tools.teacher.test_chat_steps import make_attempt

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])
SHARES = [0.5, 0.26, 0.14, 0.1]
ASKED = {"options": ("a", "b", "c", "d"), "prior": ()}


def serve(*, fault):
    """A server whose forced continuations fail so."""
    return ChatServer(lambda _: say_letter(SHARES), fault=lambda _, body: fault if "prompt_logprobs" in body else None)


def forced_of(server):
    return [seen.body["messages"][-1]["content"] for seen in server.seen if "prompt_logprobs" in seen.body]


def reply_of(*tokens):
    return ChatReply(text="", top=tuple((TokenChoice(token=t, logprob=math.log(0.5)),) for t in tokens))


def test_missing_letters_are_read_exactly_when_asked_for_again(tmp_path):
    with ChatServer(lambda _: say_letter(SHARES)) as server, open_stack(server, tmp_path, top_logprobs=2) as stack:
        teacher = stack.teacher()
        (open_,) = teacher.option_probabilities([option_request(**ASKED)])
        (exact,) = teacher.option_probabilities([option_request(**ASKED, exact=True)])
        again = teacher.scoped("investigate", iteration=1).option_probabilities([option_request(**ASKED, exact=True)])
        outcomes = [line.outcome for line in stack.limits.store.lines("r")]
    assert open_.high[2] > 0
    assert exact.probabilities == pytest.approx(SHARES)
    assert exact.high == exact.low == ()
    assert again == [exact]
    assert forced_of(server) == ["The answer is C", "The answer is D"]
    body = server.seen[-1].body
    assert (body["continue_final_message"], body["add_generation_prompt"], body["max_tokens"]) == (True, False, 1)
    assert outcomes.count("paid") == 3, "the first reply is read from the store"


@pytest.mark.parametrize("fault", ["bad_request", "no_prompt_logprobs"])
def test_an_endpoint_that_cannot_is_asked_once_and_the_interval_stays(tmp_path, fault):
    server = serve(fault=fault)
    with server, open_stack(server, tmp_path, top_logprobs=2) as stack:
        teacher = stack.teacher()
        for number in range(3):
            request = option_request(**ASKED, question=f"Which {number}?", exact=True)
            (reply,) = teacher.option_probabilities([request])
            assert reply.high[2] > 0
    assert len(forced_of(server)) == 1


def test_a_lasting_fault_of_a_forced_request_ends_the_stage_in_one_line(tmp_path):
    server = serve(fault="key")
    with server, open_stack(server, tmp_path, top_logprobs=2) as stack:
        teacher = stack.teacher()
        with pytest.raises(OperatorError, match="key from m"):
            teacher.option_probabilities([option_request(**ASKED, exact=True)])


def test_a_skipped_first_request_decides_nothing(tmp_path):
    def misbehave(_, body):
        told = body["messages"][-1]["content"]
        return "too_long" if told.endswith(" C") and "prompt_logprobs" in body else None

    server = ChatServer(lambda _: say_letter(SHARES), fault=misbehave)
    with server, open_stack(server, tmp_path, top_logprobs=2, unanswered="skip") as stack:
        (reply,) = stack.teacher().option_probabilities([option_request(**ASKED, exact=True)])
    assert forced_of(server) == ["The answer is C", "The answer is D"]
    assert reply.high[2] > reply.probabilities[2] == 0, "this letter stays open"
    assert reply.probabilities[3] > 0


def gap_of(server, tmp_path, *, delta):
    problem = Problem(id="p", question="Which?", choices=("a", "b", "c", "d"), target="C")
    attempt = make_attempt(problem, (), "B")
    with open_stack(server, tmp_path, top_logprobs=2) as stack:
        options = SwitchOptions(delta=delta, prior=None)
        return ask_gaps([(attempt, ())], problems={"p": problem}, teacher=stack.teacher(), options=options)


def test_only_a_gap_whose_bounds_straddle_delta_is_forced(tmp_path):
    with ChatServer(lambda _: say_letter(SHARES)) as server:
        assert gap_of(server, tmp_path / "open", delta=0.2) == [pytest.approx(0.12)]
        assert len(forced_of(server)) == 2
        (decided,) = gap_of(server, tmp_path / "far", delta=0.9)
        assert decided == pytest.approx(0.26 / 0.76), "as the bounds leave no doubt, the stated value stands"
        assert len(forced_of(server)) == 2
    with serve(fault="bad_request") as mute:
        assert gap_of(mute, tmp_path / "mute", delta=0.2) == [None], "unscored, not guessed"


def test_a_letter_is_put_in_the_form_of_the_chosen_one():
    letters = ("A", "B")
    assert begin_with(reply_of("The", " answer", " is", " (A"), letters, "B") == "The answer is (B"
    assert begin_with(reply_of("\u2581a"), letters, "B") == " b"
    with pytest.raises(ValueError, match="no answer position"):
        begin_with(reply_of("Well"), letters, "B")


def test_what_is_forced_narrows_the_bounds_of_the_rest():
    top = tuple(TokenChoice(token=t, logprob=math.log(p)) for t, p in ((" A", 0.5), (" B", 0.2)))
    reply = ChatReply(text="A", top=(top,))
    letters = ("A", "B", "C", "D")
    both = read_options(reply, letters, forced={"C": 0.2, "D": 0.1})
    assert both.probabilities == pytest.approx((0.5, 0.2, 0.2, 0.1))
    one = read_options(reply, letters, forced={"C": 0.2})
    assert one.high[3] == pytest.approx(0.1 / 1.0)
    assert read_options(reply, letters, forced={"A": 0.9}) == read_options(reply, letters), "what was read stands"
