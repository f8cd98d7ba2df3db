"""Embeddings over a socket: in order, paid once, counted and capped as every request of the teacher."""

import numpy as np
import pytest

from errata.tools.errors import BudgetSpent, OperatorError
from errata.tools.teacher.chat_options import ChatOptions, EndpointOptions, PaidCaps, Price, RetryOptions
from errata.tools.teacher.chat_stack import ChatStack
from errata.tools.teacher.embedding import BATCH, pack_vectors, read_vectors
from tests.chat_server import ChatServer

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])
TEXTS = [f"name {number} of {number % 7} suns" for number in range(2 * BATCH + 5)]


def open_stack(server, path, **fields):
    retries, prices = RetryOptions(wait_scale=0.001, attempts=4), {"e": Price(tokens_in=1, tokens_out=9)}
    options = ChatOptions(base_url=server.url, model="m", retries=retries, prices=prices, **fields)
    return ChatStack(options, keys={"K": "k"}, path=path, run="r")


def embed_options(server, **fields):
    return EndpointOptions(**{"base_url": server.url, "model": "e", "timeout_seconds": 5, **fields})


def no_chat(body):
    raise AssertionError(f"a chat completion was asked for: {body}")


def test_texts_are_asked_in_batches_paid_once_and_entered_in_the_ledger(tmp_path):
    with ChatServer(no_chat) as server:
        for _ in range(2):
            with open_stack(server, tmp_path / "paid") as stack:
                vectors = stack.embedding(embed_options(server, key_env="K")).scoped("index")(TEXTS)
                lines = stack.limits.store.lines("r")
        assert len(server.seen) == 3
        assert {seen.key for seen in server.seen} == {"k"}
        billed = server.billed_tokens
    assert vectors.shape == (len(TEXTS), 9)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(len(TEXTS)), abs=1e-6)
    assert vectors[0] == pytest.approx(vectors[7 * 10], abs=1e-6), "in the order of the texts"
    assert [line.outcome for line in lines] == ["paid"] * 3 + ["hit"] * 3
    assert {(line.stage, line.role, line.model) for line in lines} == {("index", "embed", "e")}
    assert sum(line.tokens_in or 0 for line in lines) == billed
    assert sum(line.money or 0 for line in lines) == pytest.approx(billed / 1e6)


def test_a_cap_is_met_before_a_batch_is_sent(tmp_path):
    with ChatServer(no_chat) as server, open_stack(server, tmp_path / "paid", caps=PaidCaps(calls=2)) as stack:
        with pytest.raises(BudgetSpent, match="the cap of 2 calls"):
            stack.embedding(embed_options(server))(TEXTS)
        assert len(server.seen) == 2


def test_a_passing_fault_is_tried_again_and_a_lasting_one_is_one_line(tmp_path):
    faults = iter(["503", "429", ""])
    with ChatServer(no_chat, fault=lambda _, __: next(faults, "key")) as server:
        with open_stack(server, tmp_path / "paid") as stack:
            embed = stack.embedding(embed_options(server))
            assert embed(["a"]).shape == (1, 9)
            with pytest.raises(OperatorError, match=r"teacher.chat \(embed\): key from e at") as met:
                embed(["b"])
            assert embed(["a"]).shape == (1, 9), "kept"
            assert embed([]).shape == (0, 1)
        assert len(server.seen) == 4
    assert "\n" not in str(met.value)


def test_vectors_come_back_as_they_were_packed():
    rows = [[0.5, -1.25], [3.0, 0.0]]
    assert read_vectors(pack_vectors(rows), rows=2).tolist() == rows
