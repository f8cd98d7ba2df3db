"""The loop as a LangGraph state machine.

evaluate -> triage -> allocate -> investigate (one branch per error batch) -> assemble -> train -> evaluate
         -> gate -> triage | report
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Send

from errata.agent.loop import nodes
from errata.agent.loop.state import BranchState, LoopState
from errata.agent.run.context import Context


def build_graph(
    context: Context, *, checkpointer: BaseCheckpointSaver[str] | None = None
) -> CompiledStateGraph[Any, Any, Any, Any]:
    """The compiled graph; its nodes work with `context`, its state is `LoopState`."""
    graph: StateGraph[Any, Any, Any, Any] = StateGraph(LoopState)
    steps: list[Callable[..., Any]] = [
        nodes.evaluate,
        nodes.triage,
        nodes.allocate,
        nodes.investigate,
        nodes.assemble,
        nodes.train,
        nodes.gate,
        nodes.report,
    ]
    for step in steps:
        graph.add_node(step.__name__, partial(step, context=context))
    graph.add_edge(START, "evaluate")
    graph.add_conditional_edges("evaluate", after_evaluate, ["triage", "gate"])
    graph.add_conditional_edges("triage", after_triage, ["allocate", "report"])
    graph.add_conditional_edges("allocate", after_allocate, ["investigate", "assemble"])
    graph.add_edge("investigate", "assemble")
    graph.add_conditional_edges("assemble", after_assemble, ["train", "triage"])
    graph.add_conditional_edges("train", after_train, ["evaluate", "report"])
    graph.add_edge("gate", "triage")
    graph.add_edge("report", END)
    return graph.compile(checkpointer=checkpointer)


def after_evaluate(state: LoopState) -> str:
    """The base goes to triage, since there is nothing to compare it with."""
    return "triage" if state["iteration"] == 0 else "gate"


def after_triage(state: LoopState) -> str:
    """On to the next iteration, or to the report."""
    return "report" if state["stop"] else "allocate"


def after_allocate(state: LoopState) -> str | list[Send]:
    """One branch per error batch; a control without a diagnosis has none."""
    branches = [
        Send("investigate", BranchState(iteration=state["iteration"], best=state["best"], allotment=allotment))
        for allotment in state["allotments"]
    ]
    return branches or "assemble"


def after_assemble(state: LoopState) -> str:
    """Back to triage if there is no new lesson to train on."""
    return "triage" if state["dry"] else "train"


def after_train(state: LoopState) -> str:
    """To the report if the budget ended before the training began."""
    return "report" if state["stop"] else "evaluate"
