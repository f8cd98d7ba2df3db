"""What an endpoint can do, found out by asking: a handful of tiny requests, each of which shows one capability."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from typing import Any, NamedTuple

from errata.tools.teacher.chat_asking import closed
from errata.tools.teacher.chat_options import EndpointOptions
from errata.tools.teacher.endpoint import ChatReply, ChatRequest, EndpointFault, ReplyMode
from errata.tools.teacher.letters import find_answer_position
from errata.tools.teacher.openai_endpoint import OpenAIEndpoint
from errata.tools.teacher.retrying import shape_request

ASK_LETTER = 'Which is the first letter of the alphabet?\nA | a\nB | b\nAnswer in the format "The answer is A/B".'
COLOUR = closed(colour={"type": "string", "enum": ["red", "green", "blue"]})
"""A choice and no free text: whether a weak model closes a string in time is not what is asked."""
ASK_COLOUR = 'Name one colour as a JSON object {"colour": "red" or "green" or "blue"}.'
ASK_PICTURE = 'What colour is the picture? Reply with a JSON object {"colour": "red" or "green" or "blue"}.'
SHAPES = ("schema (strict)", "tool calls", "plain JSON")
ROOM = 2048
"""Tokens for a thought while the model is tried."""
TURN_OFF: tuple[dict[str, Any], ...] = (
    {"chat_template_kwargs": {"enable_thinking": False}},  # Qwen3, GLM, SmolLM3, Hunyuan on vLLM and SGLang
    {"chat_template_kwargs": {"thinking": False}},  # DeepSeek V3.1, Granite
    {"reasoning_effort": "none"},
    {"reasoning_effort": "minimal"},
    {"reasoning": {"enabled": False}},  # OpenRouter
    {"thinking": {"type": "disabled"}},
)
"""What turns a thought off, by the documentation of servers and providers."""
SIDE = 32
"""Of the red square that is shown, in pixels."""


class Capability(NamedTuple):
    """One finding; `found` says what was seen or why not."""

    name: str
    able: bool
    found: str


def probe_endpoint(endpoint: OpenAIEndpoint, *, options: EndpointOptions, top_logprobs: int) -> list[Capability]:
    """At most sixteen requests. Raises EndpointFault for one that no request would survive (key, model, quota)."""
    thinking = _probe_thinking(endpoint, options)
    if thinking.tokens:  # the rest is asked with room for it
        options = options.model_copy(update={"thinking_tokens": max(options.thinking_tokens, ROOM)})
    text = _try(endpoint, _request(options, ASK_LETTER))
    found = [_say("text", text), Capability("thinking", not thinking.tokens, thinking.found)]
    if not isinstance(text, EndpointFault):
        found.append(_probe_logprobs(endpoint, options, top_logprobs))
        modes: tuple[ReplyMode, ...] = ("schema", "tool", "json")
        for mode, name in zip(modes, SHAPES, strict=True):
            request = _request(options, ASK_COLOUR, schema=COLOUR)
            found.append(_say(name, _try(endpoint, shape_request(request, mode=mode))))
        ways = [way for way in found if way.name in SHAPES]
        best: ReplyMode = next((mode for mode, way in zip(modes, ways, strict=True) if way.able), "json")
        picture = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{draw_red_square()}"}}
        content = [{"type": "text", "text": ASK_PICTURE}, picture]
        shown = shape_request(_request(options, content, schema=COLOUR), mode=best)
        found.append(_say("images", _try(endpoint, shown)))
        found.append(_probe_forced(endpoint, options))
    return [*found, _probe_length(endpoint)]


def _request(
    options: EndpointOptions, content: Any, *, schema: dict[str, Any] | None = None, top: int = 0
) -> ChatRequest:
    return ChatRequest(
        role="diagnose",
        model=options.model,
        messages=({"role": "user", "content": content},),
        reply_schema=schema,
        top_logprobs=top,
        max_tokens=64 if schema else 12,
        thinking_tokens=options.thinking_tokens,
        temperature=0.0,
        extra=options.extra,
    )


class Thinking(NamedTuple):
    """What was found out about the thought of a model; `tokens` is 0 where it has none."""

    tokens: int
    found: str


def _probe_thinking(endpoint: OpenAIEndpoint, options: EndpointOptions) -> Thinking:
    """Whether the model thinks before it replies, how long, and which field of the body turns that off."""
    roomy = options.model_copy(update={"thinking_tokens": max(options.thinking_tokens, ROOM)})
    tokens = _thought_tokens(_try(endpoint, _request(roomy, ASK_LETTER)))
    if not tokens:
        return Thinking(0, "no thought before a reply")
    told = f"this model thinks: about {tokens} tokens before one letter, in every answer of step location"
    for way in TURN_OFF:
        without = roomy.model_copy(update={"extra": {**options.extra, **way}})
        reply = _try(endpoint, _request(without, ASK_LETTER))
        if isinstance(reply, ChatReply) and not _thought_tokens(reply):
            return Thinking(tokens, f"{told}; turn it off with teacher.chat.extra: {json.dumps(way)}")
    allowance = f"teacher.chat.thinking_tokens: {max(ROOM, 4 * tokens)}"
    return Thinking(tokens, f"{told}; nothing that was tried turns it off, so give it room with {allowance}")


def _thought_tokens(reply: ChatReply | EndpointFault) -> int:
    """Tokens of a thought as the server counts them, else by four characters each; those of a reply cut inside one."""
    if isinstance(reply, EndpointFault):
        return (reply.usage.tokens_out or 0) if reply.usage and "thought" in str(reply) else 0
    return reply.usage.tokens_reasoning or len(reply.thought) // 4 or bool(reply.thought)


def _try(endpoint: OpenAIEndpoint, request: ChatRequest) -> ChatReply | EndpointFault:
    try:
        return endpoint.complete(request)
    except EndpointFault as fault:
        if fault.permanent:
            raise
        return fault


def _say(name: str, reply: ChatReply | EndpointFault) -> Capability:
    if isinstance(reply, EndpointFault):
        return Capability(name, False, str(reply))
    return Capability(name, True, " ".join((reply.text or str(reply.parsed)).split())[:80])


def _probe_logprobs(endpoint: OpenAIEndpoint, options: EndpointOptions, most: int) -> Capability:
    """How many logprobs come: fewer than asked for, or none, or an error for so many."""
    reply: ChatReply | EndpointFault = EndpointFault("bad_reply", "none came")
    for count in sorted({most, min(most, 5)}, reverse=True):
        reply = _try(endpoint, _request(options, ASK_LETTER, top=count))
        if not isinstance(reply, EndpointFault):
            place = find_answer_position(reply.top, ("A", "B"))
            where = "no letter where the answer stands" if place is None else f"a letter at position {place}"
            return Capability("logprobs", True, f"{max(len(p) for p in reply.top)} of {count} asked for; {where}")
    return _say("logprobs", reply)


def _probe_forced(endpoint: OpenAIEndpoint, options: EndpointOptions) -> Capability:
    """Whether a letter that is missing from the top list can be read exactly."""
    asked = _request(options, ASK_LETTER)
    messages = (*asked.messages, {"role": "assistant", "content": "The answer is B"})
    reply = _try(endpoint, asked.model_copy(update={"messages": messages, "max_tokens": 1, "forced": True}))
    if isinstance(reply, EndpointFault) or reply.forced is None:
        result = str(reply) if isinstance(reply, EndpointFault) else "the server does not tell its prompt's tokens"
        return Capability("forced letters", False, result)
    return Capability("forced letters", True, f"the letter {reply.forced.token.strip()} at {reply.forced.logprob:.2f}")


def _probe_length(endpoint: OpenAIEndpoint) -> Capability:
    try:
        length = endpoint.context_length()
    except EndpointFault as fault:
        return Capability("context length", False, str(fault))
    return Capability("context length", length is not None, f"{length} tokens" if length else "the server does not say")


def draw_red_square() -> str:
    """A PNG as base64."""
    rows = (b"\0" + b"\xff\0\0" * SIDE) * SIDE

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", SIDE, SIDE, 8, 2, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return base64.b64encode(png).decode("ascii")
