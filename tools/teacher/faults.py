"""What an endpoint's exceptions mean: every one becomes an `EndpointFault` of a known kind."""

from __future__ import annotations

import email.utils
import time
from collections.abc import Mapping
from typing import Any

from errata.tools.teacher.endpoint import EndpointFault, FaultKind

BY_STATUS: dict[int, FaultKind] = {
    401: "key",
    402: "quota",
    403: "key",
    404: "no_model",
    408: "timeout",
    409: "server",
    410: "no_model",
    413: "too_long",
    425: "server",
    429: "rate_limited",
}
TOO_LONG = (
    "context_length",
    "context length",
    "context window",
    "maximum context",
    "prompt is too long",
    "input tokens exceed",
)
FILTERED = ("content_filter", "content management policy", "responsibleaipolicy")
SPENT = ("insufficient_quota", "billing_hard_limit", "exceeded your current quota", "insufficient balance")


def classify_fault(error: BaseException, *, seconds: float) -> EndpointFault:
    """The fault behind an exception of openai, langchain-openai or asyncio; `seconds` is the deadline."""
    import openai

    if isinstance(error, openai.APIStatusError):
        return _of_status(error.status_code, body=_say(error), headers=error.response.headers)
    if isinstance(error, TimeoutError | openai.APITimeoutError):
        return EndpointFault("timeout", f"no whole reply within {seconds:g} s", billed=True)
    if isinstance(error, openai.APIConnectionError):
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        return EndpointFault("connection", f"the connection failed ({type(cause).__name__}: {cause})", billed=True)
    if isinstance(error, openai.APIError | openai.OpenAIError) and "context window" in str(error):
        return EndpointFault("too_long", _say(error))
    what = f"the body of the reply is no chat completion ({type(error).__name__}: {_say(error)[:160]})"
    return EndpointFault("bad_reply", what, billed=True)


def _of_status(status: int, *, body: str, headers: Mapping[str, str]) -> EndpointFault:
    """By status, and by the words of the body where a status has two meanings."""
    low = body.lower()
    kind: FaultKind = BY_STATUS.get(status, "server" if status >= 500 else "bad_request")
    if any(word in low for word in SPENT):
        kind = "quota"
    elif status in (400, 413, 422) and any(word in low for word in TOO_LONG):
        kind = "too_long"
    elif status in (400, 403, 422) and any(word in low for word in FILTERED):
        kind = "filtered"
    elif status == 400 and "model_not_found" in low:
        kind = "no_model"
    return EndpointFault(kind, f"status {status}: {body}", retry_after=read_retry_after(headers))


def read_retry_after(headers: Mapping[str, str], *, now: float | None = None) -> float | None:
    """Seconds to wait as the server asks, from Retry-After (seconds or a date) or retry-after-ms."""
    millis, plain = headers.get("retry-after-ms"), headers.get("retry-after")
    if millis is not None and (found := _number(millis)) is not None:
        return found / 1000
    if plain is None:
        return None
    if (found := _number(plain)) is not None:
        return found
    date = email.utils.parsedate_tz(plain)
    if date is None:
        return None
    return max(0.0, email.utils.mktime_tz(date) - (time.time() if now is None else now))


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 <= value < float("inf") else None


def _say(error: Any) -> str:
    return " ".join(str(getattr(error, "message", "") or error).split())[:300]
