"""Embeddings from an OpenAI-compatible endpoint, behind the same store, ledger, caps and retries as a chat model.

A request of the role `embed` carries one text per message; its reply's text is the vectors, float32 in base64. So a
batch of texts that was paid for is never sent again, and one that might pass a cap is not sent at all.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from errata.tools.teacher.chat_asking import stop_line
from errata.tools.teacher.chat_options import EndpointOptions
from errata.tools.teacher.endpoint import ChatReply, ChatRequest, Endpoint, EndpointFault, Scoped, Usage
from errata.tools.teacher.faults import classify_fault
from errata.tools.teacher.retrying import complete_each

if TYPE_CHECKING:
    from errata.tools.vectors import Vectors

BATCH = 64
"""Texts of one request."""


class EmbeddingSender:
    """Satisfies `Endpoint` for requests of the role `embed`: POST base_url/embeddings, once each."""

    def __init__(self, options: EndpointOptions, *, key: str | None = None, concurrency: int = 8) -> None:
        import openai

        self._options, self._concurrency = options, concurrency
        seconds = options.timeout_seconds
        self._client = openai.OpenAI(
            base_url=options.base_url, api_key=key or "none", max_retries=0, timeout=seconds
        )

    def complete(self, request: ChatRequest) -> ChatReply:
        """The vectors of the texts in their order; raises EndpointFault."""
        import openai

        texts = [str(message["content"]) for message in request.messages]
        try:
            result = self._client.embeddings.create(model=request.model, input=texts, encoding_format="float")
            rows = [row.embedding for row in sorted(result.data, key=lambda row: row.index)]
        except (openai.OpenAIError, ValueError, TypeError, AttributeError) as error:
            raise classify_fault(error, seconds=self._options.timeout_seconds) from error
        usage = Usage(tokens_in=result.usage.prompt_tokens, tokens_out=0) if result.usage else Usage()
        if len(rows) != len(texts) or len({len(row) for row in rows}) > 1:
            what = f"{len(rows)} vectors came for {len(texts)} texts, or of several lengths"
            raise EndpointFault("bad_request", what, usage=usage, billed=True)
        return ChatReply(text=pack_vectors(rows), usage=usage, model=result.model or "")

    def complete_all(self, requests: Sequence[ChatRequest]) -> list[ChatReply | EndpointFault]:
        """See `Endpoint`; every request is sent once."""
        return complete_each(self.complete, requests, workers=self._concurrency)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


class EndpointEmbedding:
    """Satisfies `tools.retrieve.embeddings.Embedding` over any endpoint that takes the role `embed`."""

    def __init__(self, endpoint: Endpoint, *, options: EndpointOptions, where: str = "teacher.chat") -> None:
        """`where`: what a person reads as the place of a fault."""
        self.name = f"endpoint:{options.model}"
        self._endpoint, self._options, self._where = endpoint, options, where

    def scoped(self, stage: str) -> EndpointEmbedding:
        """The same, whose requests are entered under this stage (of all iterations together)."""
        inner = self._endpoint
        scoped = inner.scoped(stage, iteration=0) if isinstance(inner, Scoped) else inner
        return EndpointEmbedding(scoped, options=self._options, where=self._where)

    def __call__(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors in the order of the texts; raises OperatorError where the endpoint does not give them, and
        BudgetSpent before a cap could be passed.
        """
        import numpy as np

        from errata.tools.vectors import make_unit

        parts = [texts[start : start + BATCH] for start in range(0, len(texts), BATCH)]
        try:
            replies = self._endpoint.complete_all([self._request(part) for part in parts])
        except EndpointFault as fault:
            raise stop_line(fault, role="embed", endpoint=self._options, where=self._where) from None
        found = []
        for part, reply in zip(parts, replies, strict=True):
            if isinstance(reply, EndpointFault):
                raise stop_line(reply, role="embed", endpoint=self._options, where=self._where)
            found.append(read_vectors(reply.text, rows=len(part)))
        return make_unit(np.concatenate(found)) if found else np.zeros((0, 1), np.float32)

    def _request(self, texts: Sequence[str]) -> ChatRequest:
        shown: tuple[dict[str, Any], ...] = tuple({"role": "user", "content": text} for text in texts)
        return ChatRequest(role="embed", model=self._options.model, messages=shown, max_tokens=1)


def pack_vectors(rows: Sequence[Sequence[float]]) -> str:
    """Rows of equal length as base64 of float32, little-endian."""
    import numpy as np

    return base64.b64encode(np.array(rows, dtype="<f4").tobytes()).decode("ascii")


def read_vectors(text: str, *, rows: int) -> Vectors:
    """The inverse: float32[rows, size]."""
    import numpy as np

    return np.frombuffer(base64.b64decode(text), dtype="<f4").reshape(rows, -1).astype(np.float32)


def open_embedding(options: EndpointOptions, *, key: str | None = None) -> EndpointEmbedding:
    """Patient, and neither kept nor counted: for commands outside of a run."""
    from errata.tools.teacher.chat_options import RetryOptions
    from errata.tools.teacher.retrying import RetryingEndpoint

    retries = RetryOptions()
    sender = EmbeddingSender(options, key=key, concurrency=retries.concurrency)
    return EndpointEmbedding(RetryingEndpoint(sender, options=retries), options=options, where="embedding")
