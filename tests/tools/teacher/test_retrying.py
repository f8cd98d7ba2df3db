"""Trying again is bounded, honours the server, repairs, and steps down; nothing is answered by default."""

import threading

import pytest

from errata.tools.errors import BudgetSpent
from errata.tools.teacher.chat_options import RetryOptions
from errata.tools.teacher.endpoint import PERMANENT, ChatReply, EndpointFault
from errata.tools.teacher.retrying import RetryingEndpoint
from tests.tools.teacher.chat_fakes import BusyEndpoint, ScriptedEndpoint, make_request

GOOD = ChatReply(text="good")
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}


def patient(inner, waits=None, skipped=frozenset(), **options):
    sleep = (waits if waits is not None else []).append
    return RetryingEndpoint(inner, options=RetryOptions(**options), skipped=skipped, sleep=sleep)


@pytest.mark.parametrize(
    "kind", ["rate_limited", "server", "timeout", "connection", "bad_reply", "refused", "filtered"]
)
def test_a_passing_fault_is_tried_again_and_a_lasting_one_given_up(kind):
    inner = ScriptedEndpoint(EndpointFault(kind, "x"), EndpointFault(kind, "x"), GOOD)
    assert patient(inner).complete(make_request()) == GOOD
    inner = ScriptedEndpoint(*[EndpointFault(kind, f"number {i}") for i in range(9)])
    with pytest.raises(EndpointFault, match="number 3"):
        patient(inner, attempts=4).complete(make_request())
    assert len(inner.asked) == 4


@pytest.mark.parametrize("kind", [*sorted(PERMANENT), "too_long", "bad_request"])
def test_what_would_fail_again_is_asked_once(kind):
    inner = ScriptedEndpoint(EndpointFault(kind, "x"))
    with pytest.raises(EndpointFault):
        patient(inner).complete(make_request())


def test_waits_grow_have_jitter_and_a_bound():
    waits = []
    inner = ScriptedEndpoint(*[EndpointFault("server", "x")] * 9, GOOD)
    patient(inner, waits, attempts=10, wait_seconds=1, max_wait_seconds=8).complete(make_request())
    assert len(waits) == 9
    assert all(0 <= wait <= min(2**n, 8) for n, wait in enumerate(waits))
    assert len(set(waits)) == 9


def test_the_servers_wait_is_honoured_and_one_that_is_too_long_ends_it():
    waits = []
    inner = ScriptedEndpoint(EndpointFault("rate_limited", "x", retry_after=7.0), GOOD)
    patient(inner, waits).complete(make_request())
    assert 7 <= waits[0] <= 8
    inner = ScriptedEndpoint(EndpointFault("rate_limited", "x", retry_after=3600.0))
    with pytest.raises(EndpointFault):
        patient(inner).complete(make_request())


def test_a_bad_reply_is_repaired_twice_at_most_and_keeps_its_key():
    request = make_request(reply_schema=SCHEMA)
    faults = [EndpointFault("bad_reply", f"wrong {i}", said=f"said {i}") for i in range(4)]
    inner = ScriptedEndpoint(*faults, GOOD)
    patient(inner).complete(request)
    told = [asked.repair[-1]["content"] if asked.repair else "" for asked in inner.asked]
    assert told[0] == ""
    assert "wrong 0" in told[1]
    assert all("wrong 1" in text for text in told[2:])
    assert inner.asked[1].repair[0] == {"role": "assistant", "content": "said 0"}
    assert len({asked.key for asked in inner.asked}) == 1


def test_it_steps_down_where_the_server_lacks_a_capability_and_remembers():
    lacks = [EndpointFault("bad_request", "response_format is not supported"), EndpointFault("bad_request", "no tools")]
    inner = ScriptedEndpoint(*lacks, GOOD, GOOD)
    endpoint = patient(inner)
    endpoint.complete(make_request(reply_schema=SCHEMA))
    assert [asked.mode for asked in inner.asked] == ["schema", "tool", "json"]
    assert "JSON object" in inner.asked[2].repair[-1]["content"]
    endpoint.scoped("other", iteration=1).complete(make_request("again", reply_schema=SCHEMA))
    assert inner.asked[3].mode == "json"
    assert len({asked.key for asked in inner.asked[:3]}) == 1


def test_it_does_not_step_down_for_another_reason_or_against_the_settings():
    for text, options in (("temperature out of range", {}), ("response_format", {"structured": "schema"})):
        inner = ScriptedEndpoint(EndpointFault("bad_request", text))
        with pytest.raises(EndpointFault):
            patient(inner, **options).complete(make_request(reply_schema=SCHEMA))


def test_a_batch_keeps_order_and_never_has_more_under_way_than_allowed():
    inner = BusyEndpoint()
    replies = patient(inner, concurrency=5).complete_all([make_request(str(i)) for i in range(40)])
    assert [reply.text for reply in replies] == [f"reply to {i}" for i in range(40)]
    assert 2 <= inner.most_at_once <= 5


class FailsAt:
    """Raises at one request; the others are answered."""

    def __init__(self, error):
        self.error, self.calls, self._lock = error, 0, threading.Lock()

    def complete(self, request):
        with self._lock:
            self.calls += 1
        if request.messages[0]["content"] == "3":
            raise self.error
        return GOOD


@pytest.mark.parametrize(
    "error", [EndpointFault("key", "bad key"), EndpointFault("too_long", "long"), BudgetSpent("spent")]
)
def test_what_ends_a_batch_stops_the_sending(error):
    inner = FailsAt(error)
    with pytest.raises(type(error)):
        patient(inner, concurrency=1).complete_all([make_request(str(i)) for i in range(50)])
    assert inner.calls == 4


def test_a_skipped_fault_stands_in_its_place():
    inner = FailsAt(EndpointFault("too_long", "long"))
    replies = patient(inner, skipped=frozenset({"too_long"})).complete_all([make_request(str(i)) for i in range(9)])
    assert [isinstance(reply, EndpointFault) for reply in replies] == [i == 3 for i in range(9)]
