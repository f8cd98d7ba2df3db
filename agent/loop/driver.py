"""Run the loop in a run folder, from the beginning or from where it stopped."""

from __future__ import annotations

import contextlib
import time
from typing import Any

from errata.agent.decide.controls import check_control
from errata.agent.decide.conversation import build_decider
from errata.agent.loop.checkpointer import open_checkpointer
from errata.agent.loop.graph import build_graph
from errata.agent.loop.parts import Parts, build_teacher, chat_stack, identify_teacher
from errata.agent.loop.pool_index import index_pool
from errata.agent.loop.prepare import make_overlap_check, prepare_problems
from errata.agent.loop.state import first_state
from errata.agent.loop.stop import stop_on_signal
from errata.agent.loop.student import LocalStudent, base_checkpoint
from errata.agent.run.context import Context
from errata.agent.run.disk import disk_faults
from errata.agent.run.folder import RunFolder
from errata.agent.run.receipts import Receipts
from errata.agent.run.reporter import Reporter, SilentReporter, StopReason
from errata.agent.run.teacher.recorded import RecordingTeacher
from errata.agent.run.teacher.replies import ReplyStore
from errata.agent.settings.file import dump_settings, load_settings
from errata.agent.settings.tree import Settings
from errata.tools.errors import OperatorError, StopRequested
from errata.tools.records import Checkpoint, digest

SETTINGS = "settings.yaml"


def run_loop(
    settings: Settings, *, folder: RunFolder, reporter: Reporter | None = None, parts: Parts | None = None
) -> StopReason:
    """Run until a stop reason and return it; the folder is empty or holds this run.

    Raises StopRequested when the user stopped it (Ctrl-C, SIGTERM or the stop file): everything is on
    disk, and `resume_loop` goes on. Raises OperatorError for what a person has to mend; `resume_loop`
    goes on after that too.
    """
    reporter, parts = reporter or SilentReporter(), parts or Parts()
    with folder.locked(), disk_faults(folder.path), stop_on_signal(folder):
        if not folder.has(SETTINGS):
            folder.write_text(SETTINGS, dump_settings(settings))
        folder.clear_stop()
        with contextlib.ExitStack() as stack:
            context = _build_context(settings, folder=folder, reporter=reporter, parts=parts, stack=stack)
            password = parts.keys.get(settings.run.checkpointer_password_env or "")
            return _run(context, stack, password=password)


def resume_loop(folder: RunFolder, *, reporter: Reporter | None = None, parts: Parts | None = None) -> StopReason:
    """Go on with a run by the settings that it was saved with; a finished one returns its reason at once."""
    if not folder.has(SETTINGS):
        remedy = "start one with: errata run CONFIG"
        raise OperatorError("no run was started here", where=str(folder.path), remedy=remedy)
    return run_loop(load_settings(folder.path / SETTINGS, saved=True), folder=folder, reporter=reporter, parts=parts)


def _run(context: Context, stack: contextlib.ExitStack, *, password: str | None) -> StopReason:
    from langsmith import tracing_context

    folder, settings = context.folder, context.settings
    stack.enter_context(tracing_context(enabled=False))
    kept = stack.enter_context(open_checkpointer(settings.run, folder=folder, password=password))
    graph = build_graph(context, checkpointer=kept.saver)
    config: Any = {
        "configurable": {"thread_id": kept.thread},
        "max_concurrency": settings.run.branches,
        "recursion_limit": 10 * (settings.budget.iterations + 2),
    }
    snapshot = graph.get_state(config)
    begun = bool(snapshot.values)
    if not begun:
        _refuse_lost_state(folder, where=kept.where)
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
    decider = parts.decider or build_decider(settings.decide, synthesize_share=settings.synthesize.share, chat=paid)
    receipts = Receipts(folder)
    problems, guard = prepare_problems(settings, folder=folder, receipts=receipts, reporter=reporter)
    check_control(settings, problems)
    folder.merge_records("checkpoints.jsonl", [base_checkpoint(settings)], kind=Checkpoint)
    store = ReplyStore(folder.path / "teacher.sqlite")
    stack.callback(store.close)
    inner = parts.teacher or build_teacher(settings, chat=paid)
    identity = digest("teacher", inner.name, identify_teacher(settings.teacher))
    teacher = RecordingTeacher(inner, store=store, folder=folder, guard=guard, identity=identity)
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
        overlap_of=make_overlap_check(problems, options=settings.firewall),
        decider=decider,
        spend_limits=paid.limits if paid else None,
        embedding=embedding.scoped("investigate") if embedding else None,
        reporter=reporter,
    )


def _refuse_lost_state(folder: RunFolder, *, where: str) -> None:
    """Raise OperatorError if nodes worked on this run: from the first node on, spent budgets would count twice."""
    if any(event["event"] == "stage_started" for event in folder.events()):
        remedy = "put it back, or start a new run; what this one found can still be read"
        raise OperatorError("the state of the graph is gone, the run cannot go on", where=where, remedy=remedy)
