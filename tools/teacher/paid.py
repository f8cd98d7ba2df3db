"""An endpoint whose replies are paid once: kept by content, entered in a ledger, and stopped before a cap is passed."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from errata.tools.teacher.chat_options import PaidCaps, Price
from errata.tools.teacher.endpoint import ChatReply, ChatRequest, Endpoint, EndpointFault, Usage
from errata.tools.teacher.paid_store import Bound, CapSpent, Line, PaidStore, Purpose
from errata.tools.teacher.retrying import complete_each

PER_MESSAGE = 32
"""Tokens that a chat template may put around one message, at most."""
POLL_SECONDS = 0.05


class SpendLimits:
    """What one run may spend and what models cost; shared by all endpoints of the run."""

    def __init__(
        self, store: PaidStore, *, run: str, caps: PaidCaps, prices: Mapping[str, Price], image_tokens: int
    ) -> None:
        self.store, self.run, self.caps = store, run, caps
        self._prices, self._image_tokens = prices, image_tokens
        self._asking: set[str] = set()
        self._turn = threading.Condition()
        self.refused = ""
        """Why the last request was not sent; empty while no cap stood in the way."""

    @contextlib.contextmanager
    def alone(self, key: str) -> Iterator[None]:
        """One thread at a time asks for a reply; the others then find it."""
        with self._turn:
            self._turn.wait_for(lambda: key not in self._asking)
            self._asking.add(key)
        try:
            yield
        finally:
            with self._turn:
                self._asking.discard(key)
                self._turn.notify_all()

    def bound(self, request: ChatRequest) -> Bound:
        """The most that a request can use: no token is shorter than one byte, and a reply ends at its limit."""
        sent = [*request.messages, *request.repair]
        tokens_in = sum(PER_MESSAGE + count_bytes(message, picture=self._image_tokens) for message in sent)
        tokens_in += count_bytes([request.reply_schema, *request.tools], picture=0)
        price = self._prices.get(request.model)
        money = 0.0 if price is None else (tokens_in * price.tokens_in + request.limit * price.tokens_out) / 1e6
        return Bound(tokens_in + request.limit, money)

    def charge(self, usage: Usage | None, *, model: str) -> float | None:
        """Money of one exchange; None where tokens or price are unknown."""
        price = self._prices.get(model)
        if price is None or usage is None or usage.tokens_in is None or usage.tokens_out is None:
            return None
        cached = min(usage.tokens_cached or 0, usage.tokens_in)
        cheap = price.tokens_in if price.tokens_cached is None else price.tokens_cached
        full = (usage.tokens_in - cached) * price.tokens_in + usage.tokens_out * price.tokens_out
        return (full + cached * cheap) / 1e6


class PaidEndpoint:
    """Satisfies `Endpoint` around another one, for one stage of a run."""

    def __init__(
        self, inner: Endpoint, *, limits: SpendLimits, stage: str = "", iteration: int = 0, concurrency: int = 8
    ) -> None:
        self._inner, self._limits, self._concurrency = inner, limits, concurrency
        self._purpose = Purpose(limits.run, stage, iteration)

    def scoped(self, stage: str, *, iteration: int) -> PaidEndpoint:
        """The same, with another place in the ledger."""
        return PaidEndpoint(
            self._inner, limits=self._limits, stage=stage, iteration=iteration, concurrency=self._concurrency
        )

    def complete(self, request: ChatRequest) -> ChatReply:
        """The kept reply, or one sending; raises EndpointFault, and CapSpent before a cap could be passed."""
        key = request.key
        with self._limits.alone(key):
            kept = self._limits.store.find(key)
            return self._pay(request, key) if kept is None else self._hit(kept, request, key)

    def complete_all(self, requests: Sequence[ChatRequest]) -> list[ChatReply | EndpointFault]:
        """See `Endpoint`; every request is sent once at most."""
        return complete_each(self.complete, requests, workers=self._concurrency)

    def _hit(self, reply: ChatReply, request: ChatRequest, key: str) -> ChatReply:
        line = self._line(request, key, outcome="hit", money=0.0)
        self._limits.store.add_hit(line, run=self._limits.run)
        return reply

    def _pay(self, request: ChatRequest, key: str) -> ChatReply:
        limits, store = self._limits, self._limits.store
        bound = limits.bound(request)
        while (number := self._reserve(request, bound)) is None:
            time.sleep(POLL_SECONDS)  # another process asks for it at this moment
        if isinstance(number, ChatReply):
            return self._hit(number, request, key)
        started = time.monotonic()
        try:
            reply = self._inner.complete(request)
        except EndpointFault as fault:
            store.settle(number, self._fault_line(fault, request, key, bound, time.monotonic() - started))
            raise
        amounts = self._amounts(reply.usage, request, bound, billed=True)
        seconds = round(time.monotonic() - started, 4)
        line = self._line(request, key, outcome="paid", seconds=seconds, **amounts)
        store.settle(number, line, request=request, reply=reply)
        return reply

    def _reserve(self, request: ChatRequest, bound: Bound) -> int | ChatReply | None:
        try:
            return self._limits.store.reserve(request, purpose=self._purpose, bound=bound, caps=self._limits.caps)
        except CapSpent as error:
            self._limits.refused = str(error)
            raise

    def _fault_line(
        self, fault: EndpointFault, request: ChatRequest, key: str, bound: Bound, seconds: float
    ) -> Line:
        amounts = self._amounts(fault.usage, request, bound, billed=fault.billed)
        return self._line(request, key, outcome=fault.kind, seconds=round(seconds, 4), **amounts)

    def _amounts(self, usage: Usage | None, request: ChatRequest, bound: Bound, *, billed: bool) -> dict[str, Any]:
        """Tokens and money as far as they are known, and what of the reservation stays held."""
        money = self._limits.charge(usage, model=request.model) if billed else 0.0
        if not billed:
            return {"money": money}
        tokens = None
        if usage is not None and usage.tokens_in is not None and usage.tokens_out is not None:
            tokens = usage.tokens_in + usage.tokens_out
        return {
            **(usage or Usage()).model_dump(),
            "money": money,
            "held_tokens": bound.tokens if tokens is None else tokens,
            "held_money": bound.money if money is None else money,
        }

    def _line(self, request: ChatRequest, key: str, **fields: Any) -> Line:
        _, stage, iteration = self._purpose
        return Line(
            stage=stage, iteration=iteration, role=request.role, model=request.model, key=key, **fields
        )


def count_bytes(value: Any, *, picture: int) -> int:
    """UTF-8 bytes of all texts and keys in a message; a picture counts as so many."""
    if isinstance(value, str):
        return picture if value.startswith("data:image/") else len(value.encode("utf-8", errors="replace"))
    if isinstance(value, Mapping):
        return sum(count_bytes(k, picture=picture) + count_bytes(v, picture=picture) for k, v in value.items())
    if isinstance(value, list | tuple):
        return sum(count_bytes(inner, picture=picture) for inner in value)
    return 0 if value is None else len(str(value))
