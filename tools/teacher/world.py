"""The embedded teacher: reads the text of a question and steps, and knows the rules of the world.

It never sees the picture in step location: from the words alone it keeps a posterior over what the calls of the
question's program may have resulted in. A step that it has read is believed with a reliability; an unread perception
is uniform over what is possible; an unread rule follows from its inputs. The stated prior enters as evidence.
Noise makes it as fallible as a language model: per problem, a random lean of the start and a random trust in steps.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from functools import partial
from types import MappingProxyType

from pydantic import Field

from errata.tools.errors import OperatorError
from errata.tools.records import Problem, Record, seed_of
from errata.tools.teacher.protocol import (
    JudgeReply,
    JudgeRequest,
    MissingSkillRequest,
    Operation,
    OptionReply,
    OptionRequest,
    Proposal,
    ProposeReply,
    ProposeRequest,
    RationaleReply,
    RationaleRequest,
    RequiredSkillsRequest,
    SkillReply,
    StepCheckReply,
    StepCheckRequest,
    StepIndexReply,
    StepIndexRequest,
)
from errata.tools.teacher.world_posterior import EMPTY, SceneReader, find_broken_rules, spread_answers
from errata.tools.teacher.world_steps import SURE, choose_first_wrong, claim_odds, first_difference, imagine_steps
from errata.tools.world.check import align_claims, read_problem
from errata.tools.world.programs import Program, read_question
from errata.tools.world.questions import families_needing
from errata.tools.world.skills import SKILL_OF_WORDING, SKILLS, Claim


class WorldTeacherOptions(Record):
    """Knobs of the embedded teacher; the defaults are a good but fallible reader."""

    reliability: float = Field(0.93, gt=0, lt=1)
    """How much it believes a step that it reads."""
    start_noise: float = Field(0.35, ge=0)
    """Standard deviation, in log-odds, of its lean before any step."""
    trust_noise: float = Field(0.5, ge=0)
    """Standard deviation, in log-odds, of its trust in the steps of one problem."""
    step_noise: float = Field(0.0, ge=0)
    """Standard deviation, in log-odds, by which each option after each prefix, and each judged step, is shaken."""
    knowledge: float = Field(0.0, ge=0)
    """Log-odds by which it leans to answers that it is given as known."""
    seed: int = 0


class WorldTeacher:
    """See the module's docstring. Raises OperatorError for a question that is not of this world."""

    name = "world"
    operations: frozenset[Operation] = frozenset(
        {
            "option_probabilities",
            "missing_skill",
            "required_skills",
            "judge",
            "propose",
            "check_step",
            "name_step",
            "write_rationale",
        }
    )

    def __init__(
        self, options: WorldTeacherOptions | None = None, *, known: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        """`known`: answers in words by problem id, towards which it leans by `options.knowledge`. A language model
        half knows some answers; nothing in the world's words tells them, so that a simulation has to."""
        self.options, self._known = options or WorldTeacherOptions(), known
        self._shown: Mapping[str, Problem] = MappingProxyType({})

    def seeing(self, problems: Mapping[str, Problem]) -> WorldTeacher:
        """The same teacher that also sees the pictures of these problems (by id): an ablation of step location,
        which withholds them (P1 3.3). It reads a perception right with its reliability.
        """
        twin = WorldTeacher(self.options, known=self._known)
        twin._shown = problems
        return twin

    def option_probabilities(self, requests: Sequence[OptionRequest]) -> list[OptionReply]:
        """See `Teacher`; exact over the results of the program, given the noise."""
        return [self._weigh_options(r) for r in requests]

    def missing_skill(self, requests: Sequence[MissingSkillRequest]) -> list[SkillReply]:
        """The skill of the marked step, or of a rule broken before it, in one of its wordings; text only."""
        return [self._name_missing(r) for r in requests]

    def required_skills(self, requests: Sequence[RequiredSkillsRequest]) -> list[SkillReply]:
        """The skills of the program, each in a wording that depends on the sample."""
        replies = []
        for request in requests:
            program = _program_of(request.problem.question, request.problem.id)
            names = dict.fromkeys(call.skill for call in program.calls)
            replies.append(SkillReply(skills=tuple(self._word(name, request.problem.id) for name in names)))
        return replies

    def judge(self, requests: Sequence[JudgeRequest]) -> list[JudgeReply]:
        """Compute the answer from the scene and compare."""
        replies = []
        for request in requests:
            scene, program = read_problem(request.problem)
            results = program.run(scene)
            if results is None:
                replies.append(JudgeReply(score=2, reason="the question is ill-posed for this scene"))
            elif program.read_answer(results) != request.problem.target_text:
                replies.append(JudgeReply(score=1, reason=f"the scene says {program.read_answer(results)}"))
            else:
                replies.append(JudgeReply(score=3, reason="the answer follows from the scene"))
        return replies

    def propose(self, requests: Sequence[ProposeRequest]) -> list[ProposeReply]:
        """Scene programs whose questions need the skill, those about it first in turn."""
        replies = []
        for request in requests:
            skill = SKILL_OF_WORDING.get(request.skill)
            families = [f for f in families_needing(skill) if f.focus == skill] if skill else []
            proposals = [
                Proposal(
                    skill=request.skill,
                    program={
                        "family": families[(request.seed + i) % len(families)].name,
                        "seed": seed_of(request.seed, i),
                    },
                )
                for i in range(request.count if families else 0)
            ]
            replies.append(ProposeReply(proposals=tuple(proposals)))
        return replies

    def check_step(self, requests: Sequence[StepCheckRequest]) -> list[StepCheckReply]:
        """Rules are checked against their stated inputs; what only the picture shows is believed."""
        replies = []
        for request in requests:
            stated, odds = self._judge_claims(request)
            last = [i for i, (place, _) in stated.items() if place == len(request.steps) - 1]
            replies.append(StepCheckReply(correct=all(odds[i] > 0 for i in last)))
        return replies

    def name_step(self, requests: Sequence[StepIndexRequest]) -> list[StepIndexReply]:
        """The likeliest first wrong step given the gold answer, or the first difference from the reference."""
        replies = []
        for request in requests:
            program = _program_of(request.question, request.problem)
            if request.reference:
                step = first_difference(request.steps, request.reference, program=program)
            else:
                stated, odds = self._judge_claims(request)
                spread = partial(spread_answers, program, trust=SURE)
                step = choose_first_wrong(stated, odds=odds, gold=request.gold, spread=spread)
            replies.append(StepIndexReply(step=step))
        return replies

    def write_rationale(self, requests: Sequence[RationaleRequest]) -> list[RationaleReply]:
        """A rationale that leads to gold, see `imagine_steps`."""
        replies = []
        for request in requests:
            problem = request.problem
            program = _program_of(problem.question, problem.id)
            steps = imagine_steps(
                problem,
                program=program,
                picture=request.picture,
                trust=_share(self._mood(problem.id, options=problem.choices or ("", ""))[1]),
                empty=EMPTY,
                rng=random.Random(seed_of("write", self.options.seed, problem.id)),
            )
            replies.append(RationaleReply(steps=steps))
        return replies

    def _mood(self, problem: str, *, options: Sequence[str]) -> tuple[list[float], float]:
        """Per problem: the lean of each option, and what a step is believed by, both in log-odds."""
        rng = random.Random(seed_of("teacher", self.options.seed, problem))
        lean = [rng.gauss(0, self.options.start_noise) for _ in options]
        odds = math.log(self.options.reliability / (1 - self.options.reliability))
        odds += rng.gauss(0, self.options.trust_noise)
        known = self._known.get(problem)
        return [x + self.options.knowledge * (o == known) for x, o in zip(lean, options, strict=True)], odds

    def _look(self, problem: str) -> SceneReader | None:
        """Reads the picture of a problem, if it is shown to this teacher."""
        if problem not in self._shown:
            return None
        scene = read_problem(self._shown[problem]).scene
        return SceneReader(scene, self.options.reliability, seed_of("sight", self.options.seed, problem))

    def _judge_claims(
        self, request: StepCheckRequest | StepIndexRequest
    ) -> tuple[dict[int, tuple[int, Claim]], dict[int, float]]:
        """What the steps claim by call, and the log-odds that each claim is right."""
        program = _program_of(request.question, request.problem)
        stated = align_claims(request.steps, program)
        broken = {index for _, index in find_broken_rules(program, stated)}
        rng = random.Random(seed_of("claims", self.options.seed, request.problem))
        _, odds = self._mood(request.problem, options=request.options)
        return stated, claim_odds(stated, broken=broken, odds=odds, rng=rng, spread=self.options.step_noise)

    def _word(self, skill: str, key: str) -> str:
        wordings = SKILLS[skill].wordings
        return wordings[seed_of("wording", self.options.seed, skill, key) % len(wordings)]

    def _name_missing(self, request: MissingSkillRequest) -> SkillReply:
        """A rule that is stated wrongly at or before the marked step explains it better than the step itself."""
        program = _program_of(request.problem.question, request.problem.id)
        stated = align_claims(request.steps, program)
        place = request.step if request.step >= 0 else len(request.steps)
        broken = [where for where, index in find_broken_rules(program, stated) if where <= place]
        by_step = {where: program.calls[index].skill for index, (where, _) in stated.items()}
        served = {SKILL_OF_WORDING.get(s, s) for s in request.served}
        last = program.calls[-1].skill
        wanted = [by_step[w] for w in broken] + [by_step.get(place, last), last, *(c.skill for c in program.calls)]
        names = [name for name in dict.fromkeys(wanted) if name not in served]
        return SkillReply(skills=(self._word(names[0], request.problem.id),) if names else ())

    def _weigh_options(self, request: OptionRequest) -> OptionReply:
        program = _program_of(request.question, request.problem)
        lean, odds = self._mood(request.problem, options=request.options)
        if self.options.step_noise:
            shake = random.Random(seed_of("prefix", self.options.seed, request.problem, len(request.steps)))
            lean = [x + shake.gauss(0, self.options.step_noise) for x in lean]
        stated = {i: claim for i, (_, claim) in align_claims(request.steps, program).items()}
        answers = spread_answers(program, stated, trust=_share(odds), reader=self._look(request.problem))
        floor = 1e-3
        rest = 1 - sum(request.prior)
        silent = sum(p == 0 for p in request.prior) or 1
        weights = []
        for index, option in enumerate(request.options):
            prior = (request.prior[index] or rest / silent) if request.prior else 1 / len(request.options)
            weights.append(max(prior, floor) * math.exp(lean[index]) * max(answers.get(option, 0.0), floor))
        total = sum(weights)
        return OptionReply(probabilities=tuple(w / total for w in weights), mass=1.0)


def _share(odds: float) -> float:
    return 1 / (1 + math.exp(-odds))


def _program_of(question: str, where: str) -> Program:
    asked = read_question(question)
    if asked is None:
        raise OperatorError(
            "the embedded teacher cannot read this question",
            where=f"problem {where}",
            value=question[:60],
            remedy="set teacher.kind to annotations or to a language model",
        )
    return asked[1]
