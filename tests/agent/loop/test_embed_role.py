"""Embeddings as a role of a run's endpoints: one ledger, one set of caps; and roles that would be left unread."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from errata.agent.cli.main import main
from errata.agent.run.cost import cost_of
from errata.agent.run.folder import RunFolder
from errata.agent.run.teacher.split_guard import find_test_leaks
from errata.agent.settings.file import dump_settings
from errata.agent.settings.tree import Settings
from errata.tools.errors import OperatorError
from tests.agent.loop.test_chat_run import PRICES, answer, run, settings_for
from tests.agent.loop_fakes import ScriptedTeacher, make_settings, write_data
from tests.chat_server import Answer, ChatServer, say_letter

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])


def embedding_settings(tmp_path: Path, server: ChatServer, **chat: object) -> Settings:
    settings = settings_for(tmp_path, server, **chat).model_dump()
    settings["teacher"]["chat"]["roles"] = {"embed": {"model": "e"}}
    settings["retrieve"] |= {"mode": "hybrid", "embedding": "endpoint"}
    return Settings.model_validate(settings)


def test_embeddings_are_a_role_of_the_endpoints_paid_once_and_shown_by_cost(tmp_path: Path) -> None:
    with ChatServer(answer) as server:
        prices = {**PRICES, "e": {"tokens_in": 1.0, "tokens_out": 0.0}}
        settings, folder = embedding_settings(tmp_path, server, prices=prices), RunFolder(tmp_path / "t-1")
        run(settings, folder)
        asked = Counter(seen.asked for seen in server.seen if "input" in seen.body)
        assert set(asked.values()) == {1}
    rows = {row["stage"]: row for row in cost_of(folder)["rows"] if row["role"] == "embed"}
    assert rows["index"]["sent"] == 1, "the pool's few skills fill one request"
    assert rows["investigate"]["sent"] + rows["index"]["sent"] == len(asked)
    assert rows["index"]["money"] > 0
    assert find_test_leaks(folder, {}) == []


def test_a_cap_too_small_for_the_embeddings_is_one_line(tmp_path: Path) -> None:
    with ChatServer(answer) as server:
        settings = embedding_settings(tmp_path, server, caps={"calls": 60})
        with pytest.raises(OperatorError, match=r"^teacher\.chat\.caps\.calls: .*raise teacher\.chat\.caps\.calls"):
            run(settings, RunFolder(tmp_path / "t-1"))
        assert len(server.seen) == 60


def test_embeddings_of_an_endpoint_are_entered_without_a_chat_teacher_too(tmp_path: Path) -> None:
    write_data(tmp_path / "data", pool=60, rest=20)
    with ChatServer(answer) as server:
        retrieve = {"mode": "dense", "embedding": "endpoint", "embedding_url": server.url, "embedding_model": "e"}
        settings = make_settings(tmp_path / "data", base=tmp_path / "base", retrieve=retrieve)
        folder = RunFolder(tmp_path / "t-1")
        run(settings, folder, teacher=ScriptedTeacher())
        sent = len(server.seen)
    assert sent > 1
    assert {row["role"] for row in cost_of(folder)["rows"]} == {"embed"}
    assert cost_of(folder)["total"]["sent"] == sent
    assert cost_of(folder)["total"]["money"] is None, "no price, no guess"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"retrieve": {"embedding": "endpoint"}}, "the embedding endpoint has no address or model"),
        ({"roles": {"embed": {"model": "e"}}}, "roles.embed is for retrieve.embedding=endpoint"),
        ({"roles": {"embed": {"key_env": "K"}}}, "roles.embed needs the model"),
        ({"roles": {"decide": {"model": "d"}}}, "give decide.model"),
        (
            {"roles": {"embed": {"model": "e"}}, "caps": {"money": 1.0}, "retrieve": {"embedding": "endpoint"}},
            "cannot be kept without a price of 'e'",
        ),
    ],
)
def test_roles_that_would_be_left_unread_are_refused(
    tmp_path: Path, changes: dict[str, dict[str, Any]], words: str
) -> None:
    chat = {"base_url": "http://127.0.0.1:1/v1", "model": "m", "prices": PRICES, **changes}
    retrieve = chat.pop("retrieve", {})
    teacher = {"kind": "chat", "chat": chat}
    with pytest.raises(ValueError, match=words):
        make_settings(tmp_path / "data", base=tmp_path / "base", teacher=teacher, retrieve=retrieve)


def test_doctor_tries_the_embeddings_and_needs_logprobs_for_answer_switch_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def reply(body: dict[str, Any]) -> Answer:
        return Answer('{"colour": "red"}') if "colour" in json.dumps(body) else say_letter([0.9, 0.1])

    with ChatServer(reply, fault=lambda _, body: "no_logprobs" if body.get("logprobs") else None) as server:
        config = tmp_path / "run.yaml"
        config.write_text(dump_settings(embedding_settings(tmp_path, server)), encoding="utf-8")
        assert main(["doctor", "--teacher", str(config)]) == 1
        text = config.read_text(encoding="utf-8").replace("method: answer_switch", "method: teacher_says")
        config.write_text(text, encoding="utf-8")
        capsys.readouterr()
        assert main(["doctor", "--teacher", str(config)]) == 0
        assert "ok   embeddings: 9 numbers a text from e at" in capsys.readouterr().out


def test_a_control_that_embeds_by_an_endpoint_pays_from_the_same_purse(tmp_path: Path) -> None:
    write_data(tmp_path / "data", pool=60, rest=20)
    with ChatServer(answer) as server:
        retrieve = {"embedding": "endpoint", "embedding_url": server.url, "embedding_model": "e"}
        budget = {"total": {"samples": 10}, "iteration": {"samples": 10}, "iterations": 1}
        settings = make_settings(
            tmp_path / "data", base=tmp_path / "base", retrieve=retrieve, control="insta", budget=budget
        )
        folder = RunFolder(tmp_path / "t-1")
        run(settings, folder, teacher=ScriptedTeacher())
        sent = len(server.seen)
    assert sent > 0
    assert [(row["stage"], row["role"], row["sent"]) for row in cost_of(folder)["rows"]] == [
        ("investigate", "embed", sent)
    ]
