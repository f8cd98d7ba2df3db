"""The chat teacher over a socket: the same answers as whoever stands behind the server, or one line."""

import base64
import json
import random

import pytest

from errata.tools.errors import OperatorError
from errata.tools.records import ImageRef, Problem, digest
from errata.tools.teacher.chat_options import ChatOptions, RetryOptions, RoleOptions
from errata.tools.teacher.chat_stack import ChatStack
from errata.tools.teacher.probe import draw_red_square, probe_endpoint
from errata.tools.teacher.protocol import (
    FailureReply,
    FailureRequest,
    JudgeRequest,
    MissingSkillRequest,
    OptionRequest,
    ProposeRequest,
    RequiredSkillsRequest,
    SameSkillRequest,
    StagedTeacher,
    Teacher,
)
from errata.tools.teacher.world import WorldTeacher
from errata.tools.world.generate import make_problem
from errata.tools.world.programs import FAMILIES
from errata.tools.world.questions import sample_question
from tests.chat_server import Answer, ChatServer, say_letter
from tests.world_answers import WorldAnswers

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])
QUICK = RetryOptions(wait_scale=0.001, attempts=4)
PROBLEM = Problem(id="p", question="Which one?", choices=("the left", "the right"), target="B")


def open_stack(server, tmp_path, **options):
    given = {"base_url": server.url, "model": "m", "retries": QUICK, "timeout_seconds": 5}
    return ChatStack(ChatOptions(**{**given, **options}), keys={}, path=tmp_path / "paid.sqlite", run="r")


def option_request(**fields):
    given = {"problem": "p", "question": "Which?", "options": ("a", "b", "c"), "prior": (0.6, 0, 0), "steps": ()}
    return OptionRequest(**{**given, **fields})


def world_requests(count):
    rng = random.Random(3)
    requests = []
    for family in list(FAMILIES.values())[:count]:
        asked = sample_question(family, rng)
        problem = make_problem(asked, split="diagnosis", image=ImageRef(path="x", sha256="0"), skills=())
        prior = tuple(0.6 if name == problem.target else 0.0 for name in problem.letters)
        steps = tuple(asked.program.explain(list(asked.results)))
        for i in range(len(steps) + 1):
            requests.append(
                OptionRequest(
                    problem=digest(problem.question),
                    question=problem.question,
                    options=problem.choices,
                    prior=prior,
                    steps=steps[:i],
                )
            )
    return requests


def test_probabilities_pass_through_prompt_socket_and_logprobs(tmp_path):
    requests = world_requests(6)
    with ChatServer(WorldAnswers()) as server, open_stack(server, tmp_path) as stack:
        teacher = stack.teacher()
        assert isinstance(teacher, Teacher)
        assert isinstance(teacher, StagedTeacher)
        told = teacher.option_probabilities(requests)
    for mine, theirs in zip(told, WorldTeacher().option_probabilities(requests), strict=True):
        assert mine.mass == pytest.approx(1)
        assert mine.probabilities == pytest.approx(theirs.probabilities, abs=1e-9)


def test_location_asks_for_twenty_logprobs_states_the_prior_and_shows_no_picture(tmp_path):
    with ChatServer(lambda _: say_letter([0.2, 0.5, 0.3])) as server, open_stack(server, tmp_path) as stack:
        stack.teacher().option_probabilities([option_request(), option_request(prior=())])
        bodies = [seen.body for seen in server.seen]
    stated, unstated = sorted(bodies, key=lambda b: "Prior" not in b["messages"][1]["content"])
    assert (stated["logprobs"], stated["top_logprobs"]) == (True, 20)
    assert "There is a probability of 60% that option A is correct." in stated["messages"][1]["content"]
    assert "Prior" not in unstated["messages"][1]["content"]
    assert "image_url" not in json.dumps(stated)


def test_skills_judgements_and_proposals(tmp_path):
    replies = {
        "Already trained": {"skill": " identify the\n poles of a magnet. "},
        "Worked solution": {"skills": ["count shapes", "count shapes.", "add counts"]},
        "Given answer": {"score": 2, "reason": "two answers fit"},
        "Families": {"families": ["mix", "count"]},
    }

    def answer(body):
        text = body["messages"][1]["content"]
        return Answer(json.dumps(next(reply for head, reply in replies.items() if f"\n{head}" in f"\n{text}")))

    with ChatServer(answer) as server, open_stack(server, tmp_path) as stack:
        teacher = stack.teacher(families=["count", "mix", "turn"])
        missing = teacher.missing_skill([MissingSkillRequest(problem=PROBLEM, steps=("one", "two"), step=1)])
        assert missing[0].skills == ("identify the poles of a magnet",)
        assert "2 (first wrong step) | two" in server.seen[-1].body["messages"][1]["content"]
        required = teacher.required_skills([RequiredSkillsRequest(problem=PROBLEM)])
        assert required[0].skills == ("count shapes", "add counts")
        assert teacher.judge([JudgeRequest(problem=PROBLEM)])[0].score == 2
        (proposed,) = teacher.propose([ProposeRequest(skill="s", example=PROBLEM, count=3, seed=0)])
        assert [p.program["family"] for p in proposed.proposals] == ["mix", "count", "mix"]
        assert len({p.program["seed"] for p in proposed.proposals}) == 3
        assert "propose" not in stack.teacher().operations


def test_skills_are_compared_and_failures_analysed(tmp_path):
    analysis = {"picture": "Two magnets.", "elements": ["poles"], "reasoning": "It guessed.", "type": "attribute"}

    def answer(body):
        said = json.dumps({"same": True} if "\nSecond\n" in body["messages"][1]["content"] else analysis)
        return Answer(said if len(server.seen) < 3 else "no idea")

    server = ChatServer(answer)
    with server, open_stack(server, tmp_path, unanswered="skip") as stack:
        teacher = stack.teacher()
        pair = SameSkillRequest(first="count dots", second="tally dots")
        failure = FailureRequest(problem=PROBLEM, given="the left")
        assert teacher.same_skill([pair])[0].same is True
        assert teacher.analyse_failure([failure])[0] == FailureReply(**analysis)
        assert "Student's answer\n| the left\n" in server.seen[-1].body["messages"][1]["content"]
        assert teacher.same_skill([pair.model_copy(update={"first": "add"})])[0].same is None
        assert teacher.analyse_failure([failure.model_copy(update={"given": ""})])[0] == FailureReply()


def test_pictures_are_shown_where_skills_are_asked_for(tmp_path):
    (tmp_path / "p.png").write_bytes(base64.b64decode(draw_red_square()))
    problem = PROBLEM.model_copy(update={"images": (ImageRef(path=str(tmp_path / "p.png"), sha256="0"),)})
    with ChatServer(lambda _: Answer('{"score": 3, "reason": "seen"}')) as server:
        for images in (True, False):
            with open_stack(server, tmp_path / str(images), images=images) as stack:
                stack.teacher().judge([JudgeRequest(problem=problem)])
            content = server.seen[-1].body["messages"][1]["content"]
            assert isinstance(content, list) == images
        assert server.seen[0].body["messages"][1]["content"][1]["image_url"]["url"].startswith("data:image/png;base64,")
        gone = problem.model_copy(update={"images": (ImageRef(path="gone.png", sha256="0"),)})
        with open_stack(server, tmp_path) as stack, pytest.raises(OperatorError, match=r"gone\.png"):
            stack.teacher().judge([JudgeRequest(problem=gone)])


def test_it_steps_down_from_schema_to_tool_to_json(tmp_path):
    def fault(_, body):
        return "no_schema" if "response_format" in body else "no_tools" if "tools" in body else None

    server = ChatServer(lambda _: Answer('{"score": 3, "reason": "x"}'), fault=fault)
    with server, open_stack(server, tmp_path) as stack:
        teacher = stack.teacher()
        assert teacher.judge([JudgeRequest(problem=PROBLEM)])[0].score == 3
        assert [seen.fault for seen in server.seen] == ["no_schema", "no_tools", ""]
        teacher.judge([JudgeRequest(problem=PROBLEM.model_copy(update={"question": "Another?"}))])
        assert server.seen[-1].number == 3


def test_a_useless_reply_is_repaired_by_telling_what_was_wrong(tmp_path):
    with ChatServer(
        lambda body: Answer('{"score": 3, "reason": "x"}' if len(body["messages"]) > 2 else '{"score": 7}')
    ) as server:
        with open_stack(server, tmp_path) as stack:
            assert stack.teacher().judge([JudgeRequest(problem=PROBLEM)])[0].score == 3
        assert "does not fit the schema" in server.seen[1].body["messages"][-1]["content"]
        with open_stack(server, tmp_path) as stack:
            assert stack.teacher().judge([JudgeRequest(problem=PROBLEM)])[0].score == 3
        assert len(server.seen) == 2, "the repaired reply is the reply to the question"


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("key", "key from m.*set the environment variable"),
        ("model", "no_model from m.*name a model"),
        ("quota", "quota from m.*pay the provider"),
        ("429_long", "rate_limited from m.*wait"),
        ("503", "server from m"),
        ("drop", "connection from m.*base_url"),
        ("too_long", "too_long from m.*skip"),
        ("refusal", "refused from m.*skip"),
        ("no_logprobs", "bad_reply from m.*logprobs.*doctor"),
    ],
)
def test_what_stays_without_a_reply_ends_in_one_line(tmp_path, fault, words):
    with ChatServer(lambda _: say_letter([0.5, 0.5]), fault=lambda _, __: fault) as server:
        with open_stack(server, tmp_path) as stack, pytest.raises(OperatorError, match=words) as met:
            stack.teacher().option_probabilities([option_request()])
        assert "\n" not in str(met.value)
        assert len(server.seen) <= QUICK.attempts


def test_where_the_settings_say_skip_one_question_is_left_out_and_seen_to_be(tmp_path):
    def fault(_, body):
        return "too_long" if "LONG" in json.dumps(body) else None

    server = ChatServer(lambda _: say_letter([0.9, 0.1]), fault=fault)
    with server, open_stack(server, tmp_path, unanswered="skip") as stack:
        fine, left_out = stack.teacher().option_probabilities(
            [option_request(options=("a", "b")), option_request(options=("a", "b"), question="LONG")]
        )
        outcomes = sorted(line.outcome for line in stack.limits.store.lines("r"))
    assert fine.mass > 0.9
    assert left_out.mass == 0, "an unscored prefix, no answer"
    assert outcomes == ["paid", "too_long"]


def test_roles_may_have_models_and_keys_of_their_own(tmp_path):
    with ChatServer(lambda _: Answer('{"score": 3, "reason": "x"}', top=say_letter([1, 0]).top)) as server:
        roles = {"judge": RoleOptions(model="large", key_env="K")}
        options = ChatOptions(base_url=server.url, model="small", retries=QUICK, roles=roles)
        unset = ChatStack(options, keys={}, path=tmp_path / "a", run="r")
        with unset as stack, pytest.raises(OperatorError, match="K"):
            stack.teacher()
        with ChatStack(options, keys={"K": "secret"}, path=tmp_path / "b", run="r") as stack:
            teacher = stack.teacher()
            teacher.judge([JudgeRequest(problem=PROBLEM)])
            teacher.option_probabilities([option_request()])
    assert [(seen.body["model"], seen.key) for seen in server.seen] == [("large", "secret"), ("small", "none")]
    assert options.key_names == ("K",)
    assert b"secret" not in (tmp_path / "b").read_bytes()


def test_the_probe_says_what_an_endpoint_can_do(tmp_path):
    def answer(body):
        if body.get("logprobs") or "prompt_logprobs" in body:
            return say_letter([0.9, 0.1])
        wanted = "response_format" in body or "tools" in body or "colour" in json.dumps(body)
        return Answer('{"colour": "red"}' if wanted else "The answer is A")

    def fault(_, body):
        return "bad_request" if "image_url" in json.dumps(body) else None

    with ChatServer(answer, fault=fault) as server, open_stack(server, tmp_path) as stack:
        options = stack.options.endpoint("diagnose")
        from errata.tools.teacher.openai_endpoint import OpenAIEndpoint

        endpoint = OpenAIEndpoint(options)
        found = {c.name: c for c in probe_endpoint(endpoint, options=options, top_logprobs=20)}
        endpoint.close()
    assert [name for name, c in found.items() if not c.able] == ["images"]
    assert found["logprobs"].found.startswith("2 of 20 asked for; a letter at position 3")
    assert found["forced letters"].found == "the letter B at -2.30"
    assert found["context length"].found == "4096 tokens"
