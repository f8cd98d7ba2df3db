"""What a server with a prefix cache is asked and has cached: the scans of the answer switch on vLLM.

The server is the one of `make teacher-test`, with its tiny model. Its counts are the server's own, from the usage of
every reply: they do not depend on how good the model is, only on the bytes of the prompts and the size of a block.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from errata.tools.locate.answer_switch import SwitchOptions, locate_mistakes
from errata.tools.records import Attempt, Mistake, Problem
from errata.tools.teacher.chat_options import ChatOptions, RetryOptions
from errata.tools.teacher.chat_stack import ChatStack
from tests.teacher_server.__main__ import KEPT, find_model
from tests.teacher_server.install import is_installed
from tests.teacher_server.server import BLOCK, NAME, forget_prefixes, serve_model

NOT_RUN = "vLLM is not installed here; make teacher-test installs it"
SUMS = "SELECT COUNT(*), SUM(tokens_in), SUM(tokens_cached) FROM ledger"


def measure_served(
    errors: Sequence[Attempt], *, problems: Mapping[str, Problem], count: int
) -> dict[str, Any] | None:
    """Calls, tokens and cached share of both scans over `count` errors spread over all; None without vLLM."""
    if not is_installed(KEPT / "venv"):
        return None
    some = list(errors[:: max(1, len(errors) // count)][:count])
    with serve_model(KEPT / "venv" / "bin" / "python", model=find_model(), log=KEPT / "server.log") as served:
        full, of_full = scan_served("full", errors=some, problems=problems, url=served.url)
        skip, of_skip = scan_served("skip", errors=some, problems=problems, url=served.url)
    same = sum((a.step, a.status) == (b.step, b.status) for a, b in zip(full, skip, strict=True))
    return {"errors": len(some), "same": same, "block": BLOCK, "full": of_full, "skip": of_skip}


def scan_served(
    scan: Literal["full", "skip"], *, errors: Sequence[Attempt], problems: Mapping[str, Problem], url: str
) -> tuple[list[Mistake], dict[str, float]]:
    """One error after the other, one request at a time, beginning with an empty cache; sums are per error."""
    forget_prefixes(url)
    options = ChatOptions(base_url=url, model=NAME, retries=RetryOptions(concurrency=1))
    found: list[Mistake] = []
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "paid.sqlite"
        with ChatStack(options, keys={}, path=path, run=scan) as stack:
            for error in errors:
                teacher = stack.teacher().scoped(error.id, iteration=1)
                found += locate_mistakes(
                    [error], problems=problems, teacher=teacher, iteration=1, options=SwitchOptions(scan=scan)
                )
        with sqlite3.connect(path) as ledger:
            ((calls, tokens, cached),) = ledger.execute(f"{SUMS} WHERE outcome = 'paid'")
            ((_, first, first_cached),) = ledger.execute(
                f"{SUMS} WHERE id IN (SELECT MIN(id) FROM ledger GROUP BY stage)"
            )
    n = len(errors)
    return found, {
        "calls": calls / n,
        "tokens": tokens / n,
        "cached_share": cached / tokens,
        "new_tokens": (tokens - cached) / n,
        "first_prompt_share": first_cached / first,
    }
