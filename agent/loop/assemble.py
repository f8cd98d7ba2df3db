"""From what the batches proposed to the lessons of an iteration.

Batches work side by side and may propose the same sample. Here, in stable order of batch and call, they
choose in turn, rank by rank: a call takes its best sample that nobody has yet, until it has as many as it
asked for. A sample that a later call would have chosen too is taken once and gets that call's parents as
well. So that nobody goes short, calls fetched more than they asked for (their reserve); what remains of the
reserve is dropped. Where even the reserve is used up, the budget that is left stays in the run's total and
can be spent by later iterations.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from errata.agent.decide.conversation import BatchOutcome
from errata.tools.records import Candidate, Decision, Lesson, digest


class Proposal(NamedTuple):
    """The candidates of one call, best first, and how many it may have."""

    batch: int
    step: int
    budget: int
    candidates: list[Candidate]


class Pick(NamedTuple):
    """The samples that all calls got together."""

    accepted: list[Candidate]
    """Each sample once, with all its parents, in order of choice."""
    rejected: list[Candidate]
    taken: dict[tuple[int, int], int]
    """How many samples each call (batch, step) got."""


def pick_samples(outcomes: Sequence[BatchOutcome], *, barred: AbstractSet[str]) -> Pick:
    """See the module's docstring. `barred` are ids of samples that were trained on before."""
    proposals = [
        Proposal(number, step, outcome.budgets[step], [c for c in outcome.fetched[step] if c.accepted])
        for number, outcome in enumerate(outcomes)
        for step in sorted(outcome.fetched)
    ]
    chosen: dict[str, Candidate] = {}
    taken = {(p.batch, p.step): 0 for p in proposals}
    waiting = [(p, iter(p.candidates)) for p in proposals]
    while waiting:
        going = []
        for proposal, candidates in waiting:
            if taken[proposal.batch, proposal.step] < proposal.budget:
                found = _next(candidates, chosen, barred)
                if found is not None:
                    chosen[found.problem.id] = found
                    taken[proposal.batch, proposal.step] += 1
                    going.append((proposal, candidates))
        waiting = going
    rejected = [c for o in outcomes for step in sorted(o.fetched) for c in o.fetched[step] if not c.accepted]
    return Pick(list(chosen.values()), _unique(rejected), taken)


def _next(candidates: Iterable[Candidate], chosen: dict[str, Candidate], barred: AbstractSet[str]) -> Candidate | None:
    """The next free candidate; parents of a candidate that is skipped are added to the chosen one."""
    for candidate in candidates:
        name = candidate.problem.id
        if name in chosen:
            parents = tuple(dict.fromkeys((*chosen[name].parents, *candidate.parents)))
            chosen[name] = chosen[name].model_copy(update={"parents": parents})
        elif name not in barred:
            return candidate
    return None


def _unique(candidates: Iterable[Candidate]) -> list[Candidate]:
    return list({candidate.id: candidate for candidate in candidates}.values())


def make_lessons(candidates: Sequence[Candidate], *, iteration: int) -> list[Lesson]:
    """One lesson per accepted candidate, in order."""
    return [
        Lesson(
            id=digest("lesson", candidate.id, iteration),
            problem=candidate.problem,
            candidate=candidate.id,
            parents=candidate.parents,
            route=candidate.route,
            skill=candidate.skill,
            iteration=iteration,
        )
        for candidate in candidates
        if candidate.accepted
    ]


def settle_decisions(outcomes: Sequence[BatchOutcome], *, taken: dict[tuple[int, int], int]) -> list[Decision]:
    """The decisions of all batches with the samples that their calls got in the end."""
    settled = []
    for number, outcome in enumerate(outcomes):
        for decision in outcome.decisions:
            got = taken.get((number, decision.step), 0)
            settled.append(decision.model_copy(update={"cost": decision.cost.model_copy(update={"samples": got})}))
    return settled
