"""One sending to an OpenAI-compatible endpoint, through langchain-openai's ChatOpenAI.

Nothing is tried again here and nothing is remembered: a request becomes a reply that has been checked against what was
asked for (schema, logprobs, length), or an `EndpointFault` of a known kind. Retries, cache and caps stand before it.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from errata.tools.teacher.chat_options import EndpointOptions
from errata.tools.teacher.endpoint import ChatReply, ChatRequest, EndpointFault
from errata.tools.teacher.faults import classify_fault
from errata.tools.teacher.parse_reply import read_forced, read_reply, wire_arguments
from errata.tools.teacher.retrying import complete_each

T = TypeVar("T")


class OpenAIEndpoint:
    """Satisfies `Endpoint`; safe for threads. Its connections live in a thread of their own until `close`."""

    def __init__(self, options: EndpointOptions, *, key: str | None = None, concurrency: int = 8) -> None:
        """`key` is the key itself, as the command line read it; None for a server that asks for none."""
        import openai
        from langchain_core.rate_limiters import InMemoryRateLimiter
        from pydantic import SecretStr

        from errata.tools.teacher.reasoning_client import ReasoningChat

        pace = options.requests_per_minute
        self._limiter = InMemoryRateLimiter(requests_per_second=pace / 60, max_bucket_size=1) if pace else None
        arguments: dict[str, Any] = {
            "model": options.model,
            "base_url": options.base_url,
            "api_key": SecretStr(key or "none"),
            "max_retries": 0,
            "timeout": options.timeout_seconds,
            "use_responses_api": False,
            "cache": False,
            # Its own client: the library's default one is shared by all instances, and closed for all by the first.
            "http_async_client": openai.DefaultAsyncHttpxClient(timeout=options.timeout_seconds),
        }
        self.options, self._concurrency = options, concurrency
        self._model = ReasoningChat(**arguments)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="endpoint", daemon=True)
        self._thread.start()

    def complete(self, request: ChatRequest) -> ChatReply:
        """One sending; raises EndpointFault. The wait for its turn is no part of the deadline."""
        if self._limiter is not None:
            self._limiter.acquire()
        message = self._run(self._send(request))
        return read_forced(message) if request.forced else read_reply(message, request)

    def complete_all(self, requests: Sequence[ChatRequest]) -> list[ChatReply | EndpointFault]:
        """See `Endpoint`; every request is sent once."""
        return complete_each(self.complete, requests, workers=self._concurrency)

    def context_length(self) -> int | None:
        """Tokens that the model takes, where the server's list of models says so (vLLM does)."""
        listed = self._run(self._list_models())
        found = [getattr(model, "max_model_len", None) for model in listed if model.id == self.options.model]
        return int(found[0]) if found and isinstance(found[0], int) else None

    def close(self) -> None:
        """Close the connections; the endpoint cannot be used after."""
        self._run(self._model.root_async_client.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _list_models(self) -> list[Any]:
        import openai

        try:
            async with asyncio.timeout(self.options.timeout_seconds):
                return list((await self._model.root_async_client.models.list()).data)
        except (openai.OpenAIError, TimeoutError, ValueError, TypeError) as error:
            raise classify_fault(error, seconds=self.options.timeout_seconds) from None

    async def _send(self, request: ChatRequest) -> Any:
        """The message as langchain gives it, or, since that drops what is said of the prompt, the client's record.

        What langchain raises over an odd body is of no type of its own.
        """
        import openai
        from langsmith import tracing_context

        try:
            with tracing_context(enabled=False):
                async with asyncio.timeout(self.options.timeout_seconds):
                    messages: list[Any] = [*request.messages, *request.repair]
                    if request.forced:
                        client = self._model.root_async_client.chat.completions
                        summary = await client.create(messages=messages, **wire_arguments(request))
                        if not isinstance(summary, openai.BaseModel):
                            raise TypeError("the body is not an object")
                        return summary
                    return await self._model.ainvoke(messages, **wire_arguments(request))
        except (openai.OpenAIError, TimeoutError, ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
            raise classify_fault(error, seconds=self.options.timeout_seconds) from error
