"""Keeps the test split from the teacher: a guard for every request, and a search through all requests of a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from errata.agent.run.folder import RunFolder
from errata.agent.run.teacher.replies import ReplyStore
from errata.tools.data.firewall import question_key
from errata.tools.records import Problem, Record


class TestSplitLeak(RuntimeError):
    """A test problem was about to reach a teacher: a bug, never the operator's fault."""

    __test__ = False


class TestSplitGuard:
    """Knows the test split by id and by content, and refuses requests that show any of it."""

    __test__ = False

    def __init__(self, problems: Iterable[Problem]) -> None:
        self._ids, self._contents = set(), set()
        for problem in problems:
            self._ids.add(problem.id)
            self._contents.add(_content(problem))

    def shows(self, problem: Problem) -> bool:
        """Whether this is a test problem under its own or another id."""
        return problem.id in self._ids or _content(problem) in self._contents

    def check(self, request: Record) -> None:
        """Raise TestSplitLeak when the request names or shows a test problem."""
        for value in (getattr(request, "problem", None), getattr(request, "example", None)):
            if isinstance(value, Problem) and self.shows(value):
                raise TestSplitLeak(f"{type(request).__name__} shows test problem {value.id}")
            if isinstance(value, str) and value in self._ids:
                raise TestSplitLeak(f"{type(request).__name__} names test problem {value}")


def _content(problem: Problem) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return question_key(problem), tuple(image.sha256 for image in problem.images)


def find_test_leaks(folder: RunFolder, problems: Mapping[str, Problem]) -> list[str]:
    """Ids of test problems that occur in a teacher request or decision of a run; it should be empty."""
    store = ReplyStore(folder.path / "teacher.sqlite")
    said = [f'"{row[4]}" {row[5]}' for row in store.rows()]
    store.close()
    decisions = folder.path / "decisions.jsonl"
    said += [decisions.read_text(encoding="utf-8")] if decisions.exists() else []
    text = "\n".join(said)
    return [p.id for p in problems.values() if f'"{p.id}"' in text or any(i.sha256 in text for i in p.images)]
