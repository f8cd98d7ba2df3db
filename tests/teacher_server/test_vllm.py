"""The chat teacher against a real vLLM: `make teacher-test` starts one; without it these tests are skipped."""

from __future__ import annotations

import os
import random
import sqlite3
import urllib.request
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from langchain_core.messages import convert_to_messages

from errata.agent.cli.main import main
from errata.agent.decide.chat_model import PaidDecider
from errata.agent.decide.tool_arguments import TOOLS
from errata.tools.errors import OperatorError
from errata.tools.locate.answer_switch import SwitchOptions, locate_mistakes
from errata.tools.records import Attempt, digest
from errata.tools.steps import split_steps
from errata.tools.teacher.chat import closed
from errata.tools.teacher.chat_options import ChatOptions
from errata.tools.teacher.chat_stack import ChatStack
from errata.tools.teacher.endpoint import ChatRequest
from errata.tools.teacher.letters import letter_of
from errata.tools.teacher.local_train import slip
from errata.tools.teacher.protocol import JudgeRequest, MissingSkillRequest, OptionRequest, RequiredSkillsRequest
from errata.tools.world.skills import SKILLS
from tests.teacher_server.lessons import decide_messages, draw_question, make_problem, messages_of, say_skill
from tests.teacher_server.server import BLOCK, CONTEXT, NAME, forget_prefixes

URL, MODEL = os.environ.get("ERRATA_VLLM_URL", ""), os.environ.get("ERRATA_VLLM_MODEL", "")
pytestmark = [
    pytest.mark.vllm,
    pytest.mark.allow_hosts(["127.0.0.1"]),
    pytest.mark.skipif(not URL, reason="no vLLM is running; make teacher-test starts one"),
]
WORDINGS = {say_skill(name) for name in SKILLS}


def options(**fields: Any) -> ChatOptions:
    return ChatOptions.model_validate(
        {"base_url": URL, "model": NAME, "retries": {"attempts": 2, "wait_scale": 0.01}, **fields}
    )


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[ChatStack]:
    with ChatStack(options(), keys={}, path=tmp_path / "paid.sqlite", run="r") as opened:
        yield opened


def ledger(folder: Path, *columns: str) -> list[tuple[Any, ...]]:
    with sqlite3.connect(folder / "paid.sqlite") as connection:
        return connection.execute(f"SELECT {', '.join(columns)} FROM ledger ORDER BY id").fetchall()


def prefixes(seed: int) -> list[OptionRequest]:
    question = draw_question(random.Random(seed))
    steps = tuple(step.text for step in split_steps(question.rationale))
    prior = tuple(0.6 if option == question.answer else 0.0 for option in question.options)
    shown = {"problem": f"q{seed}", "question": question.text, "options": question.options, "prior": prior}
    return [OptionRequest(**shown, steps=steps[:i]) for i in range(len(steps) + 1)]


def prompt_ids(request: OptionRequest, tokenizer: Any, *, reply: str = "") -> list[int]:
    messages = list(messages_of(lambda teacher: teacher.option_probabilities([request])))
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    return list(tokenizer(text + reply, add_special_tokens=False)["input_ids"])


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(MODEL)


def read_directly(request: OptionRequest, tokenizer: Any, model: Any) -> tuple[list[float], float]:
    """Probabilities of the letters after "The answer is", read through transformers, and their sum before division."""
    import torch

    ids = torch.tensor([prompt_ids(request, tokenizer, reply="The answer is")])
    with torch.inference_mode():
        spread = model(input_ids=ids).logits[0, -1].double().softmax(-1)
    letters = ["A", "B", "C", "D"][: len(request.options)]
    shares = dict.fromkeys(letters, 0.0)
    for token in spread.topk(20).indices.tolist():
        letter = letter_of(tokenizer.convert_ids_to_tokens(token), letters)
        if letter is not None:
            shares[letter] += float(spread[token])
    mass = sum(shares.values())
    return [share / mass for share in shares.values()], mass


def test_letters_have_the_probabilities_of_the_model_itself(stack: ChatStack, tokenizer: Any) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.float32).eval()
    asked = [request for seed in range(8) for request in prefixes(seed)]
    replies = stack.teacher().option_probabilities(asked)
    worst = 0.0
    for request, reply in zip(asked, replies, strict=True):
        probabilities, mass = read_directly(request, tokenizer, model)
        worst = max(worst, abs(mass - reply.mass), *map(abs_difference, probabilities, reply.probabilities))
        assert reply.mass > 0.9, "the model answers with a letter"
    print(f"largest difference over {len(asked)} prefixes: {worst:.2e}")
    assert worst < 1e-3
    assert len({round(reply.probabilities[0], 3) for reply in replies}) > len(asked) // 4


def test_letters_that_a_short_list_lacks_are_read_exactly(stack: ChatStack, tmp_path: Path) -> None:
    asked = [request for seed in range(8) for request in prefixes(seed)]
    whole = stack.teacher().option_probabilities(asked)
    with ChatStack(options(top_logprobs=1), keys={}, path=tmp_path / "short.sqlite", run="r") as short:
        bounds = short.teacher().option_probabilities(asked)
        exact = short.teacher().option_probabilities([a.model_copy(update={"exact": True}) for a in asked])
    assert all(reply.high for reply in bounds), "one entry never holds all letters"
    worst = 0.0
    for full, bound, forced in zip(whole, bounds, exact, strict=True):
        assert not forced.high
        worst = max(worst, *map(abs_difference, full.probabilities, forced.probabilities))
        ends = zip(bound.low, forced.probabilities, bound.high, strict=True)
        assert all(low - 1e-6 <= value <= high + 1e-6 for low, value, high in ends)
    print(f"largest difference over {len(asked)} prefixes: {worst:.2e}")
    assert worst < 1e-3


def abs_difference(one: float, other: float) -> float:
    return abs(one - other)


def test_the_steps_lead_the_model_and_without_any_the_prior(stack: ChatStack) -> None:
    whole, bare = [], []
    for seed in range(20):
        asked = prefixes(seed)
        gold = asked[0].prior.index(0.6)
        first, last = stack.teacher().option_probabilities([asked[0], asked[-1]])
        bare.append(first.probabilities[gold] > 0.5)
        whole.append(last.probabilities[gold] > 0.5)
    assert sum(whole) >= 18
    assert sum(bare) >= 18


def test_replies_keep_to_strict_schemas(stack: ChatStack, tmp_path: Path) -> None:
    teacher, rng = stack.teacher(), random.Random(3)
    questions = [draw_question(rng) for _ in range(6)]
    problems = [make_problem(question) for question in questions]
    steps = [tuple(step.text for step in split_steps(question.rationale)) for question in questions]
    missing = teacher.missing_skill(
        [MissingSkillRequest(problem=p, steps=s, step=0) for p, s in zip(problems, steps, strict=True)]
    )
    required = teacher.required_skills([RequiredSkillsRequest(problem=p) for p in problems])
    judged = teacher.judge([JudgeRequest(problem=p) for p in problems])
    assert all(len(reply.skills) == 1 for reply in missing)
    assert sum(reply.skills[0] in WORDINGS for reply in missing) >= 3, "it was taught these wordings"
    assert all(reply.skills for reply in required)
    assert {reply.score for reply in judged} <= {1, 2, 3}
    assert stack.endpoint(options()).mode == "schema", "the server takes strict schemas: no step down"
    assert {outcome for (outcome,) in ledger(tmp_path, "outcome")} == {"paid"}


def ask_number(**fields: Any) -> ChatRequest:
    """A request whose own words lead to a letter; its schema asks for a number."""
    messages = messages_of(lambda teacher: teacher.option_probabilities(prefixes(1)[:1]))
    return ChatRequest(role="judge", model=NAME, messages=messages, max_tokens=40, **fields)


def test_a_schema_binds_the_model_against_its_habit(stack: ChatStack) -> None:
    endpoint = stack.endpoint(options())
    assert endpoint.complete(ask_number()).text.startswith("The answer is")
    schema = closed(score={"type": "integer", "enum": [1, 2, 3]})
    assert endpoint.complete(ask_number(reply_schema=schema)).parsed in ({"score": 1}, {"score": 2}, {"score": 3})


def test_a_forced_tool_call_carries_a_structured_reply(tmp_path: Path) -> None:
    asked = options(retries={"attempts": 2, "wait_scale": 0.01, "structured": "tool"})
    schema = closed(score={"type": "integer", "enum": [1, 2, 3]})
    with ChatStack(asked, keys={}, path=tmp_path / "paid.sqlite", run="r") as stack:
        reply = stack.endpoint(asked).complete(ask_number(reply_schema=schema))
    assert reply.parsed in ({"score": 1}, {"score": 2}, {"score": 3})


def test_the_deciding_model_calls_tools(stack: ChatStack) -> None:
    """Each of four talks; a string that the tiny model does not close in time leaves one without a call."""
    model = PaidDecider(endpoint=stack.endpoint(options()), options=options()).bind_tools(list(TOOLS.values()))
    called = []
    for done in range(4):
        messages, _ = decide_messages(random.Random(done), done=done)
        for call in model.invoke(convert_to_messages(list(messages))).tool_calls:
            assert TOOLS[call["name"]].model_validate(call["args"]).reason
            called.append(call["name"])
    assert len(called) >= 3
    assert len(set(called)) > 1


def test_the_server_reports_what_it_had_cached(stack: ChatStack, tmp_path: Path, tokenizer: Any) -> None:
    forget_prefixes(URL)
    asked = prefixes(2)
    for request in asked:
        stack.teacher().option_probabilities([request])
    told = ledger(tmp_path, "tokens_in", "tokens_cached")
    ids = [prompt_ids(request, tokenizer) for request in asked]
    assert [tokens for tokens, _ in told] == [len(prompt) for prompt in ids]
    expected = [0, *(shared_tokens(a, b) // BLOCK * BLOCK for a, b in pairwise(ids))]
    assert [cached for _, cached in told] == expected
    assert min(expected[1:]) > 0


def shared_tokens(one: list[int], other: list[int]) -> int:
    pairs = list(zip(one, other, strict=False))
    return next((i for i, (a, b) in enumerate(pairs) if a != b), len(pairs))


def test_an_identical_request_is_not_sent_again(stack: ChatStack, tmp_path: Path) -> None:
    asked = prefixes(4)[:1]
    first = stack.teacher().option_probabilities(asked)
    before = prompts_seen()
    assert stack.teacher().option_probabilities(asked) == first
    assert prompts_seen() == before > 0
    assert [outcome for (outcome,) in ledger(tmp_path, "outcome")] == ["paid", "hit"]


def prompts_seen() -> float:
    """Prompt tokens that the server itself has counted."""
    with urllib.request.urlopen(URL.removesuffix("/v1") + "/metrics", timeout=10) as page:
        lines = page.read().decode("utf-8").splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith("vllm:prompt_tokens_total"))


def test_faults_are_one_line_with_a_remedy(tmp_path: Path) -> None:
    request = prefixes(5)[0]
    long = request.model_copy(update={"question": "which of these cells " * CONTEXT})
    for asked, chat, words in (
        (request, options(model="nobody"), ("no_model from nobody", "name a model that the endpoint has")),
        (long, options(), ("too_long", "serve a longer context, or set teacher.chat.unanswered to skip")),
    ):
        with ChatStack(chat, keys={}, path=tmp_path / "paid.sqlite", run="r") as stack:
            with pytest.raises(OperatorError) as raised:
                stack.teacher().option_probabilities([asked])
            assert "\n" not in str(raised.value)
            assert all(word in str(raised.value) for word in words)
    with ChatStack(options(unanswered="skip"), keys={}, path=tmp_path / "paid.sqlite", run="r") as stack:
        skipped, kept = stack.teacher().option_probabilities([long, request])
    assert skipped.mass == 0
    assert kept.mass > 0.9


def test_the_doctor_says_what_the_server_can_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    demo = Path(__file__).parents[2] / "runs" / "configs" / "demo.yaml"
    tree = yaml.safe_load(demo.read_text(encoding="utf-8"))
    tree["teacher"] = {"kind": "chat", "chat": {"base_url": URL, "model": NAME}}
    tree["student"]["base"] = str((demo.parent / tree["student"]["base"]).resolve())
    config = tmp_path / "run.yaml"
    config.write_text(yaml.safe_dump(tree), encoding="utf-8")
    assert main(["doctor", "--teacher", str(config)]) == 0
    out = capsys.readouterr().out
    for line in (
        "ok   logprobs: 20 of 20 asked for; a letter at position",
        "ok   schema (strict): ",
        "ok   tool calls: ",
        "ok   forced letters: ",
        "     images: no (",
        f"ok   context length: {CONTEXT} tokens",
    ):
        assert line in out, out


def test_skip_scan_and_full_scan_agree_on_the_server(stack: ChatStack) -> None:
    attempts, problems, rng = [], {}, random.Random(11)
    while len(attempts) < 6:
        question = draw_question(rng)
        results, wrong = slip(question, rng)
        answer = question.program.read_answer(results)
        if not wrong or answer == question.answer:
            continue
        problem = make_problem(question)
        steps = tuple(step.text for step in split_steps(question.explain(results)))
        letter = problem.letters[problem.choices.index(answer)]
        problems[problem.id] = problem
        attempts.append(wrong_attempt(problem.id, steps=steps, answer=letter))
    found = {}
    for scan in ("full", "skip"):
        found[scan] = locate_mistakes(
            attempts,
            problems=problems,
            teacher=stack.teacher(),
            iteration=1,
            options=SwitchOptions.model_validate({"scan": scan}),
        )
    assert [(m.status, m.step) for m in found["full"]] == [(m.status, m.step) for m in found["skip"]]
    assert sum(m.status == "found" for m in found["full"]) >= 4


def wrong_attempt(problem: str, *, steps: tuple[str, ...], answer: str) -> Attempt:
    return Attempt(
        id=digest("attempt", problem),
        problem=problem,
        checkpoint="base",
        response="".join(steps),
        steps=steps,
        answer=answer,
        correct=False,
        score=0.0,
        format_error=False,
    )
