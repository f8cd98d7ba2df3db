"""The rivals of answer switch over a socket: the same steps as whoever stands behind the server, or nothing."""

import base64
import json
import random

import pytest

from errata.tools.locate.answer_switch import SwitchOptions
from errata.tools.locate.rivals import METHODS, location_method
from errata.tools.records import Attempt, ImageRef, digest
from errata.tools.teacher.probe import draw_red_square
from errata.tools.teacher.protocol import RationaleRequest, ReadsSteps, StepCheckRequest, StepIndexRequest
from errata.tools.teacher.world import WorldTeacher
from errata.tools.world.generate import make_problem
from errata.tools.world.programs import FAMILIES
from errata.tools.world.questions import sample_question
from tests.chat_server import Answer, ChatServer
from tests.tools.teacher.test_chat import PROBLEM, open_stack
from tests.world_answers import WorldAnswers

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])


def make_attempt(problem, steps, answer):
    return Attempt(
        id=f"a-{problem.id}",
        problem=problem.id,
        checkpoint="base",
        response="",
        steps=steps,
        answer=answer,
        correct=answer == problem.target,
        score=0.0,
        format_error=False,
    )


def world_errors(count):
    """Wrong rationales: begun well, and ended as another question of the same family is."""
    rng, problems, attempts = random.Random(5), {}, []
    for family in list(FAMILIES.values())[:count]:
        asked, other = sample_question(family, rng), sample_question(family, rng)
        problem = make_problem(asked, split="diagnosis", image=ImageRef(path="x", sha256="0"), skills=())
        problem = problem.model_copy(update={"id": digest(problem.question), "images": ()})
        wrong = next(letter for letter in problem.letters if letter != problem.target)
        problems[problem.id] = problem
        right, ended = (tuple(q.program.explain(list(q.results))) for q in (asked, other))
        attempts.append(make_attempt(problem, right[:1] + ended[1:], wrong))
    return attempts, problems


def step_requests(steps=("one", "two")):
    asked = {"problem": "p", "question": PROBLEM.question, "options": PROBLEM.choices, "steps": steps}
    return StepCheckRequest(**asked), StepIndexRequest(**asked, gold=PROBLEM.target_text)


@pytest.mark.parametrize("method", sorted(METHODS))
def test_every_method_locates_over_an_endpoint_what_it_locates_directly(tmp_path, method):
    attempts, problems = world_errors(8)
    locate, options = location_method(method), SwitchOptions(scan="skip")
    with ChatServer(WorldAnswers()) as server, open_stack(server, tmp_path) as stack:
        teacher = stack.teacher()
        assert isinstance(teacher, ReadsSteps)
        told = locate(attempts, problems=problems, teacher=teacher, iteration=1, options=options)
    direct = locate(attempts, problems=problems, teacher=WorldTeacher(), iteration=1, options=options)
    assert [(m.status, m.step) for m in told] == [(m.status, m.step) for m in direct]
    assert any(m.status == "found" for m in told) == (method != "whole_rationale")


def test_the_gold_answer_is_told_where_the_method_says_so_and_pictures_are_withheld(tmp_path):
    (tmp_path / "p.png").write_bytes(base64.b64decode(draw_red_square()))
    seen = PROBLEM.model_copy(update={"images": (ImageRef(path=str(tmp_path / "p.png"), sha256="0"),)})
    replies = iter(['{"correct": true}', '{"step": 2}', '{"steps": ["Look."]}', '{"steps": ["Look there."]}'])
    with ChatServer(lambda _: Answer(next(replies))) as server, open_stack(server, tmp_path) as stack:
        teacher, (check, index) = stack.teacher(), step_requests()
        assert teacher.check_step([check])[0].correct is True
        assert teacher.name_step([index])[0].step == 1
        assert teacher.write_rationale([RationaleRequest(problem=seen)])[0].steps == ("Look.",)
        assert teacher.write_rationale([RationaleRequest(problem=seen, picture=True)])[0].steps == ("Look there.",)
        roles = {line.role for line in stack.limits.store.lines("r")}
    shown = [seen.body["messages"][-1]["content"] for seen in server.seen]
    assert ["Right answer" in json.dumps(text) for text in shown] == [False, True, True, True]
    assert ["image_url" in json.dumps(text) for text in shown] == [False, False, False, True]
    assert roles == {"diagnose"}


def test_none_of_the_steps_is_minus_one_and_a_number_that_no_step_has_is_asked_again(tmp_path):
    replies = iter(['{"step": 0}', '{"step": 3}', '{"step": 2}'])
    with ChatServer(lambda _: Answer(next(replies))) as server, open_stack(server, tmp_path) as stack:
        teacher, (_, index) = stack.teacher(), step_requests()
        assert teacher.name_step([index])[0].step == -1
        assert teacher.name_step([index.model_copy(update={"question": "Another?"})])[0].step == 1
    assert "3 is greater than the maximum of 2" in server.seen[-1].body["messages"][-1]["content"]


def test_a_reply_that_cannot_be_read_is_none_and_counted_never_a_default(tmp_path):
    server = ChatServer(lambda _: Answer("I would rather not say."))
    with server, open_stack(server, tmp_path, unanswered="skip") as stack:
        teacher, (check, index) = stack.teacher(), step_requests()
        assert teacher.check_step([check])[0].correct is None
        assert teacher.name_step([index])[0].step is None
        assert teacher.write_rationale([RationaleRequest(problem=PROBLEM)])[0].steps == ()
        outcomes = {line.outcome for line in stack.limits.store.lines("r")}
        attempt = make_attempt(PROBLEM, ("one", "two"), "A")
        for method in ("per_step", "pseudo_rationale", "teacher_says"):
            (mistake,) = location_method(method)(
                [attempt], problems={"p": PROBLEM}, teacher=teacher, iteration=1, options=SwitchOptions()
            )
            assert mistake.status == "unscored"
    assert outcomes == {"bad_reply"}
