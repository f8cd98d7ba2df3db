"""Making samples by drawing scenes exactly: the answer is computed, and therefore certain (methods, section 5).

The teacher proposes what to draw for a missing skill; this tool draws it, computes the answer, has it judged, and
rejects what belongs to validation or test. Every rejected sample is kept with its reason.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from errata.tools.errors import ReplyError
from errata.tools.records import Candidate, MissingSkill, Problem, digest, seed_of
from errata.tools.teacher.protocol import JudgeRequest, Proposal, ProposeRequest, Teacher
from errata.tools.world.generate import FREE_FORM_SHARE, make_problem, split_of_question, write_picture
from errata.tools.world.programs import FAMILIES
from errata.tools.world.questions import sample_question
from errata.tools.world.skills import SKILL_OF_WORDING, SKILLS

OverlapCheck = Callable[[Problem], str | None]
"""Why a made sample may not be used (the overlap firewall), None when it may."""


def synthesize_samples(
    skills: Sequence[MissingSkill],
    *,
    problems: Mapping[str, Problem],
    teacher: Teacher,
    budget: int,
    seed: int,
    folder: Path,
    overlap_of: OverlapCheck,
) -> list[Candidate]:
    """At most `budget` accepted samples, spread evenly over the skills in stable order; pictures go into `folder`.

    Raises ReplyError when the teacher can propose nothing that can be drawn.
    """
    if not skills or budget <= 0:
        return []
    ordered = sorted(skills, key=lambda s: s.id)
    shares = [budget // len(ordered) + (i < budget % len(ordered)) for i in range(len(ordered))]
    requests = [
        ProposeRequest(skill=s.wording, example=problems[s.problem], count=n, seed=seed_of(seed, s.id))
        for s, n in zip(ordered, shares, strict=True)
        if n
    ]
    replies = teacher.propose(requests)
    drawn: dict[str, Candidate] = {}
    for skill, reply in zip(ordered, replies, strict=False):
        for proposal in reply.proposals:
            candidate = _draw_proposal(proposal, skill, folder)
            if candidate.id in drawn:
                parents = tuple(dict.fromkeys((*drawn[candidate.id].parents, skill.id)))
                candidate = drawn[candidate.id].model_copy(update={"parents": parents})
            drawn[candidate.id] = candidate
    if not drawn:
        raise ReplyError("nothing could be drawn for these skills; retrieve samples instead")
    return _judge_candidates(list(drawn.values()), teacher=teacher, overlap_of=overlap_of)


def _draw_proposal(proposal: Proposal, skill: MissingSkill, folder: Path) -> Candidate:
    """Draw one proposed question; the pool's side of the question split only, so that no test question can arise."""
    family, seed = FAMILIES[str(proposal.program["family"])], int(proposal.program["seed"])
    rng = random.Random(seed)
    question = sample_question(
        family,
        rng,
        free_form=rng.random() < FREE_FORM_SHARE,
        allowed=lambda key: split_of_question(key) == "pool",
    )
    image = write_picture(question, folder)
    wordings = tuple(SKILLS[name].wordings[0] for name in question.skills)
    problem = make_problem(question, split="pool", image=image, skills=wordings)
    image = image.model_copy(update={"path": str(folder / image.path)})
    problem = problem.model_copy(update={"id": problem.id.replace("pool-", "made-", 1), "images": (image,)})
    return Candidate(
        id=digest("candidate", "scene", problem.id),
        problem=problem,
        route="scene",
        score=1.0,
        parents=(skill.id,),
        skill=skill.skill,
        accepted=False,
        reason="",
        provenance={"family": family.name, "seed": seed, "skill": proposal.skill},
    )


def _judge_candidates(
    candidates: Sequence[Candidate], *, teacher: Teacher, overlap_of: OverlapCheck
) -> list[Candidate]:
    """Accept what the judge scores 3 and the firewall lets through; keep the rest with the reason."""
    verdicts = teacher.judge([JudgeRequest(problem=c.problem) for c in candidates])
    judged = []
    for candidate, verdict in zip(candidates, verdicts, strict=True):
        overlap = overlap_of(candidate.problem)
        accepted = verdict.score == 3 and overlap is None
        reason = overlap or f"judge {verdict.score}: {verdict.reason}"
        provenance = {**candidate.provenance, "judge": verdict.score}
        judged.append(candidate.model_copy(update={"accepted": accepted, "reason": reason, "provenance": provenance}))
    return judged


def can_draw(skill: str) -> bool:
    """Whether the embedded world has questions about this skill wording."""
    return skill in SKILL_OF_WORDING
