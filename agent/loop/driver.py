"""Run the loop in a run folder, from the beginning or from where it stopped."""

from __future__ import annotations

import contextlib
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NamedTuple

from langchain_core.language_models.chat_models import BaseChatModel

from agent.decide.conversation import build_decider
from agent.loop.controls import check_control
from agent.loop.graph import build_graph
from agent.loop.pool_index import index_pool
from agent.loop.prepare import make_forbid, prepare_problems
from agent.loop.state import first_state
from agent.loop.student import LocalStudent, base_checkpoint
from agent.run.context import Context, Reporter, SilentReporter, StopReason, Student
from agent.run.folder import RunFolder, disk_faults
from agent.run.receipts import Receipts
from agent.run.recorded_teacher import RecordingTeacher, ReplyStore
from agent.settings.file import dump_settings, load_settings
from agent.settings.tree import Settings, TeacherSettings
from prompts import prompt_digest
from tools.errors import OperatorError, StopRequested
from tools.records import Checkpoint, digest
from tools.teacher.chat_options import ROLES, ChatOptions
from tools.teacher.protocol import Teacher

if TYPE_CHECKING:
    from tools.teacher.chat_stack import ChatStack

THREAD = "loop"
SETTINGS = "settings.yaml"
PAID = "paid.sqlite"
"""Replies, ledger and reservations of a teacher behind an endpoint."""
PROMPTS = (
    *("mistake_step", "step_check", "pseudo_rationale", "teacher_says"),
    *("missing_skill", "required_skills", "canonical_names", "judge", "propose", "failure_analysis"),
)
"""Prompts of the chat teacher."""


class Parts(NamedTuple):
    """What a front end or a test may bring; None is what the settings say."""

    student: Student | None = None
    teacher: Teacher | None = None
    decider: BaseChatModel | None = None
    key: str | None = None
    """Key of the deciding model's endpoint."""
    keys: Mapping[str, str] = {}
    """Keys of the teacher's endpoints, by the environment variable that holds them."""


def run_loop(
    settings: Settings, *, folder: RunFolder, reporter: Reporter | None = None, parts: Parts | None = None
) -> StopReason:
    """Run until a stop reason, in a folder that holds no run yet or this very one; returns the reason.

    Raises StopRequested when the user stopped it (Ctrl-C, SIGTERM or the stop file): everything is on
    disk, and `resume_loop` goes on. Raises OperatorError for what a person has to mend; `resume_loop`
    goes on after that too.
    """
    reporter, parts = reporter or SilentReporter(), parts or Parts()
    with folder.locked(), _operator_faults(folder), _stop_on_signal(folder):
        if not folder.has(SETTINGS):
            folder.write_text(SETTINGS, dump_settings(settings))
        folder.clear_stop()
        with contextlib.ExitStack() as stack:
            context = _build_context(settings, folder=folder, reporter=reporter, parts=parts, stack=stack)
            return _run(context, stack)


def resume_loop(
    folder: RunFolder, *, reporter: Reporter | None = None, parts: Parts | None = None
) -> StopReason:
    """Go on with a run by the settings that it was saved with; a finished one returns its reason at once."""
    if not folder.has(SETTINGS):
        remedy = "start one with: errata run CONFIG"
        raise OperatorError("no run was started here", where=str(folder.path), remedy=remedy)
    return run_loop(load_settings(folder.path / SETTINGS), folder=folder, reporter=reporter, parts=parts)


def _run(context: Context, stack: contextlib.ExitStack) -> StopReason:
    from langgraph.checkpoint.sqlite import SqliteSaver
    from langsmith import tracing_context

    folder, settings = context.folder, context.settings
    stack.enter_context(tracing_context(enabled=False))
    saver = stack.enter_context(SqliteSaver.from_conn_string(str(folder.path / "graph.sqlite")))
    graph = build_graph(context, checkpointer=saver)
    config: Any = {
        "configurable": {"thread_id": THREAD},
        "max_concurrency": settings.run.branches,
        "recursion_limit": 10 * (settings.budget.iterations + 2),
    }
    snapshot = graph.get_state(config)
    begun = bool(snapshot.values)
    folder.event("resumed" if begun else "started", settings=digest(settings.model_dump(mode="json")))
    try:
        if snapshot.next or not begun:
            state = None if begun else first_state(base_checkpoint(settings).id)
            graph.invoke(state, config, durability="sync")
        reason: StopReason = graph.get_state(config).values["stop"]
    except StopRequested:
        folder.event("stopped", reason="stopped_by_user")
        context.reporter.run_ended("stopped_by_user", resume=True)
        raise
    folder.event("ended", reason=reason)
    context.reporter.run_ended(reason, resume=False)
    return reason


def _build_context(
    settings: Settings, *, folder: RunFolder, reporter: Reporter, parts: Parts, stack: contextlib.ExitStack
) -> Context:
    student = parts.student or stack.enter_context(LocalStudent(settings, folder=folder))
    paid = chat_stack(settings, folder=folder, parts=parts, stack=stack)
    decider = parts.decider or build_decider(
        settings.decide, synthesize_share=settings.synthesize.share, chat=paid
    )
    receipts = Receipts(folder)
    problems, fence = prepare_problems(settings, folder=folder, receipts=receipts, reporter=reporter)
    check_control(settings, problems)
    folder.merge_records("checkpoints.jsonl", [base_checkpoint(settings)], kind=Checkpoint)
    store = ReplyStore(folder.path / "teacher.sqlite")
    stack.callback(store.close)
    inner = parts.teacher or build_teacher(settings, chat=paid)
    identity = digest("teacher", inner.name, identify_teacher(settings.teacher))
    teacher = RecordingTeacher(inner, store=store, folder=folder, fence=fence, identity=identity)
    reporter.stage_started("index", iteration=0, total=len(problems["pool"]))
    began = time.monotonic()
    embed = settings.embed_endpoint
    embedding = paid.embedding(embed) if paid and embed else None
    indexed = index_pool(
        problems["pool"], settings=settings, folder=folder, teacher=teacher, receipts=receipts, embedding=embedding
    )
    reporter.stage_ended("index", iteration=0, seconds=time.monotonic() - began, summary=indexed.summary)
    return Context(
        settings=settings,
        folder=folder,
        problems=problems,
        student=student,
        teacher=teacher,
        receipts=receipts,
        index_for=indexed.index_for,
        skill_names=indexed.skill_names,
        forbid=make_forbid(problems, options=settings.firewall),
        decider=decider,
        purse=paid.purse if paid else None,
        embedding=embedding.scoped("investigate") if embedding else None,
        reporter=reporter,
    )


def chat_stack(
    settings: Settings, *, folder: RunFolder, parts: Parts, stack: contextlib.ExitStack
) -> ChatStack | None:
    """Connections, cache and caps of what speaks to an endpoint, closed with `stack`; None where nothing does."""
    decide, options, embed = settings.decide, settings.teacher.chat, settings.embed_endpoint
    if settings.teacher.kind != "chat" and decide.model == "rules" and embed is None:
        return None
    from tools.teacher.chat_stack import ChatStack

    if options is None and decide.model != "rules":
        options = ChatOptions(base_url=decide.base_url or "", model=decide.model, key_env=decide.key_env)
    if options is None and embed is not None:
        options = ChatOptions(base_url=embed.base_url, model=embed.model)
    assert options is not None, "a chat teacher without an endpoint is refused with the settings"
    keys = {**parts.keys, **({decide.key_env: parts.key} if decide.key_env and parts.key else {})}
    return stack.enter_context(ChatStack(options, keys=keys, path=folder.path / PAID, run=folder.id))


def identify_teacher(settings: TeacherSettings) -> object:
    """What of the settings decides the teacher's replies: patience, caps and prices of an endpoint do not."""
    if settings.kind != "chat" or settings.chat is None:
        return settings.model_dump(mode="json", exclude={"chat"})
    shared = settings.chat.model_dump(mode="json", include={"images", "top_logprobs", "unanswered"})
    decisive = {"model", "max_tokens", "temperature"}
    roles = {role: settings.chat.endpoint(role).model_dump(include=decisive) for role in ROLES}
    return [settings.kind, shared, roles, [prompt_digest(name) for name in PROMPTS]]


def build_teacher(settings: Settings, *, chat: ChatStack | None = None) -> Teacher:
    """The teacher that the settings name; `chat` is what a chat teacher stands on."""
    if settings.teacher.kind == "chat" and chat is not None:
        from tools.world.programs import FAMILIES

        return chat.teacher(families=tuple(FAMILIES) if settings.data.world else ())
    if settings.teacher.kind == "annotations":
        from tools.teacher.annotations import AnnotationsTeacher

        return AnnotationsTeacher()
    if settings.teacher.kind == "local":
        from tools.teacher.local import LocalTeacher

        return LocalTeacher(settings.teacher.local)
    from tools.teacher.world import WorldTeacher

    return WorldTeacher(settings.teacher.world)


@contextlib.contextmanager
def _operator_faults(folder: RunFolder) -> Iterator[None]:
    """A full or read-only disk under the checkpointer's database is a matter for the operator too."""
    try:
        with disk_faults(folder.path):
            yield
    except sqlite3.OperationalError as error:
        remedy = "make room, or make the folder writable, then resume"
        what = f"the state of the graph cannot be kept ({error})"
        raise OperatorError(what, where=str(folder.path / "graph.sqlite"), remedy=remedy) from None


@contextlib.contextmanager
def _stop_on_signal(folder: RunFolder) -> Iterator[None]:
    """Ctrl-C and SIGTERM ask for a stop in order; a second Ctrl-C is Python's own KeyboardInterrupt."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ask(number: int, _: FrameType | None) -> None:
        signal.signal(number, before[number])
        Path(folder.path / "stop").touch()

    before: dict[int, Any] = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        for number in before:
            signal.signal(number, ask)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
