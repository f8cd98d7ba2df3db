"""The nodes of the graph: each reads records, calls one tool, writes records, and returns the change of state."""

from __future__ import annotations

from typing import Any

from errata.agent.decide.batch import Allotment, Batch
from errata.agent.decide.budget import allot_shares, measure_remaining, view_budget
from errata.agent.decide.controls import draw_control, record_control
from errata.agent.decide.conversation import BatchOutcome, investigate_batch
from errata.agent.decide.gate import find_stop, judge_checkpoint
from errata.agent.decide.history import known_skills, read_history, served_skills
from errata.agent.loop.assemble import make_lessons, pick_samples, settle_decisions
from errata.agent.loop.evaluate import measure_checkpoint, read_attempts, read_checkpoint
from errata.agent.loop.state import BranchState, LoopState
from errata.agent.run.checkpoints import check_training_space, describe_pruned, prune_checkpoints
from errata.agent.run.context import Context
from errata.tools.records import (
    Checkpoint,
    Comparison,
    Decision,
    Lesson,
    Scorecard,
    digest,
)

Change = dict[str, Any]


def evaluate(state: LoopState, *, context: Context) -> Change:
    """The checkpoint of the state answers diagnosis and gate."""
    checkpoint = read_checkpoint(state["checkpoint"], context=context)
    measure_checkpoint(checkpoint, splits=("diagnosis", "gate"), iteration=state["iteration"], context=context)
    return {"stage": "evaluate"}


def triage(state: LoopState, *, context: Context) -> Change:
    """Go on, or end with a reason: target, errors, gains, iterations, budget. The iteration before is committed."""
    iteration, budget = state["iteration"], context.settings.budget
    with context.timed("triage", iteration=iteration) as summary:
        removed = prune_checkpoints(context.folder, keep=context.settings.run.keep_checkpoints, best=state["best"])
        wrong = [a for a in read_attempts(state["best"], "diagnosis", context=context) if not a.correct]
        cards = context.folder.read_records("scorecards.jsonl", Scorecard)
        accuracy = next(c.accuracy.value for c in cards if (c.checkpoint, c.split) == (state["best"], "gate"))
        spent = measure_remaining(context.folder, budget=budget, iteration=iteration + 1).spent()
        spent = spent or (context.spend_limits.refused if context.spend_limits else "")
        stop = find_stop(
            iteration=iteration,
            no_gain=state["no_gain"],
            errors=len(wrong),
            gate_accuracy=accuracy,
            spent=spent,
            context=context,
        )
        why = f": {spent}" if stop == "budget_spent" else ""
        summary.append(f"{len(wrong)} errors; " + (f"{stop}{why}" if stop else "going on"))
        summary.extend([describe_pruned(removed)] if removed else [])
    context.reporter.budget_changed(view_budget(context.folder, budget=budget, iteration=iteration))
    return {"stage": "triage", "stop": stop or ""}


def allocate(state: LoopState, *, context: Context) -> Change:
    """Cut the errors of the best checkpoint into batches, and divide what the iteration may use among them."""
    iteration, settings = state["iteration"] + 1, context.settings
    with context.timed("allocate", iteration=iteration) as summary:
        wrong = sorted(a.problem for a in read_attempts(state["best"], "diagnosis", context=context) if not a.correct)
        left = measure_remaining(context.folder, budget=settings.budget, iteration=iteration)
        count = -(-len(wrong) // settings.decide.batch_errors) if settings.diagnosed else 0
        batches = [wrong[start::count] for start in range(count)]
        sizes = [len(batch) for batch in batches]
        samples = allot_shares(left.samples or 0, weights=sizes)
        calls = None if left.teacher_calls is None else allot_shares(left.teacher_calls, weights=sizes)
        allotments = [
            Allotment(
                batch=f"{iteration}-{number + 1}",
                problems=batch,
                samples=samples[number],
                teacher_calls=None if calls is None else calls[number],
                batches=count,
            )
            for number, batch in enumerate(batches)
        ]
        summary.append(f"{left.samples} samples for {len(wrong)} errors in {count} batches")
    return {"stage": "allocate", "iteration": iteration, "allotments": allotments}


def investigate(state: BranchState, *, context: Context) -> Change:
    """The deciding model works on one error batch; `assemble` reads the outcome from its receipt."""
    iteration, allotment = state["iteration"], state["allotment"]

    def act() -> Any:
        attempts = {a.problem: a for a in read_attempts(state["best"], "diagnosis", context=context)}
        batch = Batch(
            iteration=iteration,
            allotment=allotment,
            attempts=[attempts[name] for name in allotment["problems"]],
            served=served_skills(context.folder, before=iteration) if context.settings.decide.exclude_served else {},
            known_skills=known_skills(context.folder, before=iteration, pool=context.skill_names),
            taken=frozenset(lesson.problem.id for lesson in _lessons(context)),
        )
        history = read_history(context.folder, before=iteration)
        return investigate_batch(batch, history=history, context=context).model_dump(mode="json")

    with context.timed("investigate", iteration=iteration, total=allotment["batches"]) as summary:
        kept = context.receipts.once("batch", [iteration, allotment["batch"]], act)
        outcome = BatchOutcome.model_validate(kept)
        names = [f"{iteration}-{number + 1}" for number in range(allotment["batches"])]
        done = sum(context.receipts.has("batch", [iteration, name]) for name in names)
        context.reporter.stage_advanced("investigate", iteration=iteration, done=done, total=len(names), correct=None)
        summary.append(f"batch {allotment['batch']}: {len(outcome.skills)} errors tagged")
    return {"finished": {allotment["batch"]: len(outcome.decisions)}}


def assemble(state: LoopState, *, context: Context) -> Change:
    """Choose the iteration's lessons from what all batches proposed; write everything they found."""
    iteration, folder = state["iteration"], context.folder
    with context.timed("assemble", iteration=iteration) as summary:
        kept = [context.receipts.read("batch", [iteration, a["batch"]]) for a in state["allotments"]]
        outcomes = [BatchOutcome.model_validate(value) for value in kept]
        skills = [skill for outcome in outcomes for skill in outcome.skills]
        earlier = frozenset(lesson.problem.id for lesson in _lessons(context) if lesson.iteration < iteration)
        pick = pick_samples(outcomes, barred=earlier)
        decisions = settle_decisions(outcomes, taken=pick.taken)
        candidates = [*pick.accepted, *pick.rejected]
        if context.settings.control != "none":
            drawn = draw_control(skills, taken=earlier, iteration=iteration, context=context)
            candidates = drawn.candidates
            decisions.append(record_control(drawn, iteration=iteration, step=len(decisions), context=context))
        lessons = make_lessons(candidates, iteration=iteration)
        mistakes = [mistake for outcome in outcomes for mistake in outcome.mistakes]
        folder.write_records(f"mistakes/{iteration}.jsonl", mistakes)
        folder.write_records(f"skills/{iteration}.jsonl", skills)
        folder.write_records(f"candidates/{iteration}.jsonl", candidates)
        folder.merge_records("decisions.jsonl", decisions, kind=Decision)
        folder.merge_records("lessons.jsonl", lessons, kind=Lesson)
        summary.append(f"{len(lessons)} lessons from {len(candidates)} candidates")
    folder.spend("assemble", iteration=iteration, samples=len(lessons))
    context.reporter.budget_changed(view_budget(folder, budget=context.settings.budget, iteration=iteration))
    dry = not lessons
    return {"stage": "assemble", "dry": dry, "no_gain": state["no_gain"] + dry}


def train(state: LoopState, *, context: Context) -> Change:
    """Retrain from the base on all lessons that were not withdrawn (methods, section 7)."""
    iteration, settings = state["iteration"], context.settings
    left = measure_remaining(context.folder, budget=settings.budget, iteration=iteration)
    if left.seconds is not None and left.seconds <= 0:
        return {"stage": "train", "stop": "budget_spent"}
    lessons = [lesson for lesson in _lessons(context) if lesson.iteration not in state["withdrawn"]]
    made_of = [[lesson.id for lesson in lessons], settings.train.model_dump(mode="json"), settings.run.seed]
    name = f"{iteration}-{digest('checkpoint', *made_of, length=10)}"

    def advance(step: int, steps: int, loss: float | None) -> None:
        del loss
        context.reporter.stage_advanced("train", iteration=iteration, done=step, total=steps, correct=None)
        context.stop_if_asked()

    def act() -> Any:
        check_training_space(settings, folder=context.folder)
        return context.student.train(
            lessons,
            checkpoint_id=name,
            folder=context.folder.path / "checkpoints" / name,
            replay=list(context.problems["pool"].values()),
            max_seconds=left.seconds,
            on_progress=advance,
        ).model_dump(mode="json")

    with context.timed("train", iteration=iteration) as summary:
        checkpoint = Checkpoint.model_validate(context.receipts.once("train", [name], act))
        context.folder.merge_records("checkpoints.jsonl", [checkpoint], kind=Checkpoint)
        loss = "not known" if checkpoint.loss is None else f"{checkpoint.loss:.3f}"
        summary.append(f"{checkpoint.lessons} lessons, loss {loss}")
    return {"stage": "train", "checkpoint": name}


def gate(state: LoopState, *, context: Context) -> Change:
    """Accept the new checkpoint or keep the best one, and write what the iteration's decisions gained."""
    iteration, folder = state["iteration"], context.folder
    with context.timed("gate", iteration=iteration) as summary:
        before, after = (read_attempts(name, "gate", context=context) for name in (state["best"], state["checkpoint"]))
        verdict = judge_checkpoint(
            before,
            after,
            problems=context.problems["gate"],
            iteration=iteration,
            no_gain=state["no_gain"],
            context=context,
        )
        _keep_comparison(verdict.comparison, context=context)
        decisions = folder.read_records("decisions.jsonl", Decision)
        gain = verdict.comparison.gain.value
        mine = [d for d in decisions if d.iteration == iteration and d.cost.samples]
        settled = [decision.model_copy(update={"gain": gain}) for decision in mine]
        folder.merge_records("decisions.jsonl", settled, kind=Decision)
        summary.append(verdict.comparison.reason)
    return {
        "stage": "gate",
        "best": verdict.best,
        "no_gain": verdict.no_gain,
        "accepted": state["accepted"] + verdict.comparison.accepted,
        "withdrawn": sorted({*state["withdrawn"], *verdict.withdrawn}),
    }


def report(state: LoopState, *, context: Context) -> Change:
    """Read the test split, once: base and best checkpoint answer it. Then write result.json."""
    from errata.tools.evaluate.compare import compare_attempts

    base = context.folder.read_records("checkpoints.jsonl", Checkpoint)[0].id
    ids = list(dict.fromkeys((base, state["best"])))
    for name in ids:
        checkpoint = read_checkpoint(name, context=context)
        measure_checkpoint(checkpoint, splits=("test",), iteration=state["iteration"], context=context)
    with context.timed("report", iteration=state["iteration"]) as summary:
        if len(ids) > 1:
            before, after = (read_attempts(name, "test", context=context) for name in ids)
            problems = list(context.problems["test"].values())
            seed = context.settings.run.seed
            comparison = compare_attempts(before, after, split="test", problems=problems, seed=seed)
            _keep_comparison(comparison, context=context)
        result = {
            "run": context.folder.id,
            "stop_reason": state["stop"],
            "base": base,
            "best": state["best"],
            "iterations": state["iteration"],
            "accepted": state["accepted"],
            "samples": len(_lessons(context)),
        }
        context.folder.write_json("result.json", result)
        summary.append(state["stop"])
    return {"stage": "report"}


def _lessons(context: Context) -> list[Lesson]:
    return context.folder.read_records("lessons.jsonl", Lesson)


def _keep_comparison(comparison: Comparison, *, context: Context) -> None:
    key = "before,after,split"
    context.folder.merge_records("comparisons.jsonl", [comparison], kind=Comparison, key=key)
    context.folder.event("compared", comparison=comparison.model_dump(mode="json"))
    context.reporter.compared(comparison)
