"""Paid once, counted once, and never over a cap: threads, processes and kills."""

import multiprocessing
import os
import sqlite3
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from errata.tools.errors import OperatorError
from errata.tools.teacher.chat_options import ChatOptions, PaidCaps, Price
from errata.tools.teacher.endpoint import ChatReply, EndpointFault, Usage
from errata.tools.teacher.paid import PaidEndpoint, SpendLimits
from errata.tools.teacher.paid_store import Bound, CapSpent, Held, PaidStore, Purpose, exceeded
from tests.tools.teacher.chat_fakes import BusyEndpoint, ScriptedEndpoint, make_request

PRICE = Price(tokens_in=1.0, tokens_out=2.0, tokens_cached=0.1)


def open_limits(path, *, run="r", prices=None, **caps):
    prices = {"m": PRICE} if prices is None else prices
    return SpendLimits(PaidStore(path), run=run, caps=PaidCaps(**caps), prices=prices, image_tokens=100)


def test_a_reply_is_paid_once_and_then_read_from_disk(tmp_path):
    inner = BusyEndpoint()
    for name in ("first", "second"):  # another run may read it too
        limits = open_limits(tmp_path / "p.sqlite", run=name)
        endpoint = PaidEndpoint(inner, limits=limits, stage="locate", iteration=2)
        assert endpoint.complete(make_request("a")).text == "reply to a"
        limits.store.close()
    assert inner.calls == 1
    store = PaidStore(tmp_path / "p.sqlite")
    (paid,), (hit,) = store.lines("first"), store.lines("second")
    assert (paid.outcome, paid.stage, paid.iteration, paid.tokens_in, paid.tokens_out) == ("paid", "locate", 2, 10, 5)
    assert paid.money == pytest.approx((10 * 1 + 5 * 2) / 1e6)
    assert (hit.outcome, hit.money, hit.tokens_in) == ("hit", 0.0, None)
    assert store.held("second") == Held(0, 0, 0.0)


def test_cached_tokens_have_their_price_and_unknown_stays_unknown(tmp_path):
    limits = open_limits(tmp_path / "p.sqlite")
    usage = Usage(tokens_in=100, tokens_out=10, tokens_cached=60)
    assert limits.charge(usage, model="m") == pytest.approx((40 + 6 + 20) / 1e6)
    assert limits.charge(usage, model="unpriced") is None
    assert limits.charge(Usage(), model="m") is None
    assert limits.charge(None, model="m") is None


def test_a_fault_is_in_the_ledger_and_leaves_no_reply(tmp_path):
    useless = EndpointFault("bad_reply", "x", usage=Usage(tokens_in=7, tokens_out=3), billed=True)
    unknown, free = EndpointFault("timeout", "x", billed=True), EndpointFault("rate_limited", "x")
    limits = open_limits(tmp_path / "p.sqlite")
    endpoint = PaidEndpoint(ScriptedEndpoint(useless, unknown, free), limits=limits)
    request = make_request("a")
    for _ in range(3):
        with pytest.raises(EndpointFault):
            endpoint.complete(request)
    assert limits.store.find(request.key) is None
    bad, lost, refused = limits.store.lines("r")
    assert (bad.outcome, bad.tokens_in, bad.held_tokens) == ("bad_reply", 7, 10)
    assert (lost.money, lost.held_tokens) == (None, limits.bound(request).tokens)
    assert (refused.money, refused.held_tokens) == (0.0, 0)
    assert limits.store.held("r").calls == 3


def test_equal_requests_at_the_same_time_are_sent_once(tmp_path):
    inner = BusyEndpoint(seconds=0.05)
    endpoint = PaidEndpoint(inner, limits=open_limits(tmp_path / "p.sqlite"), concurrency=16)
    replies = endpoint.complete_all([make_request("same")] * 16)
    assert inner.calls == 1
    assert {reply.text for reply in replies} == {"reply to same"}


@pytest.mark.parametrize("caps", [{"calls": 70}, {"tokens": 1_500}, {"money": 0.0021}, {"calls": 64, "tokens": 700}])
def test_caps_hold_with_64_requests_in_flight(tmp_path, caps):
    inner = BusyEndpoint(tokens_in=12, tokens_out=8, seconds=0.01)
    limits = open_limits(tmp_path / "p.sqlite", **caps)
    endpoint = PaidEndpoint(inner, limits=limits, concurrency=64)
    with pytest.raises(CapSpent) as met:
        endpoint.complete_all([make_request(str(i)) for i in range(400)])
    assert met.value.cap.rpartition(".")[2] in caps
    assert limits.refused == str(met.value)
    held = limits.store.held("r")
    assert inner.calls == held.calls <= caps.get("calls", 400)
    assert inner.calls * 20 == held.tokens <= caps.get("tokens", 10**9)
    assert inner.calls * 28 / 1e6 == pytest.approx(held.money)
    assert held.money <= caps.get("money", 1.0)
    assert inner.most_at_once <= 64
    room = {"calls": 0, "tokens": limits.bound(make_request("399")).tokens, "money": 2e-4}
    used = {"calls": held.calls, "tokens": held.tokens, "money": held.money}
    assert any(used[name] >= limit - room[name] for name, limit in caps.items()), "what a cap leaves is used"


@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(1, 50)), max_size=30), st.integers(1, 20), st.integers(50, 400)
)
@settings(max_examples=60, deadline=None)
def test_what_is_reserved_and_used_never_passes_a_cap(exchanges, calls, tokens):
    held = Held(0, 0, 0.0)
    for less, bound in exchanges:  # each uses no more than its reservation
        if exceeded(held, bound=Bound(bound, 0.0), caps=PaidCaps(calls=calls, tokens=tokens)) is None:
            held = Held(held.calls + 1, held.tokens + max(0, bound - less), 0.0)
    assert held.calls <= calls
    assert held.tokens <= tokens


def test_the_bound_is_above_what_any_tokenizer_makes_of_the_text(tmp_path):
    limits = open_limits(tmp_path / "p.sqlite")
    text = "Größe 漢字 🧲 " * 20
    assert limits.bound(make_request(text)).tokens >= len(text.encode()) + 10
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 10_000}}
    shown = make_request("x", messages=({"role": "user", "content": [picture]},))
    assert 100 <= limits.bound(shown).tokens < 400


def pay(path, texts, kill_at):
    """A process that pays, and dies in the middle of a request."""

    class Dies(BusyEndpoint):
        def complete(self, request):
            if request.messages[0]["content"] == kill_at:
                os.kill(os.getpid(), 9)
            return super().complete(request)

    endpoint = PaidEndpoint(Dies(), limits=open_limits(path))
    for text in texts:
        endpoint.complete(make_request(text))


def test_a_kill_loses_no_reply_and_counts_what_was_in_flight(tmp_path):
    path = tmp_path / "p.sqlite"
    process = multiprocessing.get_context("fork").Process(target=pay, args=(path, list("abcde"), "d"))
    process.start()
    process.join()
    assert process.exitcode == -9
    inner, limits = BusyEndpoint(), open_limits(path)
    endpoint = PaidEndpoint(inner, limits=limits)
    bound = limits.bound(make_request("d"))
    assert limits.store.lost("r") == Held(1, bound.tokens, pytest.approx(bound.money))
    for text in "abcde":
        assert endpoint.complete(make_request(text)).text == f"reply to {text}"
    assert inner.calls == 2
    assert [line.outcome for line in limits.store.lines("r")] == ["paid"] * 3 + ["hit"] * 3 + ["paid"] * 2
    assert limits.store.held("r").calls == 6  # the one in flight may have been billed


def test_two_processes_share_a_file_and_its_caps(tmp_path):
    path = tmp_path / "p.sqlite"
    PaidStore(path).close()
    context = multiprocessing.get_context("fork")
    texts = [str(i) for i in range(30)]
    processes = [context.Process(target=pay, args=(path, texts, "")) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    store = PaidStore(path)
    outcomes = [line.outcome for line in store.lines("r")]
    assert outcomes.count("paid") == 30
    assert outcomes.count("hit") == 30
    assert store.held("r").calls == 30


def test_a_cap_of_one_process_is_seen_by_another(tmp_path):
    stores = [PaidStore(tmp_path / "p.sqlite") for _ in range(2)]
    caps, bound = PaidCaps(calls=1), Bound(1, 0.0)
    stores[0].reserve(make_request("a"), purpose=Purpose("r"), bound=bound, caps=caps)
    with pytest.raises(CapSpent):
        stores[1].reserve(make_request("b"), purpose=Purpose("r"), bound=bound, caps=caps)
    stores[1].reserve(make_request("b"), purpose=Purpose("another run"), bound=bound, caps=caps)


def test_threads_may_use_one_store(tmp_path):
    endpoint = PaidEndpoint(BusyEndpoint(seconds=0), limits=open_limits(tmp_path / "p.sqlite"))
    with ThreadPoolExecutor(16) as pool:
        texts = list(pool.map(lambda i: endpoint.complete(make_request(str(i % 50))).text, range(400)))
    assert texts == [f"reply to {i % 50}" for i in range(400)]


def test_pictures_are_not_written_a_second_time(tmp_path):
    limits = open_limits(tmp_path / "p.sqlite")
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 10_000}}
    PaidEndpoint(ScriptedEndpoint(ChatReply(text="x")), limits=limits).complete(
        make_request("x", messages=({"role": "user", "content": [picture]},))
    )
    (kept,) = limits.store.requests()
    assert len(kept) < 1_000


def test_a_file_that_is_no_database_is_one_line(tmp_path):
    (tmp_path / "p.sqlite").write_text("not a database, but long enough to be looked at\n" * 100)
    with pytest.raises(OperatorError, match=r"p\.sqlite"):
        PaidStore(tmp_path / "p.sqlite")


def test_a_full_disk_is_one_line(tmp_path):
    limits = open_limits(tmp_path / "p.sqlite")
    with sqlite3.connect(tmp_path / "p.sqlite") as other:
        other.execute("DROP TABLE reserved")
    with pytest.raises(OperatorError, match="cannot be kept"):
        PaidEndpoint(BusyEndpoint(), limits=limits).complete(make_request())


def test_a_money_cap_needs_prices():
    given = {"base_url": "http://127.0.0.1/v1", "model": "m", "caps": {"money": 1.0}}
    with pytest.raises(ValueError, match="without a price of 'm'"):
        ChatOptions.model_validate(given)
    ChatOptions.model_validate({**given, "prices": {"m": {"tokens_in": 1, "tokens_out": 1}}})
