"""A small server of the OpenAI chat protocol on loopback: plays a script, records every request, misbehaves on demand.

`answer` maps the body of a request to an `Answer`; `fault` names what goes wrong with the n-th request, or nothing.
"""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from errata.tools.records import digest

DRIP_SECONDS = 0.03
RUBBISH = "lorem ipsum dolor sit amet " * 2_000
ERRORS: dict[str, tuple[int, str, str]] = {
    "429": (429, "rate_limit_exceeded", "slow down"),
    "429_after": (429, "rate_limit_exceeded", "slow down"),
    "429_long": (429, "rate_limit_exceeded", "come back in an hour"),
    "500": (500, "server_error", "the server had an error"),
    "503": (503, "overloaded", "the engine is overloaded"),
    "too_long": (400, "context_length_exceeded", "This model's maximum context length is 4096 tokens."),
    "filter_400": (400, "content_filter", "The prompt was filtered by the content management policy."),
    "bad_request": (400, "invalid_request_error", "unknown parameter: temperature"),
    "no_schema": (400, "invalid_request_error", "response_format json_schema is not supported with this model"),
    "no_tools": (400, "invalid_request_error", "this server takes no tool choice"),
    "key": (401, "invalid_api_key", "Incorrect API key provided."),
    "quota": (402, "payment_required", "Your credit is used up."),
    "quota_429": (429, "insufficient_quota", "You exceeded your current quota."),
    "model": (404, "model_not_found", "The model does not exist."),
}
FAULTS = (*ERRORS, "timeout", "drop", "half", "drip", "half_json", "html", "truncated", "schema", "empty", "no_choices")
FAULTS += ("no_logprobs", "refusal", "filter", "tool", "rubbish", "blank")


class Answer(NamedTuple):
    """What the model says: a text, and per token the top list as (token, probability), the chosen one first."""

    text: str
    top: Sequence[Sequence[tuple[str, float]]] = ()
    tool_calls: Sequence[tuple[str, str]] = ()
    """Name and arguments as text."""
    apart: tuple[str, str] = ("", "")
    """A field of the message beside its content, and what stands in it: the thought."""
    reasoning_tokens: int | None = None


class Seen(NamedTuple):
    """One request as it arrived."""

    number: int
    asked: str
    """Digest of its messages."""
    fault: str
    body: dict[str, Any]
    key: str
    """What came as the bearer token."""


def messages_digest(messages: Any) -> str:
    """Equal for equal conversations."""
    return digest(json.loads(json.dumps(messages)))


class ChatServer:
    """Use as a context manager; `url` is its base address."""

    def __init__(
        self,
        answer: Callable[[dict[str, Any]], Answer],
        *,
        fault: Callable[[int, dict[str, Any]], str | None] = lambda _, __: None,
        hang_seconds: float = 0.5,
        latency: float = 0.0,
        keep_bodies: bool = True,
    ) -> None:
        self.answer, self.fault, self._keep = answer, fault, keep_bodies
        self.hang_seconds, self.latency = hang_seconds, latency
        self.seen: list[Seen] = []
        self.most_at_once = self.billed_tokens = 0
        self._at_once = 0
        self._lock = threading.Lock()
        self._http = _Server(("127.0.0.1", 0), _Handler)
        self._http.owner = self
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}/v1"

    def __enter__(self) -> ChatServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()

    def note(self, body: dict[str, Any], key: str) -> str:
        """Record a request; returns its fault."""
        with self._lock:
            number = len(self.seen)
            fault = self.fault(number, body) or ""
            kept = body if self._keep else {}
            asked = messages_digest(body.get("messages") or body.get("input"))
            self.seen.append(Seen(number, asked, fault, kept, key))
        return fault

    def bill(self, tokens: int) -> None:
        with self._lock:
            self.billed_tokens += tokens

    def enter(self) -> None:
        with self._lock:
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)

    def leave(self) -> None:
        with self._lock:
            self._at_once -= 1


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256
    owner: ChatServer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that are gone are part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""

    def do_GET(self) -> None:
        self._send(200, {"object": "list", "data": [{"id": "m", "object": "model", "max_model_len": 4096}]})

    def do_POST(self) -> None:
        owner = self.server.owner
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        owner.enter()
        try:
            self._play(owner, body)
        finally:
            owner.leave()

    def _play(self, owner: ChatServer, body: dict[str, Any]) -> None:
        fault = owner.note(body, self.headers.get("authorization", "").removeprefix("Bearer "))
        if fault in ERRORS:
            status, code, text = ERRORS[fault]
            after = {"429_after": "0.2", "429_long": "3600"}.get(fault)
            headers = {"retry-after": after} if after else {}
            return self._send(status, {"error": {"message": text, "type": code, "code": code}}, headers)
        if fault == "timeout":
            time.sleep(owner.hang_seconds)
            return self._hang_up()
        if fault == "drop":
            return self._hang_up()
        time.sleep(owner.latency)
        if "input" in body:
            reply = embed(body)
            owner.bill(reply["usage"]["total_tokens"])
            return self._send(200, reply)
        reply = complete(owner.answer(body), body, fault)
        owner.bill(reply["usage"]["total_tokens"])
        if fault in ("half", "half_json", "html"):
            return self._cut(json.dumps(reply), fault)
        if fault == "drip":
            return self._drip(json.dumps(reply), owner.hang_seconds)
        return self._send(200, reply)

    def _send(self, status: int, value: Any, headers: dict[str, str] | None = None) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        for name, text in {"content-type": "application/json", **(headers or {})}.items():
            self.send_header(name, text)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _cut(self, text: str, fault: str) -> None:
        """Half a body: the connection breaks, or the server takes it for the whole; or a page for people."""
        data = b"<html><body>Bad gateway</body></html>" if fault == "html" else text.encode()[: len(text) // 2]
        self.send_response(200)
        self.send_header("content-type", "text/html" if fault == "html" else "application/json")
        self.send_header("content-length", str(len(text.encode()) if fault == "half" else len(data)))
        self.end_headers()
        self.wfile.write(data)
        if fault == "half":
            self._hang_up()

    def _drip(self, text: str, seconds: float) -> None:
        """One byte after the other, each within any limit on a single read."""
        data = text.encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        for place in range(int(seconds / DRIP_SECONDS)):
            self.wfile.write(data[place : place + 1])
            self.wfile.flush()
            time.sleep(DRIP_SECONDS)
        self._hang_up()

    def _hang_up(self) -> None:
        self.close_connection = True
        self.connection.close()


def complete(answer: Answer, body: dict[str, Any], fault: str) -> dict[str, Any]:
    """The chat completion for an answer, spoilt by a fault."""
    spoilt = {
        "truncated": answer.text[: len(answer.text) // 2],
        "schema": '{"colour": "blue"}',
        "rubbish": RUBBISH,
        "blank": "",
        "refusal": "",
        "filter": answer.text[:4],
        "tool": "",
    }
    text = spoilt.get(fault, answer.text)
    message: dict[str, Any] = {"role": "assistant", "content": text}
    calls = [("delete_everything", "{}")] if fault == "tool" else list(answer.tool_calls)
    if answer.apart[0]:
        message |= {answer.apart[0]: answer.apart[1], "content": text or None}
    if fault == "refusal":
        message |= {"refusal": "I cannot help with that.", "content": None}
    if calls:
        message["tool_calls"] = [
            {"id": f"call_{i}", "type": "function", "function": {"name": name, "arguments": arguments}}
            for i, (name, arguments) in enumerate(calls)
        ]
    finish = {"truncated": "length", "filter": "content_filter"}.get(fault, "tool_calls" if calls else "stop")
    choice: dict[str, Any] = {"index": 0, "message": message, "finish_reason": finish}
    if body.get("logprobs") and fault not in ("no_logprobs", "rubbish", "tool", "blank", "refusal"):
        choice["logprobs"] = {"content": [show_position(p, body["top_logprobs"]) for p in answer.top]}
    extra = {}
    if "prompt_logprobs" in body and fault != "no_prompt_logprobs":
        extra["prompt_logprobs"] = [None, show_forced(str(body["messages"][-1]["content"]), answer.top)]
    sent = len(json.dumps(body["messages"])) // 4
    out = 10_000 if fault == "rubbish" else max(1, len(text) // 4)
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 0,
        "model": body["model"],
        "choices": [] if fault == "empty" else None if fault == "no_choices" else [choice],
        "usage": {
            "prompt_tokens": sent,
            "completion_tokens": out,
            "total_tokens": sent + out,
            "prompt_tokens_details": {"cached_tokens": sent // 2},
            **(
                {"completion_tokens_details": {"reasoning_tokens": answer.reasoning_tokens}}
                if answer.reasoning_tokens is not None
                else {}
            ),
        },
        **extra,
    }


def embed(body: dict[str, Any]) -> dict[str, Any]:
    """Vectors by letters of the texts, out of order, as an endpoint may give them."""
    rows = [
        {"object": "embedding", "index": i, "embedding": [1.0 + text.count(letter) for letter in "aeioustrn"]}
        for i, text in enumerate(body["input"])
    ]
    sent = len(json.dumps(body["input"])) // 4
    usage = {"prompt_tokens": sent, "total_tokens": sent}
    return {"object": "list", "model": body["model"], "data": rows[::-1], "usage": usage}


def show_forced(text: str, top: Sequence[Sequence[tuple[str, float]]]) -> dict[str, dict[str, Any]]:
    """The last token of a forced beginning as vLLM shows it; a text that does not end in one has none."""
    known = [pair for position in top for pair in position if text.endswith(pair[0])]
    shown = enumerate(known[-1:])
    return {str(i): {"logprob": math.log(max(p, 1e-12)), "rank": 1, "decoded_token": token} for i, (token, p) in shown}


def show_position(choices: Sequence[tuple[str, float]], most: int) -> dict[str, Any]:
    """One position of the logprobs."""
    shown = [{"token": token, "logprob": math.log(max(p, 1e-12)), "bytes": None} for token, p in choices]
    return {**shown[0], "top_logprobs": shown[:most]}


def say_letter(probabilities: Sequence[float], *, lead: Sequence[str] = ("The", " answer", " is")) -> Answer:
    """ "The answer is X" with these probabilities of the letters at its position."""
    named = [(f" {chr(ord('A') + i)}", p) for i, p in enumerate(probabilities)]
    chosen = max(named, key=lambda pair: pair[1])
    rest = [pair for pair in sorted(named, key=lambda pair: -pair[1]) if pair != chosen]
    text = "".join(lead) + chosen[0]
    return Answer(text, top=[*([(word, 0.999)] for word in lead), [chosen, *rest]])
