"""The embedded policy: what it calls next, from the conversation alone."""

from __future__ import annotations

import json
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage

from errata.agent.decide.rules import RulesModel

ALL = [
    "locate_mistakes",
    "tag_skills",
    "inspect_errors",
    "retrieve_samples",
    "synthesize_samples",
    "finish_batch",
]


def facts(**changes: Any) -> dict[str, Any]:
    base = {
        "errors": [f"p{n}" for n in range(10)],
        "samples_left": 20,
        "steps": 24,
        "tools": ALL,
        "tried": [],
    }
    return {**base, **changes}


def play(told: dict[str, Any], answers: dict[str, Any], *, share: float = 0.25) -> list[tuple[str, dict[str, Any]]]:
    """Let the model talk to fixed answers by tool until it finishes; sample calls get all they ask for."""
    model = RulesModel(synthesize_share=share).bind_tools([])
    messages: list[BaseMessage] = [SystemMessage("rules"), HumanMessage(json.dumps(told))]
    calls: list[tuple[str, dict[str, Any]]] = []
    left = told["samples_left"]
    for _ in range(told["steps"]):
        reply = model.invoke(messages)
        assert isinstance(reply, AIMessage)
        (call,) = reply.tool_calls
        calls.append((call["name"], call["args"]))
        assert call["args"]["reason"]
        if call["name"] == "finish_batch":
            return calls
        answer = dict(answers.get(call["name"], {}))
        if "budget" in call["args"]:
            got = min(call["args"]["budget"], answer.pop("most", 1_000))
            left -= got
            answer["found" if call["name"] == "retrieve_samples" else "made"] = got
        messages += [
            reply,
            ToolMessage(json.dumps({**answer, "samples_left": left}), tool_call_id=call["id"]),
        ]
    raise AssertionError("the policy did not finish within its steps")


def tagged(*counts: int) -> dict[str, Any]:
    return {"tag_skills": {"skills": [{"skill": f"s{n}", "errors": count} for n, count in enumerate(counts)]}}


def samples(calls: list[tuple[str, dict[str, Any]]]) -> list[tuple[str, str, int]]:
    return [(tool, args["skill"], args["budget"]) for tool, args in calls if "budget" in args]


def test_order_and_shares_in_proportion_to_errors() -> None:
    calls = play(facts(), tagged(6, 3, 1))
    assert [tool for tool, _ in calls[:2]] == ["locate_mistakes", "tag_skills"]
    assert calls[-1][0] == "finish_batch"
    assert samples(calls) == [
        ("retrieve_samples", "s0", 9),
        ("synthesize_samples", "s0", 3),
        ("retrieve_samples", "s1", 4),
        ("synthesize_samples", "s1", 2),
        ("retrieve_samples", "s2", 2),
    ]


def test_what_is_not_bound_is_not_called() -> None:
    tools = ["tag_skills", "inspect_errors", "retrieve_samples", "finish_batch"]
    calls = play(facts(tools=tools), tagged(5))
    assert [tool for tool, _ in calls] == ["tag_skills", "retrieve_samples", "finish_batch"]
    assert samples(calls) == [("retrieve_samples", "s0", 20)]
    assert [tool for tool, _ in play(facts(tools=["finish_batch"]), {})] == ["finish_batch"]


@pytest.mark.parametrize(
    ("fetched", "made", "gain", "route"),
    [
        (9, 1, -0.01, "synthesize_samples"),
        (1, 9, 0.0, "retrieve_samples"),
        (9, 1, 0.02, None),
        (9, 1, None, None),
    ],
)
def test_a_route_without_gain_is_changed(fetched: int, made: int, gain: float | None, route: str | None) -> None:
    tried = [{"iteration": 1, "skill": "s0", "fetched": fetched, "made": made, "gain": gain}]
    found = {tool for tool, _, _ in samples(play(facts(tried=tried), tagged(5)))}
    assert found == ({route} if route else {"retrieve_samples", "synthesize_samples"})


def test_where_only_one_route_is_bound_no_change_of_route_is_claimed() -> None:
    tried = [{"iteration": 1, "skill": "s0", "fetched": 9, "made": 1, "gain": 0.0}]
    tools = ["tag_skills", "retrieve_samples", "finish_batch"]
    calls = play(facts(tools=tools, tried=tried), tagged(5))
    assert [args["reason"] for tool, args in calls if tool == "retrieve_samples"] == [
        "5 of 10 errors lack it: 20 of 20 samples."
    ]


def test_what_was_left_open_goes_to_a_skill_that_gave_all() -> None:
    answers = {**tagged(5, 5), "synthesize_samples": {"most": 0}}
    found = samples(play(facts(), answers))
    assert found[-1] == ("retrieve_samples", "s0", 4)
    assert len(found) == 5


def test_rare_skills_wait_when_steps_are_few() -> None:
    calls = play(facts(steps=8, samples_left=100), tagged(*range(30, 0, -1)))
    assert {skill for _, skill, _ in samples(calls)} == {"s0"}


def test_no_skill_no_samples() -> None:
    assert samples(play(facts(), {"tag_skills": {"skills": []}})) == []
