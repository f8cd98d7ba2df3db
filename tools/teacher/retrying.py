"""Trying again, within bounds: waits with jitter, repair requests, and steps down where a server lacks a capability.

Each attempt passes through the endpoint behind, so that a paid store sees, reserves and counts every sending. What
stays without a usable reply is a fault; it is never answered by another model or by a default.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import tenacity

from errata.tools.errors import BudgetSpent, OperatorError
from errata.tools.teacher.chat_options import RetryOptions
from errata.tools.teacher.endpoint import ChatReply, ChatRequest, Endpoint, EndpointFault, FaultKind, ReplyMode, Scoped

AGAIN: frozenset[FaultKind] = frozenset(
    {"rate_limited", "server", "timeout", "connection", "bad_reply", "refused", "filtered"}
)
"""Faults after which a request is sent again; those of a filter or a refusal are now and then accidents."""
LADDER: tuple[ReplyMode, ...] = ("schema", "tool", "json")
UNSUPPORTED = re.compile(r"response_format|json_schema|guided|structured|schema|tool", re.IGNORECASE)
"""How a server words that it lacks a capability."""


class RetryingEndpoint:
    """Satisfies `Endpoint` around another one."""

    def __init__(
        self,
        inner: Endpoint,
        *,
        options: RetryOptions,
        skipped: frozenset[FaultKind] = frozenset(),
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`skipped`: faults that `complete_all` hands back in their place; any other one ends the batch."""
        self._inner, self._options, self._skipped, self._sleep = inner, options, skipped, sleep
        self._rungs = [0 if options.structured == "auto" else LADDER.index(options.structured)]

    @property
    def mode(self) -> ReplyMode:
        """How structured replies are asked for now: what this server was found to be capable of."""
        return LADDER[self._rungs[0]]

    def scoped(self, stage: str, *, iteration: int) -> RetryingEndpoint:
        """The same retries, and all that it learns, with another place in the ledger."""
        inner = self._inner.scoped(stage, iteration=iteration) if isinstance(self._inner, Scoped) else self._inner
        twin = RetryingEndpoint(inner, options=self._options, skipped=self._skipped, sleep=self._sleep)
        twin._rungs = self._rungs
        return twin

    def complete(self, request: ChatRequest) -> ChatReply:
        """The reply; raises the last attempt's EndpointFault."""
        while True:
            rung = self._rungs[0]
            try:
                return self._persist(request, mode=LADDER[rung])
            except EndpointFault as fault:
                if not self._steps_down(fault, request):
                    raise
                self._rungs[0] = max(self._rungs[0], rung + 1)

    def complete_all(self, requests: Sequence[ChatRequest]) -> list[ChatReply | EndpointFault]:
        """See `Endpoint`."""
        return complete_each(
            self.complete, requests, workers=self._options.concurrency, returned=self._skipped
        )

    def _steps_down(self, fault: EndpointFault, request: ChatRequest) -> bool:
        open_ = self._options.structured == "auto" and request.reply_schema is not None
        lacks = fault.kind == "bad_request" and UNSUPPORTED.search(str(fault)) is not None
        return open_ and lacks and self._rungs[0] < len(LADDER) - 1

    def _persist(self, request: ChatRequest, *, mode: ReplyMode) -> ChatReply:
        repairs: list[EndpointFault] = []

        def attempt() -> ChatReply:
            try:
                return self._inner.complete(shape_request(request, mode=mode, wrong=repairs[-1:]))
            except EndpointFault as fault:
                if fault.kind == "bad_reply" and fault.said and len(repairs) < self._options.repairs:
                    repairs.append(fault)
                raise

        retrying = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(self._options.attempts),
            wait=self._wait,
            retry=tenacity.retry_if_exception(self._worth_trying),
            sleep=self._sleep,
            reraise=True,
        )
        return retrying(attempt)

    def _worth_trying(self, error: BaseException) -> bool:
        if not isinstance(error, EndpointFault) or error.kind not in AGAIN:
            return False
        return error.retry_after is None or error.retry_after <= self._options.max_wait_seconds

    def _wait(self, state: tenacity.RetryCallState) -> float:
        """Random up to a bound that doubles, and no less than the server asks for."""
        options, error = self._options, state.outcome.exception() if state.outcome else None
        jitter = tenacity.wait_random_exponential(multiplier=options.wait_seconds, max=options.max_wait_seconds)
        asked = error.retry_after if isinstance(error, EndpointFault) and error.retry_after else 0.0
        if asked:  # a little later than asked, and not all at once
            asked += min(jitter(state), options.wait_seconds)
        return max(asked, jitter(state)) * options.wait_scale


def shape_request(
    request: ChatRequest, *, mode: ReplyMode, wrong: Sequence[EndpointFault] = ()
) -> ChatRequest:
    """The request as it is sent: the mode of its reply, and what was wrong with the last one."""
    extra: list[dict[str, object]] = []
    if request.reply_schema is not None and mode == "json":
        form = json.dumps(request.reply_schema, sort_keys=True)
        extra.append({"role": "user", "content": f"Reply with one JSON object alone that fits this schema:\n{form}"})
    for fault in wrong:
        extra.append({"role": "assistant", "content": fault.said})
        what = f"This cannot be used: {fault}. Reply again as asked, and nothing else."
        extra.append({"role": "user", "content": what})
    if mode == request.mode and not extra:
        return request
    return request.model_copy(update={"mode": mode, "repair": tuple(extra)})


def complete_each(
    complete: Callable[[ChatRequest], ChatReply],
    requests: Sequence[ChatRequest],
    *,
    workers: int,
    returned: frozenset[FaultKind] = frozenset(),
) -> list[ChatReply | EndpointFault]:
    """Replies in order from `workers` threads; faults of the kinds `returned` stand in their place.

    Any other error ends the batch: what is under way is finished, and so kept by a store; nothing more is sent.
    """
    ending = threading.Event()

    def one(request: ChatRequest) -> ChatReply | EndpointFault | None:
        if ending.is_set():
            return None
        try:
            return complete(request)
        except EndpointFault as fault:
            if fault.kind in returned:
                return fault
            ending.set()
            raise
        except (BudgetSpent, OperatorError):
            ending.set()
            raise

    pool = ThreadPoolExecutor(max_workers=max(1, min(workers, len(requests))))
    try:
        futures = [pool.submit(one, request) for request in requests]
        replies = [future.result() for future in futures]
    finally:
        ending.set()
        pool.shutdown(cancel_futures=True)
    return [reply for reply in replies if reply is not None]
