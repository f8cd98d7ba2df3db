"""From a request to the arguments of a sending, and from a message to a checked reply."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from errata.tools.teacher.endpoint import ChatReply, ChatRequest, EndpointFault, TokenChoice, Usage
from errata.tools.thought import part_thought

TOOL = "reply"
"""Name of the tool whose call carries a structured reply."""
BOUNDS = ("minLength", "maxLength", "minItems", "maxItems", "minimum", "maximum", "pattern")
"""Keywords that strict schemas of providers refuse; replies are held to them here."""
REASONING = "reasoning"
"""Under this name our client keeps what a server hands over as the thought."""
THINKS = "raise thinking_tokens, or turn the thought off with extra (errata doctor --teacher says how)"
SURE = 1.02
"""Probabilities of one position sum to at most 1, and rounding."""
LONGER = 16
"""Tokens over `max_tokens` that a server may count otherwise than we do."""


def wire_arguments(request: ChatRequest) -> dict[str, Any]:
    """Keyword arguments of ChatOpenAI for one request, apart from its messages."""
    arguments: dict[str, Any] = {
        "model": request.model,
        "max_tokens": request.limit,
        "temperature": request.temperature,
    }
    if request.extra:
        arguments["extra_body"] = dict(request.extra)
    if request.forced:
        more = {**request.extra, "continue_final_message": True, "add_generation_prompt": False, "prompt_logprobs": 0}
        return arguments | {"extra_body": more}
    if request.top_logprobs:
        arguments |= {"logprobs": True, "top_logprobs": request.top_logprobs}
    if request.tools:
        arguments["tools"] = list(request.tools)
    schema = request.reply_schema
    if schema is None or request.mode == "json":
        return arguments
    if request.mode == "tool":
        # Without `strict` a vLLM lets the model write whatever it likes where the arguments stand.
        form = strict_schema(schema)
        function = {"name": TOOL, "description": "Give the reply.", "strict": True, "parameters": form}
        choice = {"type": "function", "function": {"name": TOOL}}
        return arguments | {"tools": [{"type": "function", "function": function}], "tool_choice": choice}
    # As response_format the library would parse the reply itself, and drop what does not parse.
    form = {"name": TOOL, "strict": True, "schema": strict_schema(schema)}
    shape = {"response_format": {"type": "json_schema", "json_schema": form}}
    return arguments | {"extra_body": {**request.extra, **shape}}


def strict_schema(schema: Any) -> Any:
    """The schema without the keywords that strict decoding may refuse."""
    if isinstance(schema, Mapping):
        return {key: strict_schema(value) for key, value in schema.items() if key not in BOUNDS}
    return [strict_schema(value) for value in schema] if isinstance(schema, list) else schema


def read_reply(message: Any, request: ChatRequest) -> ChatReply:
    """The reply in a langchain message; raises EndpointFault for one that is not what was asked for."""
    usage = read_usage(message)
    about = message.response_metadata
    finish = str(about.get("finish_reason") or "")
    whole = message.content if isinstance(message.content, str) else ""
    parted = part_thought(whole)
    apart = str(message.additional_kwargs.get(REASONING) or "")
    text, thought = whole[parted.said_from :].strip() if parted.thought else whole, apart or parted.thought
    refusal = message.additional_kwargs.get("refusal")

    def fault(kind: Any, what: str) -> EndpointFault:
        return EndpointFault(kind, what, usage=usage, said=text[:2000], billed=True)

    if refusal:
        raise fault("refused", f"the model refused: {str(refusal)[:200]}")
    if finish == "content_filter":
        raise fault("filtered", "the provider's filter cut the reply off")
    if usage.tokens_out is not None and usage.tokens_out > request.limit + LONGER:
        raise fault("bad_reply", f"{usage.tokens_out} tokens came where {request.limit} were asked for")
    if not parted.finished or (thought and not text.strip() and not message.tool_calls):
        raise fault("bad_reply", f"the reply ends inside the model's thought; {THINKS}")
    top = read_top(about.get("logprobs"))
    if request.top_logprobs and not top:
        raise fault("bad_reply", "the reply has no logprobs, which step location needs")
    if wrong := find_wrong_logprobs(top):
        raise fault("bad_reply", wrong)
    if thought and top:
        top = cut_thought(top, said=text)
        if not top:
            raise fault("bad_reply", f"the logprobs do not show where the thought ends; {THINKS}")
    calls = tuple({"name": c["name"], "args": c["args"], "id": c["id"]} for c in message.tool_calls)
    parsed = None
    if request.reply_schema is not None:
        try:
            parsed = read_object(text, calls=calls, schema=request.reply_schema)
        except ValueError as error:
            cut = " (cut off at the limit of tokens)" if finish == "length" else ""
            raise fault("bad_reply", f"{error}{cut}") from None
    elif not text.strip() and not (request.tools and (calls or message.invalid_tool_calls)):
        raise fault("bad_reply", "the reply is empty")
    broken = tuple({k: c[k] for k in ("name", "args", "id", "error")} for c in message.invalid_tool_calls)
    return ChatReply(
        text=text,
        thought=thought,
        parsed=parsed,
        top=top,
        tool_calls=calls if request.tools else (),
        broken_calls=broken if request.tools else (),
        finish_reason=finish,
        model=str(about.get("model_name") or ""),
        usage=usage,
    )


def read_forced(completion: Any) -> ChatReply:
    """The reply to a request with `forced`, from the OpenAI client's record; `forced` is None where the server does
    not say the probabilities of its prompt's tokens (vLLM: one object per token, the first null, by token id).
    """
    rows, used = completion.model_dump().get("prompt_logprobs"), completion.usage
    last = rows[-1] if isinstance(rows, list) and rows else None
    token = next(iter(last.values()), None) if isinstance(last, Mapping) else None
    forced = None
    if isinstance(token, Mapping) and {"decoded_token", "logprob"} <= token.keys():
        forced = TokenChoice(token=str(token["decoded_token"]), logprob=float(token["logprob"]))
    usage = Usage(tokens_in=used.prompt_tokens, tokens_out=used.completion_tokens) if used else Usage()
    return ChatReply(text="", forced=forced, model=completion.model or "", usage=usage)


def read_usage(message: Any) -> Usage:
    """Tokens as the server counted them; None where it did not."""
    result = message.usage_metadata
    if not result:
        return Usage()
    cached = (result.get("input_token_details") or {}).get("cache_read")
    return Usage(
        tokens_in=result["input_tokens"],
        tokens_out=result["output_tokens"],
        tokens_cached=cached,
        tokens_reasoning=(result.get("output_token_details") or {}).get("reasoning"),
    )


def read_top(logprobs: Any) -> tuple[tuple[TokenChoice, ...], ...]:
    """Per position the chosen token first; raises no fault for odd shapes, they count as no logprobs."""
    content = logprobs.get("content") if isinstance(logprobs, Mapping) else None
    try:
        return tuple(_read_position(position) for position in content or ())
    except (KeyError, TypeError, ValueError):
        return ()


def find_wrong_logprobs(top: tuple[tuple[TokenChoice, ...], ...]) -> str:
    """What says that these are no log probabilities; empty where nothing does.

    Some servers accept the request and answer zeros: each token would be certain, and every curve flat.
    """
    for place, choices in enumerate(top):
        total = sum(math.exp(min(choice.logprob, 1.0)) for choice in choices)
        if total > SURE:
            return f"the logprobs are none: at position {place} the probabilities sum to {total:.2f}"
    if len(top) > 1 and all(choice.logprob == 0 for choices in top for choice in choices):
        return "the logprobs are none: all of them are exactly 0"
    return ""


def cut_thought(top: tuple[tuple[TokenChoice, ...], ...], *, said: str) -> tuple[tuple[TokenChoice, ...], ...]:
    """The positions of what is said; none where the tokens do not show where that begins."""
    tokens = [choices[0].token.replace("\u2581", " ").replace("\u0120", " ").replace("\u010a", "\n") for choices in top]
    whole = "".join(tokens)
    parted = part_thought(whole)
    begin = parted.said_from if parted.thought else whole.rfind(said.strip()) if said.strip() else -1
    if begin < 0 or not parted.finished:
        return ()
    length = 0
    for place, token in enumerate(tokens):
        if length >= begin:
            return top[place:]
        length += len(token)
    return ()


def _read_position(position: Mapping[str, Any]) -> tuple[TokenChoice, ...]:
    chosen = TokenChoice(token=position["token"], logprob=position["logprob"])
    others = (TokenChoice(token=t["token"], logprob=t["logprob"]) for t in position.get("top_logprobs") or ())
    return (chosen, *(choice for choice in others if choice.token != chosen.token))


def read_object(text: str, *, calls: tuple[dict[str, Any], ...], schema: Mapping[str, Any]) -> dict[str, Any]:
    """The object of a reply, from the tool call or from the text; raises ValueError saying what is wrong."""
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import best_match

    if calls:
        if calls[0]["name"] != TOOL:
            raise ValueError(f"there is no tool {str(calls[0]['name'])[:60]!r}")
        found: Any = calls[0]["args"]
    else:
        objects = find_objects(text)
        found = next((o for o in reversed(objects) if Draft202012Validator(schema).is_valid(o)), objects[-1])
    wrong = best_match(Draft202012Validator(schema).iter_errors(found))
    if wrong is not None:
        place = ".".join(str(part) for part in wrong.absolute_path) or "the reply"
        raise ValueError(f"{place} does not fit the schema: {wrong.message[:200]}")
    return dict(found)


def find_objects(text: str) -> list[dict[str, Any]]:
    """The JSON objects in the text, with or without fences, none inside another; raises ValueError without any."""
    decoder, found, start, wrong = json.JSONDecoder(), [], text.find("{"), "the reply holds no JSON object"
    while start >= 0:
        try:
            value, end = decoder.raw_decode(text, start)
        except (json.JSONDecodeError, RecursionError) as error:
            wrong = wrong if "not valid" in wrong else f"the reply is not valid JSON ({error})"
            end = start + 1
        else:
            found.append(dict(value))
        start = text.find("{", end)
    if not found:
        raise ValueError(wrong)
    return found
