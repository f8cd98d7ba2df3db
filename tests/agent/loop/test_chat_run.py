"""A run whose teacher is a chat model: paid once over stops and resumes, counted, capped; and what the commands say."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from errata.agent.cli.main import main
from errata.agent.decide.plan import plan_of
from errata.agent.loop.driver import resume_loop, run_loop
from errata.agent.loop.parts import Parts
from errata.agent.run.cost import cost_of
from errata.agent.run.folder import RunFolder
from errata.agent.run.teacher.split_guard import find_test_leaks
from errata.agent.settings.file import dump_settings
from errata.agent.settings.tree import Settings
from errata.tools.data.read import read_problems
from errata.tools.errors import OperatorError, StopRequested
from errata.tools.records import Decision, Mistake
from tests.agent.loop_fakes import StoppingReporter, TableStudent, make_settings, read_everything, write_data
from tests.chat_server import Answer, ChatServer, say_letter

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])
PRICES = {"m": {"tokens_in": 1.0, "tokens_out": 2.0}}


def answer(body: dict[str, Any]) -> Answer:
    """Names the skill that the question speaks of, and switches to the last option after two steps."""
    text = body["messages"][1]["content"]
    skill = text.partition(" about ")[2].partition("\n")[0]
    if "\nSteps so far" in text:
        late = "\n2 | " in text
        return say_letter([0.1, 0.1, 0.1, 0.7] if late else [0.7, 0.1, 0.1, 0.1])
    return Answer(json.dumps({"skills": [skill]} if "\nWorked solution" in text else {"skill": skill}))


def settings_for(tmp_path: Path, server: ChatServer, **chat: object) -> Settings:
    write_data(tmp_path / "data", pool=60, rest=20)
    retries = {"wait_scale": 0.001, "attempts": 3}
    branch = {"base_url": server.url, "model": "m", "retries": retries, "prices": PRICES, **chat}
    budget = {"total": {"samples": 20}, "iteration": {"samples": 10}, "iterations": 2}
    teacher = {"kind": "chat", "chat": branch}
    return make_settings(tmp_path / "data", base=tmp_path / "base", teacher=teacher, budget=budget)


def run(settings: Settings, folder: RunFolder, **parts: Any) -> str:
    return run_loop(settings, folder=folder, parts=Parts(student=TableStudent(), **parts))


def test_a_stopped_run_pays_nothing_twice_and_ends_as_an_undisturbed_one(tmp_path: Path) -> None:
    with ChatServer(answer) as server:
        settings = settings_for(tmp_path, server)
        whole = RunFolder(tmp_path / "runs" / "t-1")
        run(settings, whole)
        asked = Counter(seen.asked for seen in server.seen)
        stopped = RunFolder(tmp_path / "runs" / "t-2")
        reporter = StoppingReporter(stopped, stage="investigate", number=1)
        with pytest.raises(StopRequested):
            run_loop(settings, folder=stopped, reporter=reporter, parts=Parts(student=TableStudent()))
        resume_loop(stopped, parts=Parts(student=TableStudent()))
        assert set(asked.values()) == {1}
        assert Counter(seen.asked for seen in server.seen) == Counter({key: 2 for key in asked})
    assert read_everything(stopped) == read_everything(whole)
    first, second = cost_of(whole), cost_of(stopped)
    assert first["total"]["sent"] == second["total"]["sent"] == len(asked)
    assert first["total"]["money"] == pytest.approx(second["total"]["money"])
    assert {(row["stage"], row["role"]) for row in first["rows"]} == {
        ("index", "tag"),
        ("investigate", "diagnose"),
        ("investigate", "tag"),
    }
    assert sum(row["sent"] for row in first["rows"]) == first["total"]["sent"]
    problems = read_problems(tmp_path / "data" / "test.jsonl", split="test").problems
    assert find_test_leaks(whole, {p.id: p for p in problems}) == []
    assert not any("test question" in json.dumps(seen.body) for seen in server.seen)


def test_a_lasting_fault_is_one_line_and_the_run_goes_on_after_it_is_mended(tmp_path: Path) -> None:
    broken = {"fault": ""}
    with ChatServer(answer, fault=lambda number, _: broken["fault"] if number > 70 else None) as server:
        settings, folder = settings_for(tmp_path, server), RunFolder(tmp_path / "t-1")
        broken["fault"] = "key"
        with pytest.raises(OperatorError, match="key from m") as met:
            run(settings, folder)
        assert "\n" not in str(met.value)
        broken["fault"] = ""
        resume_loop(folder, parts=Parts(student=TableStudent()))
        good = Counter(seen.asked for seen in server.seen if not seen.fault)
    assert set(good.values()) == {1}
    assert cost_of(folder)["total"]["faults"] == sum(bool(seen.fault) for seen in server.seen)


def test_a_cap_ends_the_run_in_order_and_is_never_passed(tmp_path: Path) -> None:
    with ChatServer(answer) as server:
        settings, folder = settings_for(tmp_path, server, caps={"calls": 75}), RunFolder(tmp_path / "t-1")
        assert run(settings, folder) == "budget_spent"
        assert len(server.seen) <= 75
    refused = [d.outcome for d in folder.read_records("decisions.jsonl", Decision) if "refused" in d.outcome]
    assert any("the cap of 75 calls" in outcome for outcome in refused)
    assert cost_of(folder)["held"]["calls"] <= 75


def test_a_cap_too_small_for_the_pool_is_one_line_that_names_it(tmp_path: Path) -> None:
    with ChatServer(answer) as server:
        settings = settings_for(tmp_path, server, caps={"calls": 10})
        with pytest.raises(OperatorError, match=r"^teacher\.chat\.caps\.calls: .*raise teacher\.chat\.caps\.calls"):
            run(settings, RunFolder(tmp_path / "t-1"))
        assert len(server.seen) == 10


def test_what_the_commands_print(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with ChatServer(answer) as server:
        settings, folder = settings_for(tmp_path, server, caps={"calls": 500}), RunFolder(tmp_path / "runs" / "t-1")
        run(settings, folder)
        capsys.readouterr()
        assert main(["cost", "t-1", "--runs-dir", str(tmp_path / "runs")]) == 0
        table = capsys.readouterr().out
        assert main(["cost", "t-1", "--runs-dir", str(tmp_path / "runs"), "--json"]) == 0
        cost = json.loads(capsys.readouterr().out)
        assert cost["total"]["sent"] == len(server.seen)
        assert f"calls {len(server.seen)} of 500" in table
        before = len(server.seen)
        plan = plan_of(settings)
        assert len(server.seen) == before, "a forecast sends nothing"
    assert plan["forecast, skills of the pool"]["calls"] == 60
    assert plan["forecast, in all"]["money"] > 0
    assert plan["forecast, in all"]["caps"] == {"calls": 500}
    assert "50% of 20 questions" in plan["forecast, missing skills"]["derived"]


def test_doctor_asks_the_endpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def reply(body: dict[str, Any]) -> Answer:
        colour = "colour" in json.dumps(body)
        return Answer('{"colour": "red"}') if colour else say_letter([0.9, 0.1])

    faults = {"fault": ""}
    with ChatServer(reply, fault=lambda _, __: faults["fault"]) as server:
        config = tmp_path / "run.yaml"
        config.write_text(dump_settings(settings_for(tmp_path, server)), encoding="utf-8")
        assert main(["doctor", "--teacher", str(config)]) == 0
        out = capsys.readouterr().out
        assert "ok   logprobs: 2 of 20 asked for" in out
        assert "ok   images:" in out
        faults["fault"] = "no_logprobs"
        assert main(["doctor", "--teacher", str(config), "--json"]) == 1
        checks = {check["name"]: check for check in json.loads(capsys.readouterr().out)["checks"]}
        assert checks["logprobs"]["ok"] is False
        faults["fault"] = "key"
        assert main(["doctor", "--teacher", str(config)]) == 2
        assert capsys.readouterr().err.count("\n") == 1


def decide(body: dict[str, Any]) -> Answer:
    """A deciding model that first obeys the dataset, then does what it should."""
    if "tools" not in body:
        return answer(body)
    said = [call["function"]["name"] for m in body["messages"] for call in m.get("tool_calls") or ()]
    reason = '{"reason": "as the text of the question says"}'
    calls = ["run_shell", "locate_mistakes", "tag_skills", "finish_batch"]
    return Answer("", tool_calls=[(calls[len(said)], reason)])


def test_a_deciding_model_is_paid_through_the_same_store_and_obeys_the_list_of_tools(tmp_path: Path) -> None:
    with ChatServer(decide) as server:
        settings = settings_for(tmp_path, server)
        branch = settings.decide.model_copy(update={"model": "d", "base_url": server.url, "batch_errors": 100})
        settings, folder = settings.model_copy(update={"decide": branch}), RunFolder(tmp_path / "t-1")
        run(settings, folder)
    rows = {(row["role"], row["model"], row["iteration"]): row for row in cost_of(folder)["rows"]}
    assert rows["decide", "d", 1]["sent"] == 4
    assert rows["decide", "d", 1]["money"] is None, "no price, no guess"
    first = folder.read_records("decisions.jsonl", Decision)[:4]
    assert [d.tool for d in first] == ["run_shell", "locate_mistakes", "tag_skills", "finish_batch"]
    assert "there is no tool 'run_shell'" in first[0].outcome


def test_a_cap_that_meets_the_deciding_model_ends_its_batch(tmp_path: Path) -> None:
    with ChatServer(decide) as server:
        settings = settings_for(tmp_path, server, caps={"calls": 61})
        branch = settings.decide.model_copy(update={"model": "d", "base_url": server.url, "batch_errors": 100})
        settings, folder = settings.model_copy(update={"decide": branch}), RunFolder(tmp_path / "t-1")
        assert run(settings, folder) == "budget_spent"
        assert len(server.seen) == 61
    assert "ended: the cap of 61 calls" in folder.read_records("decisions.jsonl", Decision)[-1].outcome


def test_a_run_without_an_endpoint_has_cost_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = RunFolder(tmp_path / "t-1")
    settings = make_settings(tmp_path / "data", base=tmp_path / "base")
    folder.write_text("settings.yaml", dump_settings(settings))
    write_data(tmp_path / "data")
    assert main(["cost", str(folder.path), "--runs-dir", str(tmp_path)]) == 0
    assert "nothing was asked of an endpoint" in capsys.readouterr().out
    assert not folder.has("paid.sqlite")


def test_a_key_that_is_not_set_and_a_chat_teacher_without_endpoint_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    with ChatServer(answer) as server:
        config = tmp_path / "run.yaml"
        config.write_text(dump_settings(settings_for(tmp_path, server, key_env="NO_SUCH_KEY")), encoding="utf-8")
    assert main(["doctor", "--teacher", str(config)]) == 2
    assert "NO_SUCH_KEY" in capsys.readouterr().err
    assert main(["run", str(config), "teacher.chat=null", "--dry-run"]) == 2
    assert "the chat teacher needs an endpoint" in capsys.readouterr().err


def rival_answer(body: dict[str, Any]) -> Answer:
    """Also says which step is wrong, and that no two skills are the same."""
    text = body["messages"][1]["content"]
    if "\nWhich is the first wrong step?" in text:
        return Answer(json.dumps({"step": 2}))
    return Answer(json.dumps({"same": False})) if "\nSecond\n" in text else answer(body)


def test_a_run_may_locate_by_asking_the_model_outright(tmp_path: Path) -> None:
    with ChatServer(rival_answer, fault=lambda _, body: "bad_request" if body.get("logprobs") else None) as server:
        settings, folder = settings_for(tmp_path, server), RunFolder(tmp_path / "t-1")
        settings = settings.model_copy(update={"locate": settings.locate.model_copy(update={"method": "teacher_says"})})
        run(settings, folder)
        plan = plan_of(settings)
    mistakes = [m for path in sorted(folder.path.glob("mistakes/*.jsonl")) for m in folder.read_records(path, Mistake)]
    assert {(m.method, m.status, m.step) for m in mistakes} == {("teacher_says", "found", 1)}
    located = [row for row in cost_of(folder)["rows"] if row["role"] == "diagnose"]
    assert sum(row["sent"] for row in located) > 0
    assert "1 requests each by teacher_says" in plan["forecast, step location"]["derived"]
    assert plan["forecast, step location"]["calls"] == 20
