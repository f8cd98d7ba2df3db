"""Settings of the chat teacher: which endpoint, how often it is asked again, what it costs, and where it stops."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, model_validator

from errata.tools.records import Record
from errata.tools.teacher.endpoint import OF_THE_REQUEST, FaultKind, ReplyMode, Role

OURS = frozenset(
    {
        *("model", "messages", "max_tokens", "max_completion_tokens", "temperature", "logprobs", "top_logprobs"),
        *("tools", "tool_choice", "response_format", "stream", "n", "prompt_logprobs", "continue_final_message"),
        "add_generation_prompt",
    }
)
"""Fields of a body that requests set themselves."""


def check_extra(extra: Mapping[str, Any]) -> None:
    """Raises ValueError for a field that requests set themselves."""
    if taken := sorted(OURS & set(extra)):
        raise ValueError(f"extra may not hold {taken[0]}, which requests set themselves; take it out")


class EndpointOptions(Record):
    """One OpenAI-compatible endpoint and a model behind it."""

    base_url: str
    """Up to and with the version, e.g. http://127.0.0.1:8000/v1."""
    model: str
    key_env: str | None = None
    """Name of the environment variable that holds the key; the key itself is never written down."""
    timeout_seconds: float = Field(default=120.0, gt=0)
    """From sending to the last byte, however slowly they drip."""
    requests_per_minute: float | None = Field(default=None, gt=0)
    max_tokens: int = Field(default=512, ge=1)
    """Of a reply, the thought aside."""
    thinking_tokens: int = Field(default=0, ge=0)
    """What a model that thinks may use for its thought in each request."""
    temperature: float = Field(default=0.0, ge=0, le=2)
    extra: dict[str, Any] = Field(default_factory=dict)
    """Further fields of every request's body, e.g. {chat_template_kwargs: {enable_thinking: false}}."""

    @model_validator(mode="after")
    def _extra_is_not_ours(self) -> EndpointOptions:
        check_extra(self.extra)
        return self


class RoleOptions(Record):
    """What one role has otherwise than the rest; None is as the rest."""

    base_url: str | None = None
    model: str | None = None
    key_env: str | None = None
    max_tokens: int | None = Field(default=None, ge=1)
    thinking_tokens: int | None = Field(default=None, ge=0)
    extra: dict[str, Any] | None = None
    """In the place of the shared one."""
    temperature: float | None = Field(default=None, ge=0, le=2)


class RetryOptions(Record):
    """How often and how long a failed request is tried again."""

    attempts: int = Field(default=6, ge=1, le=20)
    """Sendings of one request, the first included."""
    repairs: int = Field(default=2, ge=0, le=5)
    """How many of them say to the model what was wrong with its last reply."""
    wait_seconds: float = Field(default=1.0, gt=0)
    """Upper end of the first random wait; doubles with every attempt."""
    max_wait_seconds: float = Field(default=60.0, gt=0)
    """Longest wait; a server that asks for a longer one ends the stage."""
    wait_scale: float = Field(default=1.0, ge=0, le=1)
    """Factor on all waits, those that a server asks for included; below 1 for tests."""
    concurrency: int = Field(default=8, ge=1, le=256)
    structured: Literal["auto", "schema", "tool", "json"] = "auto"
    """How replies are brought into shape; `auto` begins with schema and steps down where the server refuses it."""


class Price(Record):
    """Money per million tokens."""

    tokens_in: float = Field(ge=0)
    tokens_out: float = Field(ge=0)
    tokens_cached: float | None = Field(default=None, ge=0)
    """Of prompt tokens that the server had cached; None is the full price."""


class PaidCaps(Record):
    """Hard limits of one run on what it sends; None is no limit."""

    money: float | None = Field(default=None, gt=0)
    calls: int | None = Field(default=None, ge=1)
    """Requests sent, repeated ones included."""
    tokens: int | None = Field(default=None, ge=1)
    """In and out together."""


class ChatOptions(EndpointOptions):
    """The whole branch `teacher.chat`."""

    roles: dict[Role, RoleOptions] = Field(default_factory=dict)
    """Of diagnose, tag, judge and propose what differs from the rest; `embed` is the endpoint of
    `retrieve.embedding=endpoint`.
    """
    retries: RetryOptions = RetryOptions()
    prices: dict[str, Price] = Field(default_factory=dict)
    """By model; money is unknown for a model without one."""
    caps: PaidCaps = PaidCaps()
    image_tokens: int = Field(default=2_000, ge=1)
    """The most that one picture can cost in tokens; only reserved beforehand, never billed."""
    images: bool = True
    """Whether pictures are shown when skills are asked for and samples judged; never in step location."""
    top_logprobs: int = Field(default=20, ge=1, le=20)
    unanswered: Literal["stop", "skip"] = "stop"
    """What a request without a usable reply does: end the stage, or leave its error unscored or untagged."""
    store: str | None = None
    """SQLite file of replies shared by runs; None keeps them in the run folder."""

    @model_validator(mode="after")
    def _deciding_has_its_own_branch(self) -> ChatOptions:
        if "decide" in self.roles:
            raise ValueError("the deciding model is no role of the teacher; give decide.model and decide.base_url")
        if "embed" in self.roles and self.roles["embed"].model is None:
            raise ValueError("roles.embed needs the model of the embeddings; give roles.embed.model")
        return self

    @model_validator(mode="after")
    def _money_needs_prices(self) -> ChatOptions:
        unpriced = sorted({self.endpoint(role).model for role in ROLES} - set(self.prices))
        if self.caps.money is not None and unpriced:
            raise ValueError(f"caps.money cannot be kept without a price of {unpriced[0]!r}; give it in prices")
        return self

    def endpoint(self, role: Role) -> EndpointOptions:
        """The endpoint of one role."""
        own = self.roles.get(role, RoleOptions()).model_dump(exclude_none=True)
        shared = {name: getattr(self, name) for name in EndpointOptions.model_fields}
        return EndpointOptions.model_validate({**shared, **own})

    @property
    def skipped(self) -> frozenset[FaultKind]:
        """Faults after which the rest of a batch goes on."""
        return OF_THE_REQUEST if self.unanswered == "skip" else frozenset()

    @property
    def key_names(self) -> tuple[str, ...]:
        """Environment variables that hold keys, sorted."""
        return tuple(sorted({name for role in ROLES if (name := self.endpoint(role).key_env)}))

    @property
    def first_mode(self) -> ReplyMode:
        """How a structured reply is asked for at first."""
        return "schema" if self.retries.structured == "auto" else self.retries.structured


ROLES: tuple[Role, ...] = ("diagnose", "tag", "judge", "propose")
"""Roles of the teacher's own requests."""
Keys = Mapping[str, str]
"""Keys by the name of their environment variable."""


def find_embedder(chat: ChatOptions | None, *, url: str | None, model: str | None) -> EndpointOptions:
    """The endpoint of embeddings: what `url` (one that asks for no key) and `model` leave open is as the role `embed`
    has it. Raises ValueError where neither says enough.
    """
    if url is not None and model is not None:
        return EndpointOptions(base_url=url, model=model)
    if chat is None or "embed" not in chat.roles:
        remedy = "give retrieve.embedding_url and retrieve.embedding_model, or teacher.chat.roles.embed"
        raise ValueError(f"the embedding endpoint has no address or model; {remedy}")
    role = chat.endpoint("embed")
    if url is not None:
        return role.model_copy(update={"base_url": url, "key_env": None})
    return role if model is None else role.model_copy(update={"model": model})
