"""One request to a language model and its reply, as records, and what can go wrong between them.

The chat teacher builds requests, the paid store keeps replies by their content and guards the caps, and an endpoint
sends them. Each wraps the next and has the same `complete`, so that none knows who stands behind it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Protocol, runtime_checkable

from pydantic import Field

from errata.tools.records import Record, digest

Role = Literal["decide", "diagnose", "tag", "judge", "propose", "embed"]
FaultKind = Literal[
    "rate_limited",
    "server",
    "timeout",
    "connection",
    "bad_reply",
    "refused",
    "filtered",
    "too_long",
    "bad_request",
    "key",
    "no_model",
    "quota",
]
PERMANENT: frozenset[FaultKind] = frozenset({"key", "no_model", "quota"})
"""Faults that no later request can be spared: the stage stops with one line."""
OF_THE_REQUEST: frozenset[FaultKind] = frozenset({"bad_reply", "refused", "filtered", "too_long"})
"""Faults that say something about this request alone: others may still be answered."""
ReplyMode = Literal["schema", "tool", "json"]
"""How a reply that meets a schema is asked for: decoding by schema, a forced tool call, or plain JSON."""


class ChatRequest(Record):
    """All that decides the reply; `key` is its content address, which leaves out how the reply is coaxed."""

    role: Role
    model: str
    messages: tuple[dict[str, Any], ...]
    """In the OpenAI format, pictures as data URLs."""
    reply_schema: dict[str, Any] | None = None
    """JSON schema that the reply has to meet."""
    top_logprobs: int = Field(default=0, ge=0, le=20)
    max_tokens: int = Field(default=512, ge=1)
    thinking_tokens: int = Field(default=0, ge=0)
    """What a model that thinks may use for its thought, beside `max_tokens` for its reply."""
    temperature: float = Field(default=0.0, ge=0, le=2)
    extra: dict[str, Any] = Field(default_factory=dict)
    """Further fields of the body, as the endpoint's settings give them."""
    prompt_version: str = ""
    """Digest of the prompt files that the messages were rendered from."""
    tools: tuple[dict[str, Any], ...] = ()
    """Tools that the model may call, in the OpenAI format."""
    forced: bool = False
    """The last message is the beginning of the reply, and the probability of its last token is what is asked for."""
    mode: ReplyMode = "schema"
    """How `reply_schema` is asked for; not part of the key."""
    repair: tuple[dict[str, Any], ...] = ()
    """Messages after `messages` that say what was wrong with an earlier reply; not part of the key."""

    @property
    def key(self) -> str:
        """Equal requests have equal keys on every machine."""
        unsaid = {"mode", "repair"} if self.forced else {"mode", "repair", "forced"}
        unsaid |= {name for name in ("extra", "thinking_tokens") if not getattr(self, name)}
        return digest("chat", self.model_dump(mode="json", exclude=unsaid), length=32)


    @property
    def limit(self) -> int:
        """Tokens that may come, thought and reply together."""
        return self.max_tokens + self.thinking_tokens


class Usage(Record):
    """Tokens of one exchange as the server reports them; None where it does not."""

    tokens_in: int | None = None
    tokens_out: int | None = None
    tokens_cached: int | None = None
    tokens_reasoning: int | None = None
    """Of `tokens_out` those of a thought."""


class TokenChoice(Record):
    """One token of the top list at one position."""

    token: str
    logprob: float


class ChatReply(Record):
    """What came back."""

    text: str
    thought: str = ""
    """What a reasoning model thought before it; `text` and `top` are without it."""
    parsed: dict[str, Any] | None = None
    """The object that meets `reply_schema`."""
    top: tuple[tuple[TokenChoice, ...], ...] = ()
    """Per generated position the chosen token and then the others of its top list, when logprobs were asked for."""
    forced: TokenChoice | None = None
    """The last token of a forced beginning; None if the server does not report it."""
    tool_calls: tuple[dict[str, Any], ...] = ()
    """Calls of `tools` as name, args (parsed) and id."""
    broken_calls: tuple[dict[str, Any], ...] = ()
    """Calls whose arguments are not JSON: name, args (text), id and error."""
    finish_reason: str = ""
    model: str = ""
    """As the server names it."""
    usage: Usage = Usage()


class EndpointFault(Exception):
    """A request that has no usable reply after all bounded retries; one line in `str`."""

    def __init__(
        self,
        kind: FaultKind,
        text: str,
        *,
        retry_after: float | None = None,
        usage: Usage | None = None,
        said: str = "",
        billed: bool = False,
    ) -> None:
        """`usage`: tokens of the useless reply where the server told them; `said`: its beginning.

        `billed`: whether the request may cost money although it failed (a reply came, or nobody knows).
        """
        super().__init__(" ".join(text.split())[:400])
        self.kind, self.retry_after = kind, retry_after
        self.usage, self.said, self.billed = usage, said, billed

    @property
    def permanent(self) -> bool:
        """Whether every further request would fail alike."""
        return self.kind in PERMANENT


class Endpoint(Protocol):
    """Whoever answers requests; must be safe for threads."""

    def complete(self, request: ChatRequest) -> ChatReply:
        """The reply; raises EndpointFault, or BudgetSpent before a cap would be passed."""
        ...

    def complete_all(self, requests: Sequence[ChatRequest]) -> list[ChatReply | EndpointFault]:
        """Replies in order, with bounded concurrency; a permanent fault or BudgetSpent is raised."""
        ...


@runtime_checkable
class Scoped(Protocol):
    """An endpoint with a ledger behind it."""

    def scoped(self, stage: str, *, iteration: int) -> Endpoint:
        """The same endpoint, whose requests are entered under this stage."""
        ...
