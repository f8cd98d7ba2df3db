"""One sending over a real socket: every kind of fault is told apart, and a good reply is read whole."""

from __future__ import annotations

import json
import time

import pytest

from errata.tools.teacher.chat_asking import closed
from errata.tools.teacher.chat_options import EndpointOptions
from errata.tools.teacher.endpoint import EndpointFault
from errata.tools.teacher.faults import read_retry_after
from errata.tools.teacher.openai_endpoint import OpenAIEndpoint
from tests.chat_server import FAULTS, Answer, ChatServer, say_letter
from tests.tools.teacher.chat_fakes import make_request

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])
SCHEMA = closed(skill={"type": "string", "minLength": 3})
SECONDS = 1.0
KINDS = {
    "429": "rate_limited",
    "429_after": "rate_limited",
    "429_long": "rate_limited",
    "500": "server",
    "503": "server",
    "too_long": "too_long",
    "filter_400": "filtered",
    "bad_request": "bad_request",
    "no_schema": "bad_request",
    "no_tools": "bad_request",
    "key": "key",
    "quota": "quota",
    "quota_429": "quota",
    "model": "no_model",
    "timeout": "timeout",
    "drop": "connection",
    "half": "connection",
    "drip": "timeout",
    "half_json": "bad_reply",
    "html": "bad_reply",
    "truncated": "bad_reply",
    "schema": "bad_reply",
    "empty": "bad_reply",
    "no_choices": "bad_reply",
    "no_logprobs": "bad_reply",
    "refusal": "refused",
    "filter": "filtered",
    "tool": "bad_reply",
    "rubbish": "bad_reply",
    "blank": "bad_reply",
}


@pytest.fixture(scope="module")
def asked():
    """A server whose fault is chosen by the test, and an endpoint in front of it."""
    chosen = {"fault": "", "answer": say_letter([0.7, 0.3])}
    server = ChatServer(lambda _: chosen["answer"], fault=lambda _, __: chosen["fault"], hang_seconds=SECONDS * 1.5)
    with server:
        options = EndpointOptions(base_url=server.url, model="m", timeout_seconds=SECONDS)
        endpoint = OpenAIEndpoint(options, key="secret")
        yield chosen, server, endpoint
        endpoint.close()


def play(asked, fault, request, answer=None):
    chosen, server, endpoint = asked
    chosen["fault"], chosen["answer"] = fault, answer or say_letter([0.7, 0.3])
    before = len(server.seen)
    try:
        return endpoint.complete(request)
    finally:
        assert len(server.seen) == before + 1, "a sending is one request"


def test_every_fault_of_the_server_has_a_kind():
    assert set(KINDS) == set(FAULTS)


@pytest.mark.parametrize("fault", KINDS)
def test_a_fault_is_told_apart(asked, fault):
    request = make_request(top_logprobs=20)
    if fault in ("truncated", "schema"):
        request = make_request(reply_schema=SCHEMA)
    started = time.monotonic()
    with pytest.raises(EndpointFault) as met:
        play(asked, fault, request, Answer(json.dumps({"skill": "count"}), top=[[("A", 1.0)]]))
    assert met.value.kind == KINDS[fault]
    assert time.monotonic() - started < SECONDS * 1.4, "the deadline holds for the whole reply, drips included"
    assert len(str(met.value)) <= 400
    assert "\n" not in str(met.value)


@pytest.mark.parametrize(("fault", "seconds"), [("429", None), ("429_after", 0.2), ("429_long", 3600)])
def test_it_hears_how_long_to_wait(asked, fault, seconds):
    with pytest.raises(EndpointFault) as met:
        play(asked, fault, make_request())
    assert met.value.retry_after == seconds


def test_retry_after_may_be_a_date_or_milliseconds():
    date = {"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}
    assert read_retry_after(date, now=1792567680 - 30) == pytest.approx(30)
    assert read_retry_after(date, now=1792567680 + 30) == 0
    assert read_retry_after({"retry-after-ms": "250", "retry-after": "9"}) == 0.25
    assert read_retry_after({"retry-after": "soon"}) is None
    assert read_retry_after({}) is None


@pytest.mark.parametrize("fault", ["rubbish", "schema", "truncated", "refusal", "filter"])
def test_a_useless_reply_is_billed_and_says_its_tokens(asked, fault):
    with pytest.raises(EndpointFault) as met:
        play(asked, fault, make_request(reply_schema=SCHEMA), Answer(json.dumps({"skill": "count"})))
    assert met.value.billed
    assert met.value.usage.tokens_out > 0
    assert len(met.value.said) <= 2000


@pytest.mark.parametrize("fault", ["429", "500", "key", "too_long"])
def test_a_refused_request_is_not_billed(asked, fault):
    with pytest.raises(EndpointFault) as met:
        play(asked, fault, make_request())
    assert not met.value.billed


def test_a_good_reply_has_text_logprobs_tokens_and_the_servers_model(asked):
    reply = play(asked, "", make_request(top_logprobs=20))
    assert reply.text == "The answer is A"
    assert [choices[0].token for choices in reply.top] == ["The", " answer", " is", " A"]
    assert [choice.token for choice in reply.top[3]] == [" A", " B"]
    assert reply.model == "m"
    assert (reply.usage.tokens_in, reply.usage.tokens_out, reply.usage.tokens_cached) == (9, 3, 4)
    body = asked[1].seen[-1].body
    assert (body["logprobs"], body["top_logprobs"], body["temperature"]) == (True, 20, 0.0)
    assert asked[1].seen[-1].key == "secret"


def test_a_schema_goes_out_strict_without_bounds_and_is_held_to_them_here(asked):
    reply = play(asked, "", make_request(reply_schema=SCHEMA), Answer('{"skill": "count shapes"}'))
    assert reply.parsed == {"skill": "count shapes"}
    form = asked[1].seen[-1].body["response_format"]
    assert form["type"] == "json_schema"
    assert form["json_schema"]["strict"] is True
    assert "minLength" not in json.dumps(form)
    with pytest.raises(EndpointFault, match="skill does not fit the schema"):
        play(asked, "", make_request(reply_schema=SCHEMA), Answer('{"skill": "x"}'))


def test_a_tool_call_carries_a_reply(asked):
    answer = Answer("", tool_calls=[("reply", '{"skill": "count shapes"}')])
    reply = play(asked, "", make_request(reply_schema=SCHEMA, mode="tool"), answer)
    assert reply.parsed == {"skill": "count shapes"}
    body = asked[1].seen[-1].body
    assert body["tool_choice"]["function"]["name"] == "reply"
    assert body["tools"][0]["function"]["strict"] is True
    assert "minLength" not in json.dumps(body["tools"])
    stolen = Answer("", tool_calls=[("steal", '{"skill": "count shapes"}')])
    with pytest.raises(EndpointFault, match="there is no tool 'steal'"):
        play(asked, "", make_request(reply_schema=SCHEMA, mode="tool"), stolen)


def test_plain_json_is_found_in_prose_and_fences(asked):
    answer = Answer('Sure:\n```json\n{"skill": "count shapes"}\n```')
    assert play(asked, "", make_request(reply_schema=SCHEMA, mode="json"), answer).parsed == {"skill": "count shapes"}
    assert "response_format" not in asked[1].seen[-1].body


def test_closing_one_endpoint_leaves_another_open(asked):
    _, server, endpoint = asked
    other = OpenAIEndpoint(EndpointOptions(base_url=server.url, model="m"))
    other.close()
    assert play(asked, "", make_request()).text
    assert endpoint.context_length() == 4096


def test_a_pace_is_kept_and_does_not_count_as_waiting_for_a_reply(asked):
    _, server, _ = asked
    options = EndpointOptions(base_url=server.url, model="m", timeout_seconds=0.5, requests_per_minute=300)
    endpoint = OpenAIEndpoint(options)
    endpoint.complete(make_request())
    started = time.monotonic()
    replies = endpoint.complete_all([make_request(str(i)) for i in range(4)])
    endpoint.close()
    assert all(not isinstance(reply, EndpointFault) for reply in replies)
    assert time.monotonic() - started > 0.55


def test_nobody_at_the_address_is_a_connection_fault():
    endpoint = OpenAIEndpoint(EndpointOptions(base_url="http://127.0.0.1:9/v1", model="m", timeout_seconds=2))
    with pytest.raises(EndpointFault) as met:
        endpoint.complete(make_request())
    endpoint.close()
    assert met.value.kind == "connection"
