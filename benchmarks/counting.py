"""A teacher that passes requests on and counts them: calls, and the words of their prompts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from errata.tools.records import Problem, Record
from errata.tools.teacher.local_text import words_of


def prompt_words(request: Record) -> int:
    """Words of what a request shows of the question, the options, the steps and the reference."""
    fields: dict[str, Any] = request.model_dump()
    inner: Any = fields.get("problem")
    shown = inner if isinstance(inner, dict) else fields
    texts = [shown["question"], *shown.get("options", shown.get("choices", ()))]
    texts += [*fields.get("steps", ()), *fields.get("reference", ()), fields.get("gold", "")]
    return sum(words_of(text) for text in texts)


class CountingTeacher:
    """Wraps any teacher; `rounds` are batches, `calls` single requests."""

    def __init__(self, teacher: Any, *, packed: bool = False) -> None:
        """`packed`: keep the teacher's claim that it reads the prefixes of a rationale in one pass."""
        self.name = teacher.name
        self.operations = teacher.operations if packed else teacher.operations - {"packed_prefixes"}
        self._teacher = teacher
        self.rounds = self.calls = self.words = 0
        self.requests: list[Record] = []

    def __getattr__(self, name: str) -> Any:
        """Every operation alike."""
        act = getattr(self._teacher, name)

        def count(requests: Sequence[Record]) -> Any:
            self.rounds += 1
            self.calls += len(requests)
            self.words += sum(prompt_words(r) for r in requests)
            self.requests += [r for r in requests if not isinstance(getattr(r, "problem", None), Problem)]
            return act(requests)

        return count
