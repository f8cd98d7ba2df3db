"""From a prompt file to checked replies: what every operation of the chat teacher has in common.

A prompt is rendered, sent to the endpoint of its role with the schema of its reply, and read. A request that stays
without a usable reply ends the stage with one line, or gives the value that stands for "skipped".
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from errata.prompts import prompt_digest, render_messages
from errata.tools.errors import OperatorError
from errata.tools.pictures import PictureFault, open_picture
from errata.tools.records import ImageRef, Problem
from errata.tools.teacher.chat_options import ChatOptions, EndpointOptions
from errata.tools.teacher.endpoint import ChatReply, ChatRequest, Endpoint, EndpointFault, FaultKind, Role, Scoped

T = TypeVar("T")
MIME = {b"\x89PNG": "png", b"\xff\xd8\xff": "jpeg", b"GIF8": "gif", b"RIFF": "webp"}
REMEDIES: dict[FaultKind, str] = {
    "rate_limited": "wait, or lower teacher.chat.retries.concurrency or set requests_per_minute",
    "server": "see whether the endpoint is well",
    "timeout": "see whether the endpoint is well, or raise teacher.chat.timeout_seconds",
    "connection": "see that base_url is right and the endpoint runs",
    "bad_reply": "see what it can do with: errata doctor --teacher CONFIG",
    "refused": "set teacher.chat.unanswered to skip to go on without such questions",
    "filtered": "set teacher.chat.unanswered to skip to go on without such questions",
    "too_long": "serve a longer context, or set teacher.chat.unanswered to skip",
    "bad_request": "see what it can do with: errata doctor --teacher CONFIG",
    "key": "set the environment variable that key_env names to a valid key",
    "no_model": "name a model that the endpoint has",
    "quota": "pay the provider, or use another endpoint",
}


class Prompt(NamedTuple):
    """A prompt file, the role that asks it, and the schema of its reply."""

    name: str
    role: Role
    schema: dict[str, Any] | None
    max_tokens: int | None = None
    """Of the reply; None is what the settings say."""
    logprobs: bool = False
    """Whether the top list of every token is asked for."""


def closed(**fields: dict[str, Any]) -> dict[str, Any]:
    """A JSON schema of an object with exactly these fields."""
    return {"type": "object", "properties": fields, "required": list(fields), "additionalProperties": False}


class Asker:
    """The endpoints of a teacher by role, and how they are asked."""

    def __init__(self, endpoints: Mapping[Role, Endpoint], *, options: ChatOptions) -> None:
        self.options, self._endpoints = options, dict(endpoints)

    def scoped(self, stage: str, *, iteration: int) -> Asker:
        """The same, whose requests are entered under this stage."""
        endpoints: dict[Role, Endpoint] = {
            role: e.scoped(stage, iteration=iteration) if isinstance(e, Scoped) else e
            for role, e in self._endpoints.items()
        }
        return Asker(endpoints, options=self.options)

    def request(
        self, prompt: Prompt, *, problem: Problem | None = None, picture: bool = True, **values: object
    ) -> ChatRequest:
        """The prompt with its placeholders filled; a `problem` gives question and choices, and its pictures where
        `picture` and the settings show them.
        """
        if problem is not None:
            choices = list(zip(problem.letters, problem.choices, strict=True))
            values |= {"question": problem.question, "choices": choices}
        messages: list[dict[str, Any]] = list(render_messages(prompt.name, **values))
        if problem is not None and problem.images and picture and self.options.images:
            pictures = [show_picture(image) for image in problem.images]
            messages[-1] = {"role": "user", "content": [{"type": "text", "text": messages[-1]["content"]}, *pictures]}
        options = self.options.endpoint(prompt.role)
        return ChatRequest(
            role=prompt.role,
            model=options.model,
            messages=tuple(messages),
            reply_schema=prompt.schema,
            top_logprobs=self.options.top_logprobs if prompt.logprobs else 0,
            max_tokens=options.max_tokens if prompt.max_tokens is None else prompt.max_tokens,
            thinking_tokens=options.thinking_tokens,
            temperature=options.temperature,
            extra=options.extra,
            prompt_version=prompt_digest(prompt.name),
        )

    def send(self, role: Role, requests: Sequence[ChatRequest]) -> list[ChatReply | EndpointFault]:
        """Replies in order; raises the EndpointFault that the settings do not skip, and BudgetSpent."""
        return self._endpoints[role].complete_all(requests) if requests else []

    def ask(self, role: Role, requests: Sequence[ChatRequest]) -> list[ChatReply | EndpointFault]:
        """As `send`, with OperatorError for the fault that ends the stage."""
        try:
            return self.send(role, requests)
        except EndpointFault as fault:
            raise self.stop(fault, role=role) from None

    def read(
        self, role: Role, requests: Sequence[ChatRequest], read: Callable[[dict[str, Any]], T], skipped: T
    ) -> list[T]:
        """What `read` makes of each reply's object; `skipped` where a request has none."""
        replies = self.ask(role, requests)
        return [
            skipped if isinstance(reply, EndpointFault) or reply.parsed is None else read(reply.parsed)
            for reply in replies
        ]

    def stop(self, fault: EndpointFault, *, role: Role) -> OperatorError:
        """The line with which this fault ends the stage."""
        return stop_line(fault, role=role, endpoint=self.options.endpoint(role))


def stop_line(
    fault: EndpointFault, *, role: Role, endpoint: EndpointOptions, where: str = "teacher.chat"
) -> OperatorError:
    """What a person reads when an endpoint's fault ends the stage."""
    what = f"{fault.kind} from {endpoint.model} at {endpoint.base_url}: {fault}"
    return OperatorError(what, where=f"{where} ({role})", remedy=REMEDIES[fault.kind])


def show_picture(image: ImageRef) -> dict[str, Any]:
    """The picture as a data URL: its own bytes, or a PNG of what is shown where it has to be converted for that."""
    try:
        data = Path(image.path).read_bytes()
        opened = open_picture(io.BytesIO(data))
    except OSError as error:
        raise OperatorError(f"the picture cannot be read ({error.strerror})", where=image.path) from None
    except PictureFault as fault:
        raise OperatorError(fault.what, where=image.path, value=fault.value or None, remedy=fault.remedy) from None
    if opened.converted:
        buffer = io.BytesIO()
        opened.image.save(buffer, "PNG")
        data = buffer.getvalue()
    kind = next((name for start, name in MIME.items() if data.startswith(start)), "png")
    url = f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"
    return {"type": "image_url", "image_url": {"url": url}}
