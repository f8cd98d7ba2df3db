"""Putting a chat teacher together: sending, cache and caps, retries, one stack for each endpoint that roles use."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from errata.tools.errors import OperatorError
from errata.tools.teacher.chat import ChatTeacher
from errata.tools.teacher.chat_options import ROLES, ChatOptions, EndpointOptions, Keys
from errata.tools.teacher.embedding import EmbeddingSender, EndpointEmbedding
from errata.tools.teacher.endpoint import Endpoint, Role
from errata.tools.teacher.openai_endpoint import OpenAIEndpoint
from errata.tools.teacher.paid import PaidEndpoint, SpendLimits
from errata.tools.teacher.paid_store import PaidStore
from errata.tools.teacher.retrying import RetryingEndpoint


class ChatStack(contextlib.ExitStack):
    """Owns the store and the connections of a chat teacher; leave it to close them."""

    def __init__(self, options: ChatOptions, *, keys: Keys, path: Path, run: str) -> None:
        """`path`: the SQLite file of replies where the options name none; `run`: whose lines and caps these are."""
        super().__init__()
        self.options, self._keys = options, keys
        store = PaidStore(Path(options.store) if options.store else path)
        self.callback(store.close)
        self.limits = SpendLimits(
            store, run=run, caps=options.caps, prices=options.prices, image_tokens=options.image_tokens
        )
        self._stacks: dict[tuple[str, str | None], RetryingEndpoint] = {}

    def endpoint(self, options: EndpointOptions) -> RetryingEndpoint:
        """The stack in front of one address; roles that share address and key share it."""
        name = (options.base_url, options.key_env)
        if name not in self._stacks:
            retries = self.options.retries
            sender = OpenAIEndpoint(options, key=find_key(options, self._keys), concurrency=retries.concurrency)
            self.callback(sender.close)
            paid = PaidEndpoint(sender, limits=self.limits, concurrency=retries.concurrency)
            self._stacks[name] = RetryingEndpoint(paid, options=retries, skipped=self.options.skipped)
        return self._stacks[name]

    def embedding(self, options: EndpointOptions) -> EndpointEmbedding:
        """The embeddings of one address, paid from the same limits."""
        retries = self.options.retries
        sender = EmbeddingSender(options, key=find_key(options, self._keys), concurrency=retries.concurrency)
        self.callback(sender.close)
        paid = PaidEndpoint(sender, limits=self.limits, concurrency=retries.concurrency)
        return EndpointEmbedding(RetryingEndpoint(paid, options=retries), options=options)

    def teacher(self, *, families: Sequence[str] = ()) -> ChatTeacher:
        """The teacher; `families` as `ChatTeacher` has them."""
        endpoints: Mapping[Role, Endpoint] = {role: self.endpoint(self.options.endpoint(role)) for role in ROLES}
        return ChatTeacher(endpoints, options=self.options, families=families)


def find_key(options: EndpointOptions, keys: Keys) -> str | None:
    """The key that the options name; raises OperatorError where the environment holds none."""
    if options.key_env is None:
        return None
    if not keys.get(options.key_env):
        remedy = f"export {options.key_env}=..., or set key_env to null"
        raise OperatorError(
            "the environment variable is not set", where="key_env", value=options.key_env, remedy=remedy
        )
    return keys[options.key_env]
