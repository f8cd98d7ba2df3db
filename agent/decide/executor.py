"""Executes the tool calls of one error batch: arguments in, records and an answer for the deciding model out.

A `ToolExecutor` holds what the batch's calls have brought so far. `perform` validates a call, runs it under a
receipt, and takes its records in; whatever the model got wrong comes back as text and costs it one of its
steps.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from errata.agent.decide.batch import Batch, ToolResult, answer_text, sample_result, show_error, usable
from errata.agent.decide.tool_arguments import TOOLS, Arguments, InspectErrors, RetrieveSamples, SynthesizeSamples
from errata.agent.run.context import Context
from errata.agent.run.teacher.recorded import RecordingTeacher
from errata.tools.errors import BudgetSpent, ReplyError
from errata.tools.locate.answer_switch import make_mistake
from errata.tools.locate.curves import Switch
from errata.tools.records import Attempt, Candidate, MissingSkill, Mistake, digest, seed_of
from errata.tools.teacher.protocol import FailureRequest

SKIPPED = Switch("none", -1, 0.0, 0, (), 0)


class ToolExecutor:
    """See the module's docstring."""

    def __init__(self, batch: Batch, *, context: Context, teacher: RecordingTeacher) -> None:
        self.batch, self._context, self._teacher = batch, context, teacher
        self.problems = {a.problem: context.problems["diagnosis"][a.problem] for a in batch.attempts}
        self.mistakes: list[Mistake] = []
        self.skills: list[MissingSkill] = []
        self.fetched: dict[int, list[Candidate]] = {}
        """Candidates by the step of the call that brought them, best first, with those in reserve."""
        self.budgets: dict[int, int] = {}
        """How many of them that call may have."""
        self._chain = digest("batch", batch.iteration, batch.allotment, [a.id for a in batch.attempts])

    @property
    def tools(self) -> dict[str, type[Arguments]]:
        """The tools that this teacher and these settings make possible, in order."""
        settings, operations = self._context.settings, self._teacher.operations
        free = settings.control == "none"
        possible = {
            "locate_mistakes": can_locate(settings.locate.method, self._teacher),
            "tag_skills": "missing_skill" in operations,
            "inspect_errors": True,
            "retrieve_samples": free,
            "synthesize_samples": free and settings.synthesize.enabled and "propose" in operations,
            "finish_batch": True,
        }
        return {name: tool for name, tool in TOOLS.items() if possible[name]}

    @property
    def samples_left(self) -> int:
        """Samples of the batch's share that no call has asked for and got."""
        used = sum(min(self.budgets[step], usable(found)) for step, found in self.fetched.items())
        return self.batch.allotment["samples"] - used

    def skip_locating(self) -> None:
        """Take every error as not located: its whole rationale is then the evidence (methods, section 2)."""
        self.mistakes = [
            make_mistake(a, switch=SKIPPED, method="skipped", iteration=self.batch.iteration)
            for a in self.batch.attempts
        ]

    def perform(self, name: str, arguments: Mapping[str, Any], *, step: int) -> ToolResult:
        """Run one call; bad calls and spent budgets come back as an answer with `error`."""
        before = self._teacher.asked
        try:
            checked = self._check(name, arguments)
            self._chain = digest(self._chain, name, checked.model_dump())
            done = self._context.receipts.once(
                "tool", [self._chain, name], lambda: self._act(name, checked, step).model_dump(mode="json")
            )
        except (ReplyError, BudgetSpent) as error:
            asked = self._teacher.asked - before
            return ToolResult(answer={"error": str(error)}, outcome=f"refused: {error}", asked=asked)
        result = ToolResult.model_validate(done)
        self._teacher.asked = before + result.asked
        self._take_in(result, checked, step)
        left = {"samples_left": self.samples_left, "teacher_calls_left": self._teacher.left}
        return result.model_copy(update={"answer": {**result.answer, **left}})

    def _check(self, name: str, arguments: Mapping[str, Any]) -> Arguments:
        if name not in self.tools:
            raise ReplyError(f"there is no tool {name!r}; the tools are {', '.join(self.tools)}")
        try:
            return self.tools[name].model_validate(dict(arguments))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            field = ".".join(str(part) for part in first["loc"]) or "arguments"
            raise ReplyError(f"{name}: {field}: {first['msg']} (got {first['input']!r})") from None

    def _act(self, name: str, checked: Arguments, step: int) -> ToolResult:
        acts: dict[str, Callable[[Any, int], ToolResult]] = {
            "locate_mistakes": self._locate,
            "tag_skills": self._tag,
            "inspect_errors": self._inspect,
            "retrieve_samples": self._retrieve,
            "synthesize_samples": self._synthesize,
            "finish_batch": lambda *_: ToolResult(answer={"finished": True}, outcome="finished"),
        }
        before = self._teacher.asked
        result = acts[name](checked, step)
        return result.model_copy(update={"asked": self._teacher.asked - before})

    def _take_in(self, result: ToolResult, checked: Arguments, step: int) -> None:
        self.mistakes += result.mistakes
        self.skills += result.skills
        if isinstance(checked, RetrieveSamples | SynthesizeSamples):
            self.fetched[step] = list(result.candidates)
            self.budgets[step] = checked.budget

    def _locate(self, _: Arguments, __: int) -> ToolResult:
        from errata.tools.locate.rivals import location_method, most_requests

        located = {mistake.attempt for mistake in self.mistakes}
        todo = [attempt for attempt in self.batch.attempts if attempt.id not in located]
        if not todo:
            raise ReplyError("every error of the batch is located already; call tag_skills")
        method = self._context.settings.locate.method
        affordable, worst = [], 0
        for attempt in todo:
            worst += most_requests(method, steps=len(attempt.steps))
            if self._teacher.left is None or worst <= self._teacher.left:
                affordable.append(attempt)
        settings = self._context.settings
        options = settings.locate.model_copy(update={"seed": settings.run.seed})
        found = location_method(method)(
            affordable,
            problems=self.problems,
            teacher=self._teacher,
            iteration=self.batch.iteration,
            options=options,
        )
        chosen = {attempt.id for attempt in affordable}
        rest = [a for a in todo if a.id not in chosen]
        found += [
            make_mistake(a, switch=SKIPPED, method="skipped", iteration=self.batch.iteration) for a in rest
        ]
        statuses = dict(sorted(Counter(m.status for m in found).items()))
        summary = ", ".join(f"{count} {status}" for status, count in statuses.items())
        unpaid = f"; {len(rest)} not located for want of teacher calls" if rest else ""
        answer = {"located": len(affordable), "statuses": statuses, "not_located": len(rest)}
        return ToolResult(
            answer=answer, outcome=f"{len(found)} errors: {summary}{unpaid}", mistakes=tuple(found)
        )

    def _tag(self, _: Arguments, __: int) -> ToolResult:
        from errata.tools.tag import tag_missing_skills

        tagged = {skill.mistake for skill in self.skills}
        todo = [mistake for mistake in self.mistakes if mistake.id not in tagged]
        if not todo:
            waits = (
                "call locate_mistakes first" if not self.mistakes else "every located error is tagged already"
            )
            raise ReplyError(waits)
        left = self._teacher.left
        affordable = todo if left is None else todo[:left]
        found = tag_missing_skills(
            affordable,
            attempts={attempt.id: attempt for attempt in self.batch.attempts},
            problems=self.problems,
            teacher=self._teacher,
            iteration=self.batch.iteration,
            served=self.batch.served,
            known_skills=self.batch.known_skills,
            most_checks=None if left is None else left - len(affordable),
        )
        counts = Counter(skill.skill for skill in found)
        ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        answer = {
            "skills": [{"skill": skill, "errors": count} for skill, count in ranked],
            "without_skill": len(todo) - len(found),
        }
        summary = ", ".join(f"{skill} ({count})" for skill, count in ranked[:5])
        more = f" and {len(ranked) - 5} more" if len(ranked) > 5 else ""
        outcome = f"{len(ranked)} missing skills: {summary}{more}" if ranked else "no missing skill was named"
        return ToolResult(answer=answer, outcome=outcome, skills=tuple(found))

    def _inspect(self, checked: InspectErrors, _: int) -> ToolResult:
        by_problem = {attempt.problem: attempt for attempt in self.batch.attempts}
        unknown = [name for name in checked.problems if name not in by_problem]
        if unknown:
            raise ReplyError(f"no errors of this batch: {', '.join(unknown)}")
        located = {mistake.problem: mistake for mistake in self.mistakes}
        shown = [show_error(self.problems[name], by_problem[name], located.get(name)) for name in checked.problems]
        analysed = self._analyse([by_problem[name] for name in checked.problems])
        for error, analysis in zip(shown, analysed, strict=False):
            error["analysis"] = analysis
        summary = f", {len(analysed)} of them analysed" if analysed else ""
        return ToolResult(answer={"errors": shown}, outcome=f"read {len(shown)} errors{summary}")

    def _analyse(self, attempts: Sequence[Attempt]) -> list[dict[str, Any]]:
        """The teacher's analyses of the failures (P2); empty without that operation or without enough teacher calls."""
        left = self._teacher.left
        if "analyse_failure" not in self._teacher.operations or (left is not None and left < len(attempts)):
            return []
        requests = [
            FailureRequest(problem=self.problems[a.problem], given=answer_text(self.problems[a.problem], a))
            for a in attempts
        ]
        return [reply.model_dump(mode="json") for reply in self._teacher.analyse_failure(requests)]

    def _wanted(self, skill: str, budget: int) -> list[MissingSkill]:
        """The missing skills of that name. Raises ReplyError if there is none, or if the budget is too large."""
        wanted = [missing for missing in self.skills if missing.skill == skill]
        if not wanted:
            known = (
                ", ".join(sorted({missing.skill for missing in self.skills})) or "none: call tag_skills first"
            )
            raise ReplyError(f"no missing skill {skill!r}; the missing skills are {known}")
        if budget > self.samples_left:
            raise ReplyError(
                f"a budget of {budget} samples is more than the {self.samples_left} that are left"
            )
        return wanted

    def _retrieve(self, checked: RetrieveSamples, step: int) -> ToolResult:
        from errata.tools.retrieve.select import retrieve_samples

        wanted = self._wanted(checked.skill, checked.budget)
        picked = {
            candidate.problem.id
            for earlier, found in self.fetched.items()
            for candidate in [c for c in found if c.accepted][: self.budgets[earlier]]
        }
        taken = self.batch.taken | picked
        found = retrieve_samples(
            wanted,
            pool=self._context.problems["pool"],
            index=self._context.index_for(wanted, problems=self.problems, taken=taken),
            budget=checked.budget * self.batch.allotment["batches"],
            taken=taken,
            seed=self._seed(step),
            fill=self._context.settings.retrieve.fill,
        )
        return sample_result(found, checked.budget, verb="found")

    def _synthesize(self, checked: SynthesizeSamples, step: int) -> ToolResult:
        from errata.tools.synthesize.scenes import synthesize_samples

        wanted = self._wanted(checked.skill, checked.budget)
        made = synthesize_samples(
            wanted,
            problems=self.problems,
            teacher=self._teacher,
            budget=checked.budget,
            seed=self._seed(step),
            folder=self._context.folder.path / "made",
            overlap_of=self._context.overlap_of,
        )
        return sample_result(made, checked.budget, verb="made")

    def _seed(self, step: int) -> int:
        allotment = self.batch.allotment
        return seed_of(self._context.settings.run.seed, self.batch.iteration, allotment["batch"], step)


def can_locate(method: str, teacher: RecordingTeacher) -> bool:
    """Whether the teacher has the operations that the location method needs; an unknown method needs none."""
    from errata.tools.locate.rivals import NEEDS

    return NEEDS.get(method, frozenset()) <= teacher.operations
