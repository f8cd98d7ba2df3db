"""The diagnosis that benchmarks/faults.py lets fail: falsified rationales of the embedded world, and a chat teacher."""

from __future__ import annotations

import random
from pathlib import Path
from typing import NamedTuple

from errata.agent.run.folder import RunFolder
from errata.agent.run.teacher.recorded import RecordingTeacher
from errata.agent.run.teacher.replies import ReplyStore
from errata.agent.run.teacher.split_guard import TestSplitGuard
from errata.tools.errors import BudgetSpent, OperatorError
from errata.tools.evaluate.score import make_attempts
from errata.tools.locate.answer_switch import SwitchOptions, locate_mistakes
from errata.tools.records import Attempt, ImageRef, Problem, to_jsonl
from errata.tools.tag import tag_missing_skills
from errata.tools.teacher.chat_options import ChatOptions, PaidCaps, Price, RetryOptions
from errata.tools.teacher.chat_stack import ChatStack
from errata.tools.world.generate import make_problem
from errata.tools.world.programs import FAMILIES
from errata.tools.world.questions import sample_question
from errata.tools.world.skills import SKILLS

PRICE = Price(tokens_in=0.5, tokens_out=1.5)
HANG = 1.5
"""Seconds after which the client gives a reply up; a hanging server takes a little longer."""


class Outcome(NamedTuple):
    """How one attempt at the diagnosis ended: done, cap, stop or traceback."""

    end: str
    line: str = ""


def make_errors(count: int, *, seed: int) -> tuple[list[Attempt], dict[str, Problem]]:
    """Attempts whose rationale has one false claim that makes the answer wrong."""
    rng = random.Random(seed)
    problems: dict[str, Problem] = {}
    responses: dict[str, str] = {}
    families = list(FAMILIES.values())
    while len(responses) < count:
        asked = sample_question(families[len(problems) % len(families)], rng)
        problem = make_problem(asked, split="diagnosis", image=ImageRef(path="none.png", sha256="0"), skills=())
        place = rng.randrange(len(asked.program.calls))
        domain = SKILLS[asked.program.calls[place].skill].domain
        wrong = asked.program.run(asked.scene, {place: rng.choice([r for r in domain if r != asked.results[place]])})
        said = asked.program.read_answer(wrong) if wrong else ""
        if wrong is None or said not in problem.choices or said == asked.answer:
            problems.setdefault(f"unused {len(problems)}", problem)
            continue
        name = f"diagnosis-{len(responses):04d}"
        problems[name] = problem.model_copy(update={"id": name})
        letter = problem.letters[problem.choices.index(said)]
        responses[name] = " ".join([*asked.program.explain(wrong), f"The answer is {letter}."])
    kept = [problems[name] for name in responses]
    return make_attempts(kept, list(responses.values()), checkpoint="base"), {p.id: p for p in kept}


def make_options(url: str, *, concurrency: int, caps: PaidCaps) -> ChatOptions:
    """An impatient client: short waits, so that the benchmark ends."""
    retries = RetryOptions(concurrency=concurrency, wait_scale=0.02, attempts=8, max_wait_seconds=30)
    return ChatOptions(
        base_url=url, model="m", images=False, timeout_seconds=HANG, retries=retries, prices={"m": PRICE}, caps=caps
    )


def diagnose(folder: Path, *, url: str, errors: int, concurrency: int = 16, caps: PaidCaps | None = None) -> Outcome:
    """Location and skills of all errors, as a run does them; results.jsonl is there when all is done."""
    attempts, problems = make_errors(errors, seed=1)
    run = RunFolder(folder)
    options = make_options(url, concurrency=concurrency, caps=caps or PaidCaps())
    store = ReplyStore(folder / "teacher.sqlite")
    try:
        with ChatStack(options, keys={}, path=folder / "paid.sqlite", run="faults") as stack:
            guard = TestSplitGuard([])
            whole = RecordingTeacher(stack.teacher(), store=store, folder=run, guard=guard, identity="chat")
            teacher = whole.scoped("investigate", iteration=1, allowance=None)
            mistakes = locate_mistakes(
                attempts, problems=problems, teacher=teacher, iteration=1, options=SwitchOptions()
            )
            by_id = {a.id: a for a in attempts}
            skills = tag_missing_skills(
                mistakes, attempts=by_id, problems=problems, teacher=teacher, iteration=1, served={}, known_skills=()
            )
        (folder / "results.jsonl").write_text(to_jsonl([*mistakes, *skills]), encoding="utf-8")
    except BudgetSpent as error:
        return Outcome("cap", str(error))
    except OperatorError as error:
        return Outcome("stop", str(error))
    finally:
        store.close()
    return Outcome("done")
