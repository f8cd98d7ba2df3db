"""Endpoints that play a list of replies, and requests to ask them."""

from __future__ import annotations

import threading
import time

from errata.tools.teacher.endpoint import ChatReply, ChatRequest, EndpointFault, Usage


def make_request(text="hello", **fields):
    given = {"role": "tag", "model": "m", "messages": ({"role": "user", "content": text},), "max_tokens": 10}
    return ChatRequest(**{**given, **fields})


class ScriptedEndpoint:
    """Gives the listed replies or faults in order, and runs out."""

    def __init__(self, *script):
        self.script, self.asked = list(script), []

    def complete(self, request):
        self.asked.append(request)
        if not self.script:
            raise AssertionError("asked more often than the script is long")
        reply = self.script.pop(0)
        if isinstance(reply, EndpointFault):
            raise reply
        return reply

    def complete_all(self, requests):
        return [self.complete(request) for request in requests]


class BusyEndpoint:
    """Answers after a moment, counts, and uses so many tokens each time."""

    def __init__(self, *, tokens_in=10, tokens_out=5, seconds=0.005):
        self.tokens_in, self.tokens_out, self.seconds = tokens_in, tokens_out, seconds
        self.calls = self.at_once = self.most_at_once = 0
        self._lock = threading.Lock()

    def complete(self, request):
        with self._lock:
            self.calls += 1
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        time.sleep(self.seconds)
        with self._lock:
            self.at_once -= 1
        return ChatReply(
            text=f"reply to {request.messages[0]['content']}",
            usage=Usage(tokens_in=self.tokens_in, tokens_out=self.tokens_out, tokens_cached=0),
        )
