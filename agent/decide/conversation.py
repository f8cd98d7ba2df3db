"""The conversation about one error batch: a tool-calling loop between the deciding model and the tools, with receipts.

The model reads the system prompt, the facts of the batch (JSON), and what its tools answered, and calls one
tool after the other until `finish_batch`, or until its steps are used up. Each reply of the model and each
tool call has a receipt, so a resumed batch goes through the same conversation without asking or doing
anything again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolCall,
    ToolMessage,
    message_to_dict,
    messages_from_dict,
)

from errata.agent.decide.batch import Batch, ToolResult
from errata.agent.decide.chat_model import PaidDecider, decide_options
from errata.agent.decide.executor import ToolExecutor
from errata.agent.run.context import Context
from errata.agent.settings.tree import DecideSettings
from errata.prompts import render_prompt
from errata.tools.errors import BudgetSpent
from errata.tools.records import Candidate, Cost, Decision, MissingSkill, Mistake, Record, digest

if TYPE_CHECKING:
    from errata.tools.teacher.chat_stack import ChatStack

NO_CALL = "You called no tool. Call one of the tools; end the batch with finish_batch."


class BatchOutcome(Record):
    """Everything that came of one batch."""

    mistakes: tuple[Mistake, ...]
    skills: tuple[MissingSkill, ...]
    fetched: dict[int, tuple[Candidate, ...]]
    """By the step of the call, best first, with those in reserve."""
    budgets: dict[int, int]
    decisions: tuple[Decision, ...]


class Conversation:
    """The messages so far, and their digest as the key of the next reply."""

    def __init__(self, system: str, facts: Mapping[str, Any]) -> None:
        self.messages: list[BaseMessage] = [
            SystemMessage(system),
            HumanMessage(json.dumps(facts, ensure_ascii=False)),
        ]
        self.key = digest(system, facts)

    def add(self, message: BaseMessage) -> None:
        """Append a message."""
        self.messages.append(message)
        self.key = digest(self.key, message.type, message.content, getattr(message, "tool_calls", None))


def investigate_batch(
    batch: Batch, *, history: Sequence[Mapping[str, Any]], context: Context
) -> BatchOutcome:
    """Let the deciding model work on one batch; its samples are proposals until `assemble` saw all batches.

    Raises StopRequested between two calls when the user asked for a stop.
    """
    allotment = batch.allotment
    teacher = context.teacher.scoped(
        "investigate", iteration=batch.iteration, allowance=allotment["teacher_calls"]
    )
    executor = ToolExecutor(batch, context=context, teacher=teacher)
    decisions: list[Decision] = []
    if "locate_mistakes" not in executor.tools:
        executor.skip_locating()
        method = context.settings.locate.method
        reason = f"this teacher cannot do what {method} asks of it, so that the whole rationale is the evidence"
        skipped = ToolResult(answer={}, outcome=f"skipped for {len(executor.mistakes)} errors")
        decisions.append(
            _record(batch, "locate_mistakes", {"reason": reason}, skipped, step=0, context=context)
        )
    _converse(executor, decisions, facts=_facts(executor, history, context.settings.decide), context=context)
    return BatchOutcome(
        mistakes=tuple(executor.mistakes),
        skills=tuple(executor.skills),
        fetched={step: tuple(found) for step, found in executor.fetched.items()},
        budgets=executor.budgets,
        decisions=tuple(decisions),
    )


def _converse(
    executor: ToolExecutor, decisions: list[Decision], *, facts: Mapping[str, Any], context: Context
) -> None:
    settings = context.settings.decide
    system = render_prompt("decide", tools=list(executor.tools), max_steps=settings.max_steps)
    talk = Conversation(system, facts)
    decider = context.decider
    if isinstance(decider, PaidDecider):
        decider = decider.scoped(executor.batch.iteration)
    model = decider.bind_tools(list(executor.tools.values()))
    why = f"ended by the limit of {settings.max_steps} steps"
    for _ in range(settings.max_steps):
        context.stop_if_asked()
        try:
            reply = _ask(model, talk, context=context)
        except BudgetSpent as error:
            why = f"ended: {error}"
            break
        talk.add(reply)
        for broken in reply.invalid_tool_calls:
            text = json.dumps({"error": f"the arguments are not valid JSON: {broken['error']}"})
            talk.add(ToolMessage(text, tool_call_id=broken["id"] or "", name=broken["name"] or ""))
        if not reply.tool_calls and not reply.invalid_tool_calls:
            talk.add(HumanMessage(NO_CALL))
        for call in reply.tool_calls:
            if _perform(executor, call, talk, decisions, context=context):
                return
    cut = ToolResult(answer={}, outcome=why)
    arguments = {"reason": "the deciding model did not end the batch itself"}
    decisions.append(
        _record(executor.batch, "finish_batch", arguments, cut, step=len(decisions), context=context)
    )


def _perform(
    executor: ToolExecutor, call: ToolCall, talk: Conversation, decisions: list[Decision], *, context: Context
) -> bool:
    """One tool call, its answer, and its decision; whether it ended the batch."""
    context.stop_if_asked()
    step = len(decisions)
    result = executor.perform(call["name"], call["args"], step=step)
    talk.add(
        ToolMessage(
            json.dumps(result.answer, ensure_ascii=False), tool_call_id=call["id"] or "", name=call["name"]
        )
    )
    decisions.append(_record(executor.batch, call["name"], call["args"], result, step=step, context=context))
    return call["name"] == "finish_batch" and "error" not in result.answer


def _ask(model: Any, talk: Conversation, *, context: Context) -> AIMessage:
    """The model's next reply, from its receipt where it was given before."""
    name = context.settings.decide.model
    summary = context.receipts.once(
        "reply", [name, talk.key], lambda: message_to_dict(model.invoke(talk.messages))
    )
    (message,) = messages_from_dict([summary])
    if not isinstance(message, AIMessage):
        raise TypeError(f"a chat model answered with a message of type {message.type}")
    return message


def _record(
    batch: Batch, tool: str, arguments: Mapping[str, Any], result: ToolResult, *, step: int, context: Context
) -> Decision:
    name = batch.allotment["batch"]
    decision = Decision(
        id=digest("decision", batch.iteration, name, step, tool, arguments),
        iteration=batch.iteration,
        batch=name,
        step=step,
        tool=tool,
        arguments={key: value for key, value in sorted(arguments.items()) if key != "reason"},
        reason=str(arguments.get("reason", "")),
        cost=Cost(teacher_calls=result.asked, samples=result.samples),
        outcome=result.outcome,
    )
    context.folder.event("decision_made", decision=decision.model_dump(mode="json"))
    context.reporter.decision_made(decision)
    return decision


def _facts(
    executor: ToolExecutor, history: Sequence[Mapping[str, Any]], settings: DecideSettings
) -> dict[str, Any]:
    """The facts about the batch that the model reads; they hold no test problem and no gate problem."""
    batch = executor.batch
    return {
        "iteration": batch.iteration,
        "batch": batch.allotment["batch"],
        "errors": [attempt.problem for attempt in batch.attempts],
        "format_errors": sum(attempt.format_error for attempt in batch.attempts),
        "samples_left": batch.allotment["samples"],
        "teacher_calls_left": batch.allotment["teacher_calls"],
        "steps": settings.max_steps,
        "tools": list(executor.tools),
        "tried": list(history),
    }


def build_decider(settings: DecideSettings, *, synthesize_share: float, chat: ChatStack | None) -> BaseChatModel:
    """The deciding chat model: the embedded policy, or any model behind an OpenAI-compatible endpoint."""
    if settings.model == "rules" or settings.base_url is None or chat is None:
        from errata.agent.decide.rules import RulesModel

        return RulesModel(synthesize_share=synthesize_share)
    options = decide_options(settings)
    return PaidDecider(endpoint=chat.endpoint(options), options=options)
