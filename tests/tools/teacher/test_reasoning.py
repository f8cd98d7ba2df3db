"""Teachers that think: thought and reply told apart in each form in which servers give them, over a real socket."""

from __future__ import annotations

import json
import math
import sqlite3

import pytest

from errata.tools.teacher.chat_asking import closed
from errata.tools.teacher.chat_options import ChatOptions, EndpointOptions, PaidCaps, Price
from errata.tools.teacher.endpoint import ChatReply, EndpointFault, Usage
from errata.tools.teacher.letters import find_answer_position, read_options
from errata.tools.teacher.openai_endpoint import OpenAIEndpoint
from errata.tools.teacher.paid import SpendLimits
from errata.tools.teacher.paid_store import Line, PaidStore
from errata.tools.teacher.parse_reply import find_objects
from errata.tools.teacher.probe import probe_endpoint
from tests.chat_server import Answer, ChatServer
from tests.tools.teacher.chat_fakes import make_request

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])
SCHEMA = closed(skill={"type": "string", "minLength": 3})
THOUGHT = 'The answer is A? {"skill": "wrong one"} would be odd.'
SAID = '{"skill": "count dots"}'
FORMS = {
    "marks": Answer(f"<think>\n{THOUGHT}\n</think>\n\n{SAID}"),
    "no opening mark": Answer(f"{THOUGHT}\n</think>\n\n{SAID}"),
    "brackets": Answer(f"[THINK]{THOUGHT}[/THINK]{SAID}"),
    "channels": Answer(
        f"<|channel|>analysis<|message|>{THOUGHT}<|end|><|start|>assistant<|channel|>final<|message|>{SAID}"
    ),
    "vLLM": Answer(SAID, apart=("reasoning", THOUGHT)),
    "llama.cpp, SGLang, DeepSeek": Answer(SAID, apart=("reasoning_content", THOUGHT), reasoning_tokens=17),
}
CUT = {
    "marks": Answer(f"<think>\n{THOUGHT}"),
    "apart": Answer("", apart=("reasoning_content", THOUGHT)),
    "channels": Answer(f"<|channel|>analysis<|message|>{THOUGHT}"),
}


@pytest.fixture(scope="module")
def asked():
    """A server whose answer is chosen by the test, and an endpoint in front of it."""
    chosen = {"answer": Answer("x")}
    with ChatServer(lambda _: chosen["answer"]) as server:
        endpoint = OpenAIEndpoint(EndpointOptions(base_url=server.url, model="m", timeout_seconds=5))
        yield chosen, server, endpoint
        endpoint.close()


def tokens(text: str, *, letters: tuple[float, float] = (0.2, 0.8)) -> list[list[tuple[str, float]]]:
    """A word with its space is a token; the last letter has a top list."""
    words = [word + " " for word in text.split(" ")]
    words[-1] = words[-1].strip()
    top = [[(word, 0.9)] for word in words[:-1]]
    return [*top, [("B", letters[1]), ("A", letters[0])]]


@pytest.mark.parametrize("form", FORMS)
def test_the_object_is_that_of_the_reply_and_not_of_the_thought(asked, form):
    chosen, _, endpoint = asked
    chosen["answer"] = FORMS[form]
    reply = endpoint.complete(make_request(reply_schema=SCHEMA, mode="json", thinking_tokens=500))
    assert reply.parsed == {"skill": "count dots"}
    assert (reply.text, reply.thought) == (SAID, THOUGHT)
    assert reply.usage.tokens_reasoning == FORMS[form].reasoning_tokens


@pytest.mark.parametrize("form", CUT)
def test_a_reply_that_ends_inside_its_thought_says_what_to_do(asked, form):
    chosen, _, endpoint = asked
    chosen["answer"] = CUT[form]
    with pytest.raises(EndpointFault, match="ends inside the model's thought; raise thinking_tokens") as met:
        endpoint.complete(make_request())
    assert met.value.kind == "bad_reply"


@pytest.mark.parametrize("form", ["marks", "apart"])
def test_the_letter_is_looked_for_behind_the_thought(asked, form):
    chosen, _, endpoint = asked
    thought, said = "So the answer is A, or not.", "The answer is B"
    whole = f"<think> {thought} </think> {said}"
    if form == "marks":
        chosen["answer"] = Answer(whole, top=tokens(whole))
    else:
        chosen["answer"] = Answer(said, top=tokens(f"{thought} {said}"), apart=("reasoning", thought))
    reply = endpoint.complete(make_request(top_logprobs=5, thinking_tokens=100))
    assert [choices[0].token for choices in reply.top] == ["The ", "answer ", "is ", "B"]
    assert find_answer_position(reply.top, ("A", "B")) == 3
    assert read_options(reply, ("A", "B")).probabilities == pytest.approx((0.2, 0.8))


def test_logprobs_of_the_reply_alone_are_taken_as_they_are(asked):
    chosen, _, endpoint = asked
    chosen["answer"] = Answer("The answer is B", top=tokens("The answer is B"), apart=("reasoning", "hm"))
    assert len(endpoint.complete(make_request(top_logprobs=5)).top) == 4


@pytest.mark.parametrize(
    ("top", "what"),
    [
        ([[("The", 1.0)], [("B", 1.0)]], "all of them are exactly 0"),
        ([[("The", 0.9)], [("B", 1.0), ("A", 1.0)]], "at position 1 the probabilities sum to 2.00"),
    ],
)
def test_logprobs_that_are_none_stop_with_a_line(asked, top, what):
    chosen, _, endpoint = asked
    chosen["answer"] = Answer("The B", top=top)
    with pytest.raises(EndpointFault, match=what):
        endpoint.complete(make_request(top_logprobs=5))


def test_extra_fields_and_room_for_the_thought_are_sent_and_are_part_of_the_key(asked):
    chosen, server, endpoint = asked
    chosen["answer"] = Answer("B")
    extra = {"chat_template_kwargs": {"enable_thinking": False}, "reasoning_effort": "low"}
    plain = make_request(max_tokens=12)
    request = make_request(max_tokens=12, thinking_tokens=300, extra=extra)
    endpoint.complete(request)
    body = server.seen[-1].body
    assert {name: body[name] for name in extra} == extra
    assert body.get("max_completion_tokens", body.get("max_tokens")) == 312
    assert len({plain.key, request.key, make_request(max_tokens=12, extra=extra).key}) == 3
    assert plain.key == make_request(max_tokens=12, extra={}, thinking_tokens=0).key


def test_extra_goes_along_with_a_schema(asked):
    chosen, server, endpoint = asked
    chosen["answer"] = Answer(SAID)
    endpoint.complete(make_request(reply_schema=SCHEMA, extra={"reasoning_effort": "low"}))
    assert server.seen[-1].body["reasoning_effort"] == "low"
    assert server.seen[-1].body["response_format"]["type"] == "json_schema"


def test_roles_take_the_shared_extra_or_have_their_own():
    given = {"base_url": "http://x/v1", "model": "m", "extra": {"reasoning_effort": "low"}, "thinking_tokens": 9}
    options = ChatOptions.model_validate({**given, "roles": {"judge": {"extra": {}, "thinking_tokens": 0}}})
    assert (options.endpoint("tag").extra, options.endpoint("tag").thinking_tokens) == (given["extra"], 9)
    assert (options.endpoint("judge").extra, options.endpoint("judge").thinking_tokens) == ({}, 0)
    with pytest.raises(ValueError, match="extra may not hold max_tokens, which requests set themselves; take it out"):
        EndpointOptions(base_url="http://x/v1", model="m", extra={"max_tokens": 3})


def test_room_for_the_thought_counts_against_the_caps(tmp_path):
    store = PaidStore(tmp_path / "paid.sqlite")
    limits = SpendLimits(
        store, run="r", caps=PaidCaps(), prices={"m": Price(tokens_in=0, tokens_out=1e6)}, image_tokens=1
    )
    small, large = (limits.bound(make_request(max_tokens=10, thinking_tokens=t)) for t in (0, 90))
    assert (small.money, large.money) == (10, 100)
    assert large.tokens - small.tokens == 90
    store.close()


def test_a_ledger_of_an_earlier_version_gets_the_column(tmp_path):
    path = tmp_path / "paid.sqlite"
    PaidStore(path).close()
    connection = sqlite3.connect(path)
    connection.execute("ALTER TABLE ledger DROP COLUMN tokens_reasoning")
    connection.commit()
    connection.close()
    store = PaidStore(path)
    usage = Usage(tokens_in=1, tokens_out=9, tokens_reasoning=7)
    line = Line(stage="s", iteration=0, role="tag", model="m", key="k", outcome="hit", **usage.model_dump())
    store.add_hit(line, run="r")
    assert store.lines("r")[0].tokens_reasoning == 7
    store.close()


def test_the_last_object_that_fits_is_the_reply():
    assert find_objects('{"a": {"b": 1}} then {"c": 2}') == [{"a": {"b": 1}}, {"c": 2}]
    assert find_objects('set {x} and {"c": 2}') == [{"c": 2}]
    with pytest.raises(ValueError, match="not valid JSON"):
        find_objects("{x")


def thinker(body, *, off):
    """Answers as a model that thinks unless the body holds `off`."""
    quiet = off is not None and all(body.get(name) == value for name, value in off.items())
    words = "A" if "first letter" in json.dumps(body["messages"]) else '{"colour": "red"}'
    top = [[("A", 0.9), ("B", 0.1)]]
    if quiet:
        return Answer(words, top=top)
    return Answer(words, top=top, apart=("reasoning", "Let me see. " * 10), reasoning_tokens=30)


@pytest.mark.parametrize(
    ("off", "said"),
    [
        (
            {"chat_template_kwargs": {"enable_thinking": False}},
            'turn it off with teacher.chat.extra: {"chat_template_kwargs": {"enable_thinking": false}}',
        ),
        ({"reasoning_effort": "none"}, 'turn it off with teacher.chat.extra: {"reasoning_effort": "none"}'),
        (None, "nothing that was tried turns it off, so give it room with teacher.chat.thinking_tokens: 2048"),
    ],
)
def test_the_doctor_says_that_a_model_thinks_and_what_helps(off, said):
    with ChatServer(lambda body: thinker(body, off=off)) as server:
        options = EndpointOptions(base_url=server.url, model="m", timeout_seconds=5)
        endpoint = OpenAIEndpoint(options)
        found = {c.name: c for c in probe_endpoint(endpoint, options=options, top_logprobs=5)}
        endpoint.close()
    assert not found["thinking"].able
    assert "this model thinks: about 30 tokens before one letter" in found["thinking"].found
    assert found["thinking"].found.endswith(said)
    assert found["text"].able
    assert found["logprobs"].able


def test_the_doctor_says_when_no_thought_comes():
    with ChatServer(lambda body: thinker(body, off={})) as server:
        options = EndpointOptions(base_url=server.url, model="m", timeout_seconds=5)
        endpoint = OpenAIEndpoint(options)
        found = {c.name: c for c in probe_endpoint(endpoint, options=options, top_logprobs=5)}
        endpoint.close()
    assert found["thinking"].able
    assert len(server.seen) <= 10


def test_old_replies_on_disk_are_still_read():
    assert ChatReply.model_validate_json('{"text": "x"}').thought == ""
    assert math.isclose(ChatReply(text="x").usage.tokens_reasoning or 0, 0)
