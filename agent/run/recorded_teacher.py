"""The teacher as a run sees it: every reply is on disk before it is used, counted, and never asked for twice.

Replies are kept in teacher.sqlite by the content of their request, so that a kill between a paid call and the
receipt of its tool call costs nothing on resume. `asked` counts requests whether or not they were answered
from disk: it is the same in a resumed run, and budgets are kept in it; a question that is put again to be answered
exactly counts once. `paid` counts replies that the teacher
gave. Nothing of the test split passes: a request that shows a test problem is a bug and raises
`TestSplitLeak`.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar, cast

from agent.run.folder import RunFolder
from tools.data.firewall import question_key
from tools.errors import BudgetSpent, OperatorError
from tools.records import Problem, Record, digest
from tools.teacher.protocol import (
    ComparesSkills,
    FailureReply,
    FailureRequest,
    JudgeReply,
    JudgeRequest,
    MissingSkillRequest,
    Operation,
    OptionReply,
    OptionRequest,
    ProposeReply,
    ProposeRequest,
    RationaleReply,
    RationaleRequest,
    ReadsFailures,
    ReadsSteps,
    RequiredSkillsRequest,
    SameSkillReply,
    SameSkillRequest,
    SkillReply,
    StagedTeacher,
    StepCheckReply,
    StepCheckRequest,
    StepIndexReply,
    StepIndexRequest,
    Teacher,
)

Q = TypeVar("Q", bound=Record)
A = TypeVar("A", bound=Record)
CHUNK = 256
"""Requests after which the replies are on disk: a kill repeats at most so many calls."""
IN_CLAUSE = 500
"""Keys per SQL query; SQLite's own limit is far above it."""


class TestSplitLeak(RuntimeError):
    """A test problem was about to reach a teacher: a bug, never the operator's fault."""

    __test__ = False


class TestFence:
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


class ReplyStore:
    """Replies by the content of their request, in one SQLite file; safe for threads."""

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, threading.Lock()
        with self._faults():
            self._connection = sqlite3.connect(path, check_same_thread=False)
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute(
                "CREATE TABLE IF NOT EXISTS replies (key TEXT PRIMARY KEY, operation TEXT, stage TEXT,"
                " iteration INTEGER, problem TEXT, request TEXT, reply TEXT)"
            )
            self._connection.commit()

    @contextlib.contextmanager
    def _faults(self) -> Iterator[None]:
        with self._lock:
            try:
                yield
            except sqlite3.OperationalError as error:
                remedy = "make room, or make the folder writable, then resume"
                raise OperatorError(
                    f"replies cannot be kept ({error})", where=str(self._path), remedy=remedy
                ) from None

    def find(self, keys: Sequence[str]) -> dict[str, str]:
        """The replies that are known, as JSON, by key."""
        found: dict[str, str] = {}
        with self._faults():
            for start in range(0, len(keys), IN_CLAUSE):
                part = keys[start : start + IN_CLAUSE]
                marks = ",".join("?" * len(part))
                query = f"SELECT key, reply FROM replies WHERE key IN ({marks})"
                found.update(self._connection.execute(query, part).fetchall())
        return found

    def add(self, rows: Sequence[tuple[str, str, str, int, str, str, str]]) -> None:
        """Keep (key, operation, stage, iteration, problem, request, reply); a known key keeps its reply."""
        with self._faults():
            self._connection.executemany("INSERT OR IGNORE INTO replies VALUES (?,?,?,?,?,?,?)", rows)
            self._connection.commit()

    def rows(self) -> list[tuple[str, str, str, int, str, str, str]]:
        """Everything that was ever asked, in the order of asking."""
        with self._faults():
            return list(self._connection.execute("SELECT * FROM replies ORDER BY rowid").fetchall())

    def close(self) -> None:
        """Close the file; the store cannot be used after."""
        with self._lock:
            self._connection.close()


class RecordingTeacher:
    """Satisfies `Teacher`;
    see the module's docstring. `scoped` gives one with a stage and a purse of its own.
    """

    def __init__(
        self,
        teacher: Teacher,
        *,
        store: ReplyStore,
        folder: RunFolder,
        fence: TestFence,
        identity: str,
        stage: str = "prepare",
        iteration: int = 0,
        allowance: int | None = None,
    ) -> None:
        """`identity` stands for the teacher and its options in the keys;
        `allowance` caps `asked`, None does not.
        """
        self.name, self.operations = teacher.name, teacher.operations
        self._teacher, self._store, self._folder, self._fence = teacher, store, folder, fence
        self._identity, self._stage, self._iteration = identity, stage, iteration
        self.allowance = allowance
        self.asked = 0

    def scoped(self, stage: str, *, iteration: int, allowance: int | None) -> RecordingTeacher:
        """The same teacher and replies, counting from 0 for one stage or error batch."""
        inner = self._teacher
        return RecordingTeacher(
            inner.scoped(stage, iteration=iteration) if isinstance(inner, StagedTeacher) else inner,
            store=self._store,
            folder=self._folder,
            fence=self._fence,
            identity=self._identity,
            stage=stage,
            iteration=iteration,
            allowance=allowance,
        )

    @property
    def left(self) -> int | None:
        """Requests that may still be asked; None when there is no cap."""
        return None if self.allowance is None else self.allowance - self.asked

    def option_probabilities(self, requests: Sequence[OptionRequest]) -> list[OptionReply]:
        """See `Teacher`; raises BudgetSpent before the cap is passed."""
        return self._ask("option_probabilities", requests, self._teacher.option_probabilities, OptionReply)

    def missing_skill(self, requests: Sequence[MissingSkillRequest]) -> list[SkillReply]:
        """See `Teacher`; raises BudgetSpent before the cap is passed."""
        return self._ask("missing_skill", requests, self._teacher.missing_skill, SkillReply)

    def required_skills(self, requests: Sequence[RequiredSkillsRequest]) -> list[SkillReply]:
        """See `Teacher`; raises BudgetSpent before the cap is passed."""
        return self._ask("required_skills", requests, self._teacher.required_skills, SkillReply)

    def judge(self, requests: Sequence[JudgeRequest]) -> list[JudgeReply]:
        """See `Teacher`; raises BudgetSpent before the cap is passed."""
        return self._ask("judge", requests, self._teacher.judge, JudgeReply)

    def propose(self, requests: Sequence[ProposeRequest]) -> list[ProposeReply]:
        """See `Teacher`; raises BudgetSpent before the cap is passed."""
        return self._ask("propose", requests, self._teacher.propose, ProposeReply)

    def check_step(self, requests: Sequence[StepCheckRequest]) -> list[StepCheckReply]:
        """See `ReadsSteps`; raises BudgetSpent before the cap is passed."""
        return self._ask("check_step", requests, self._reader.check_step, StepCheckReply)

    def name_step(self, requests: Sequence[StepIndexRequest]) -> list[StepIndexReply]:
        """See `ReadsSteps`; raises BudgetSpent before the cap is passed."""
        return self._ask("name_step", requests, self._reader.name_step, StepIndexReply)

    def write_rationale(self, requests: Sequence[RationaleRequest]) -> list[RationaleReply]:
        """See `ReadsSteps`; raises BudgetSpent before the cap is passed."""
        return self._ask("write_rationale", requests, self._reader.write_rationale, RationaleReply)

    def same_skill(self, requests: Sequence[SameSkillRequest]) -> list[SameSkillReply]:
        """See `ComparesSkills`; raises BudgetSpent before the cap is passed."""
        return self._ask("same_skill", requests, cast(ComparesSkills, self._teacher).same_skill, SameSkillReply)

    def analyse_failure(self, requests: Sequence[FailureRequest]) -> list[FailureReply]:
        """See `ReadsFailures`; raises BudgetSpent before the cap is passed."""
        return self._ask("analyse_failure", requests, cast(ReadsFailures, self._teacher).analyse_failure, FailureReply)

    @property
    def _reader(self) -> ReadsSteps:
        """Callers look into `operations` first."""
        return cast(ReadsSteps, self._teacher)

    def _ask(
        self,
        operation: Operation,
        requests: Sequence[Q],
        ask: Callable[[Sequence[Q]], list[A]],
        kind: type[A],
    ) -> list[A]:
        for request in requests:
            self._fence.check(request)
        counted = sum(not (isinstance(request, OptionRequest) and request.exact) for request in requests)
        if self.left is not None and counted > self.left:
            raise BudgetSpent(f"{counted} teacher calls are needed and {self.left} are left")
        self.asked += counted
        shown = [request.model_dump_json() for request in requests]
        keys = [digest(self._identity, operation, text, length=32) for text in shown]
        known = self._store.find(keys)
        open_ = {key: i for i, key in reversed(list(enumerate(keys))) if key not in known}
        order = sorted(open_.values())
        started = time.monotonic()
        for start in range(0, len(order), CHUNK):
            part = order[start : start + CHUNK]
            replies = ask([requests[i] for i in part])
            rows = [
                (
                    keys[i],
                    operation,
                    self._stage,
                    self._iteration,
                    _subject(requests[i]),
                    kept,
                    reply.model_dump_json(),
                )
                for i, reply in zip(part, replies, strict=True)
                for kept in ["" if operation == "required_skills" else shown[i]]
            ]
            self._store.add(rows)
            known.update({row[0]: row[6] for row in rows})
        if requests:
            seconds = round(time.monotonic() - started, 3)
            amounts = {"asked": counted, "paid": len(order), "teacher_seconds": seconds}
            self._folder.spend(self._stage, iteration=self._iteration, operation=operation, **amounts)
        return [kind.model_validate_json(known[key]) for key in keys]


def _subject(request: Record) -> str:
    """Id of the problem that a request is about."""
    value = getattr(request, "problem", None) or getattr(request, "example", None)
    return value.id if isinstance(value, Problem) else str(value or "")


def find_test_leaks(folder: RunFolder, problems: Mapping[str, Problem]) -> list[str]:
    """Ids of test problems that occur in any teacher request or decision of a run;
    empty is as it should be.
    """
    store = ReplyStore(folder.path / "teacher.sqlite")
    said = [f'"{row[4]}" {row[5]}' for row in store.rows()]
    store.close()
    decisions = folder.path / "decisions.jsonl"
    said += [decisions.read_text(encoding="utf-8")] if decisions.exists() else []
    text = "\n".join(said)
    return [p.id for p in problems.values() if f'"{p.id}"' in text or any(i.sha256 in text for i in p.images)]
