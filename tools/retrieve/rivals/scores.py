"""Scores of a whole pool, kept on disk as they come.

A pool is scored in chunks whose borders depend on its ids alone. A chunk is appended whole; one that was cut
off is scored again whole, so that a resumed scoring sees the same batches and gives the same numbers.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from errata.tools.errors import OperatorError
from errata.tools.records import Problem, digest

CHUNK = 1024
Score = Callable[[Sequence[Problem]], Sequence[float | None]]
"""Problems to scores, in order; None where a problem cannot be scored."""


def score_pool(
    pool: Mapping[str, Problem], *, score: Score, key: str, store: Path | None = None, chunk: int = CHUNK
) -> dict[str, float | None]:
    """Score by sample id, in order of id. `key` names all that the score depends on beside the sample.

    What `store` (JSONL) holds for the same key and content is not scored again. Raises OperatorError for a
    broken line and a disk that cannot be written.
    """
    names = sorted(pool)
    keys = {name: _content_key(pool[name], key) for name in names}
    known = _read(store) if store else {}
    scores: dict[str, float | None] = {}
    for start in range(0, len(names), chunk):
        part = names[start : start + chunk]
        if not all(keys[name] in known for name in part):
            found = score([pool[name] for name in part])
            fresh = {keys[name]: value for name, value in zip(part, found, strict=True)}
            known.update(fresh)
            if store:
                _append(store, fresh)
        scores.update((name, known[keys[name]]) for name in part)
    return scores


def _content_key(problem: Problem, key: str) -> str:
    content = [problem.question, problem.choices, problem.target, problem.rationale, problem.skills]
    return digest("score", key, problem.id, content, [image.sha256 for image in problem.images])


def _read(store: Path) -> dict[str, float | None]:
    """Cuts off an unfinished last line; raises OperatorError for a broken line before it."""
    if not store.exists():
        return {}
    body = store.read_bytes()
    whole = body[: body.rfind(b"\n") + 1]
    if len(whole) < len(body):
        os.truncate(store, len(whole))
    known: dict[str, float | None] = {}
    for row, line in enumerate(whole.split(b"\n")[:-1], start=1):
        try:
            name, value = json.loads(line)
            known[str(name)] = None if value is None else float(value)
        except (ValueError, TypeError) as error:
            remedy = "delete the line; its samples are scored again"
            raise OperatorError("broken line of stored scores", where=f"{store}:{row}", remedy=remedy) from error
    return known


def _append(store: Path, scores: Mapping[str, float | None]) -> None:
    try:
        store.parent.mkdir(parents=True, exist_ok=True)
        with store.open("a", encoding="utf-8") as file:
            file.write("".join(json.dumps(row) + "\n" for row in scores.items()))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        remedy = "free space or rights on that disk, then resume"
        raise OperatorError(f"cannot write: {error.strerror}", where=str(store), remedy=remedy) from error
