"""The embedded deciding model: a chat model that calls tools by an explicit policy, without a network.

It reads nothing but the conversation, as any other deciding model does, so it is also the control against
which decisions of a language model are measured. The policy:

1. locate_mistakes, then tag_skills, where they are bound.
2. Divide the batch's samples over the missing skills in proportion to their errors (largest remainder).
   When there are more skills than steps for them, the rarest ones wait.
3. Per skill: `synthesize_share` of its samples is made, the rest is fetched. A skill that was fetched in an
   iteration without gain is made instead, and the other way round. What is not bound is not called.
4. What the calls left open of the budget goes once more to the first skill that gave all it was asked for.
5. finish_batch.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable

from errata.agent.decide.budget import allot_shares

FETCH, MAKE = "retrieve_samples", "synthesize_samples"
SPARE_STEPS = 5
"""Steps kept for locate, tag, both calls for what was left open, and finish."""


class Call(NamedTuple):
    """One tool call that the policy wants."""

    tool: str
    arguments: dict[str, Any]


class Done(NamedTuple):
    """One tool call of the conversation with its answer."""

    tool: str
    arguments: dict[str, Any]
    answer: dict[str, Any]


class RulesModel(BaseChatModel):
    """See the module's docstring."""

    synthesize_share: float
    """Part of a skill's samples that is made, 0 to 1."""

    @property
    def _llm_type(self) -> str:
        return "errata-rules"

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Runnable[Any, AIMessage]:
        """The facts of the batch name the tools; binding them changes nothing here."""
        del tools, kwargs
        return self

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        del stop, run_manager, kwargs
        facts = next(json.loads(str(m.content)) for m in messages if isinstance(m, HumanMessage))
        done = read_calls(messages)
        call = choose_call(facts, done, share=self.synthesize_share)
        entry = {"name": call.tool, "args": call.arguments, "id": f"call-{len(done)}", "type": "tool_call"}
        message = AIMessage(content=str(call.arguments["reason"]), tool_calls=[entry], id=f"reply-{len(done)}")
        return ChatResult(generations=[ChatGeneration(message=message)])


def read_calls(messages: Sequence[BaseMessage]) -> list[Done]:
    """The tool calls of a conversation in their order, each with what it answered."""
    asked = {c["id"]: c for m in messages if isinstance(m, AIMessage) for c in m.tool_calls}
    return [
        Done(asked[m.tool_call_id]["name"], asked[m.tool_call_id]["args"], json.loads(str(m.content)))
        for m in messages
        if isinstance(m, ToolMessage) and m.tool_call_id in asked
    ]


def choose_call(facts: dict[str, Any], done: Sequence[Done], *, share: float) -> Call:
    """The next call of the policy."""
    called = {call.tool for call in done}
    count = len(facts["errors"])
    if "locate_mistakes" in facts["tools"] and "locate_mistakes" not in called:
        return Call("locate_mistakes", {"reason": f"{count} wrong answers: first find the step each went wrong."})
    if "tag_skills" in facts["tools"] and "tag_skills" not in called:
        return Call("tag_skills", {"reason": "Name the missing skills before any sample is chosen."})
    tagged = next((call.answer for call in done if call.tool == "tag_skills"), {})
    plan = plan_calls(facts, tagged.get("skills", []), share=share)
    samples = [call for call in done if call.tool in (FETCH, MAKE)]
    if len(samples) < len(plan):
        return plan[len(samples)]
    extra = _top_up(samples, planned=len(plan))
    return extra or _finish(samples)


def plan_calls(facts: dict[str, Any], skills: Sequence[dict[str, Any]], *, share: float) -> list[Call]:
    """The calls for samples: by skill, most errors first."""
    routes = [tool for tool in (FETCH, MAKE) if tool in facts["tools"]]
    if not routes:
        return []
    kept = list(skills)[: max(1, (facts["steps"] - SPARE_STEPS) // len(routes))]
    budgets = allot_shares(facts["samples_left"], weights=[skill["errors"] for skill in kept])
    calls = []
    for skill, budget in zip(kept, budgets, strict=True):
        part, why = (float(routes == [MAKE]), "")
        if len(routes) == 2:
            part, why = _share_made(skill["skill"], facts["tried"], share=share)
        made = round(budget * part)
        about = f"{skill['errors']} of {len(facts['errors'])} errors lack it"
        for tool, amount in ((FETCH, budget - made), (MAKE, made)):
            if amount:
                reason = f"{about}: {amount} of {facts['samples_left']} samples{why}."
                calls.append(Call(tool, {"skill": skill["skill"], "budget": amount, "reason": reason}))
    return calls


def _share_made(skill: str, tried: Sequence[dict[str, Any]], *, share: float) -> tuple[float, str]:
    """Share of a skill's samples that is made, and the reason where it differs from the setting."""
    last = next((entry for entry in reversed(tried) if entry["skill"] == skill), None)
    if last is None or last["gain"] is None or last["gain"] > 0:
        return share, ""
    if last["made"] >= last["fetched"]:
        return 0.0, "; made samples brought no gain last time, so they are fetched"
    return 1.0, "; fetched samples brought no gain last time, so they are made"


def _top_up(samples: Sequence[Done], *, planned: int) -> Call | None:
    """One more call that spends what is left, on the first skill that gave all that was asked for."""
    if not samples or len(samples) > planned:
        return None
    left = samples[-1].answer.get("samples_left", 0)
    full = next((c for c in samples if _got(c) == c.arguments["budget"] and "error" not in c.answer), None)
    if left < 1 or full is None:
        return None
    reason = f"{left} samples were left open elsewhere, and this skill gave all that was asked for."
    return Call(full.tool, {"skill": full.arguments["skill"], "budget": left, "reason": reason})


def _got(call: Done) -> int:
    return int(call.answer.get("found", call.answer.get("made", 0)))


def _finish(samples: Sequence[Done]) -> Call:
    got = sum(_got(call) for call in samples)
    skills = len({call.arguments["skill"] for call in samples})
    summary = f"{got} samples for {skills} missing skills"
    reason = "The samples are chosen." if got else "There is nothing that samples could be chosen for."
    return Call("finish_batch", {"reason": reason, "summary": summary})
