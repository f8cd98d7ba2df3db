"""The deciding loop with a chat model that makes mistakes: they come back to it as text, and are bounded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from pydantic import Field, PrivateAttr

from errata.agent.loop.driver import run_loop
from errata.agent.loop.parts import Parts
from errata.agent.run.folder import RunFolder
from errata.tools.errors import OperatorError
from errata.tools.records import Decision, Lesson
from errata.tools.teacher.protocol import FailureReply, FailureRequest
from tests.agent.loop_fakes import ScriptedTeacher, TableStudent, make_settings, write_data

LOCATE = ("locate_mistakes", {"reason": "where did it go wrong"})
TAG = ("tag_skills", {"reason": "what is missing"})
FINISH = ("finish_batch", {"reason": "done with it"})


class ScriptedModel(BaseChatModel):
    """Says what is in its script, then no more; remembers what it was told last."""

    script: list[Any]
    bound: list[str] = Field(default_factory=list)
    _heard: list[BaseMessage] = PrivateAttr(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "scripted"

    @property
    def heard(self) -> list[str]:
        return [str(m.content) for m in self._heard if isinstance(m, ToolMessage)]

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Any:
        assert not kwargs
        self.bound.extend(tool.model_json_schema()["title"] for tool in tools)
        return self

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        del stop, run_manager, kwargs
        self._heard[:] = messages
        said = self.script.pop(0)
        if isinstance(said, tuple):
            call = {"name": said[0], "args": said[1], "id": f"c{len(messages)}", "type": "tool_call"}
            said = AIMessage("", tool_calls=[call])
        return ChatResult(generations=[ChatGeneration(message=said)])


def run(tmp_path: Path, script: list[Any], **changes: Any) -> tuple[RunFolder, ScriptedModel, list[Decision]]:
    write_data(tmp_path / "data")
    model = ScriptedModel(script=script)
    teacher = changes.pop("teacher", None) or ScriptedTeacher()
    decide = {"batch_errors": 100, "max_steps": 8, **changes.pop("decide", {})}
    budget = {"iterations": 1, **changes.pop("budget", {})}
    settings = make_settings(
        tmp_path / "data", base=tmp_path / "base", decide=decide, budget=budget, **changes
    )
    folder = RunFolder(tmp_path / "runs" / "t-1")
    run_loop(settings, folder=folder, parts=Parts(student=TableStudent(), teacher=teacher, decider=model))
    return folder, model, folder.read_records("decisions.jsonl", Decision)


def test_tools_are_bound_under_their_names(tmp_path: Path) -> None:
    _, model, _ = run(tmp_path, [LOCATE, TAG, FINISH])
    assert model.bound == [
        "locate_mistakes",
        "tag_skills",
        "inspect_errors",
        "retrieve_samples",
        "finish_batch",
    ]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (("train_now", {"reason": "at once"}), "there is no tool 'train_now'; the tools are locate_mistakes"),
        (("synthesize_samples", {"reason": "make them", "skill": "x", "budget": 1}), "there is no tool"),
        (("locate_mistakes", {}), "locate_mistakes: reason: Field required"),
        (("locate_mistakes", {"reason": "because", "limit": 3}), "limit: Extra inputs are not permitted"),
        (
            ("retrieve_samples", {"reason": "more", "skill": "mirror letters", "budget": 0}),
            "budget: Input should be",
        ),
        (
            ("retrieve_samples", {"reason": "more", "skill": "mirror letters", "budget": 31}),
            "more than the 30 that are",
        ),
        (
            ("retrieve_samples", {"reason": "more", "skill": "juggling", "budget": 3}),
            "no missing skill 'juggling'; the",
        ),
        (
            ("inspect_errors", {"reason": "read", "problems": ["test-001"]}),
            "no errors of this batch: test-001",
        ),
        (LOCATE, "every error of the batch is located already"),
        (TAG, "every located error is tagged already"),
    ],
)
def test_a_bad_call_comes_back_as_text(call: tuple[str, dict[str, Any]], said: str, tmp_path: Path) -> None:
    _, model, decisions = run(tmp_path, [LOCATE, TAG, call, FINISH])
    assert said in model.heard[-1].replace('\\"', '"')
    assert [d.step for d in decisions] == [0, 1, 2, 3]
    assert decisions[2].outcome.startswith("refused: ")
    assert decisions[2].cost.samples == 0


def test_tag_before_locate_is_refused(tmp_path: Path) -> None:
    _, model, _ = run(tmp_path, [TAG, FINISH])
    assert "call locate_mistakes first" in model.heard[-1]


def test_replies_without_a_call_and_broken_arguments_are_bounded(tmp_path: Path) -> None:
    broken = AIMessage(
        "", invalid_tool_calls=[{"name": "tag_skills", "args": "{", "id": "x", "error": "bad JSON"}]
    )
    script = [AIMessage("I think so."), broken, *[AIMessage("Hm.")] * 6]
    folder, model, decisions = run(tmp_path, script)
    assert model.script == []
    assert "not valid JSON" in model.heard[0]
    assert [d.tool for d in decisions] == ["finish_batch"]
    assert "limit of 8 steps" in decisions[0].outcome
    assert folder.read_records("lessons.jsonl", Lesson) == []


def test_inspection_shows_the_errors_and_retrieval_gives_lessons(tmp_path: Path) -> None:
    inspect = ("inspect_errors", {"reason": "read two", "problems": ["diagnosis-000", "diagnosis-001"]})
    fetch = ("retrieve_samples", {"reason": "most errors", "skill": "compare sizes", "budget": 7})
    folder, model, decisions = run(tmp_path, [LOCATE, TAG, inspect, fetch, FINISH])
    assert '"mistake_step": 1' in model.heard[2]
    assert '"samples_left": 23' in model.heard[3]
    lessons = folder.read_records("lessons.jsonl", Lesson)
    assert {lesson.problem.skills[0] for lesson in lessons} == {"compare sizes"}
    assert [d.cost.samples for d in decisions] == [0, 0, 0, 7, 0]


def test_few_teacher_calls_locate_few_errors_and_tag_what_is_left(tmp_path: Path) -> None:
    _, model, decisions = run(
        tmp_path, [LOCATE, TAG, FINISH], budget={"total": {"samples": 30, "teacher_calls": 25}}
    )
    assert '"located": 6, ' in model.heard[0]
    assert decisions[0].cost.teacher_calls == 24
    assert decisions[1].cost.teacher_calls == 1
    assert '"without_skill": 29' in model.heard[1]


def test_an_endpoint_needs_its_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_data(tmp_path / "data")
    monkeypatch.setenv("SOME_KEY", "never read below the command line")
    decide = {"model": "some-model", "base_url": "http://localhost:1/v1", "key_env": "SOME_KEY"}
    settings = make_settings(tmp_path / "data", base=tmp_path / "base", decide=decide)
    parts = Parts(student=TableStudent(), teacher=ScriptedTeacher())
    with pytest.raises(OperatorError, match="export SOME_KEY"):
        run_loop(settings, folder=RunFolder(tmp_path / "runs" / "t-1"), parts=parts)


class AnalysingTeacher(ScriptedTeacher):
    """Also says what it sees in a failure."""

    def __init__(self) -> None:
        super().__init__()
        self.operations |= {"analyse_failure"}

    def analyse_failure(self, requests: Sequence[FailureRequest]) -> list[FailureReply]:
        return [FailureReply(reasoning=f"It took {r.given} for the answer.", type="counting") for r in requests]


@pytest.mark.parametrize("calls", [1, None])
def test_inspection_is_analysed_as_far_as_teacher_calls_are_left(tmp_path: Path, calls: int | None) -> None:
    inspect = ("inspect_errors", {"reason": "read two", "problems": ["diagnosis-000", "diagnosis-001"]})
    budget = {"total": {"samples": 30, "teacher_calls": calls}}
    _, model, decisions = run(tmp_path, [inspect, FINISH], budget=budget, teacher=AnalysingTeacher())
    assert ("It took four for the answer." in model.heard[0]) == (calls is None)
    assert decisions[0].cost.teacher_calls == (2 if calls is None else 0)
    assert decisions[0].outcome == ("read 2 errors, 2 of them analysed" if calls is None else "read 2 errors")
