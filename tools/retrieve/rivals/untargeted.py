"""Methods that choose without any score: a draw, everything, and the validation questions themselves (P1 4.1)."""

from __future__ import annotations

from errata.tools.records import seed_of
from errata.tools.retrieve.rivals.request import Means, Request, Selection, require_validation
from errata.tools.retrieve.select import draw_samples, make_undiagnosed


def random_samples(request: Request, *, means: Means) -> Selection:  # noqa: ARG001
    """`budget` samples of the pool at random, without replacement; the parent is the iteration."""
    return Selection(
        draw_samples(
            request.pool,
            count=request.budget,
            allowed=request.pool.keys() - request.taken,
            seed=seed_of("random", request.seed, request.iteration),
            route="random",
            parents=[f"iteration-{request.iteration}"],
            reason="drawn at random: control",
        )
    )


def full_samples(request: Request, *, means: Means) -> Selection:  # noqa: ARG001
    """The whole pool by id, whatever the budget: what selection is held against when cost is no matter."""
    return Selection(
        [
            make_undiagnosed(
                request.pool[name],
                route="full",
                score=0.0,
                parents=[f"iteration-{request.iteration}"],
                reason="full data: control",
            )
            for name in sorted(request.pool.keys() - request.taken)
        ]
    )


def validation_samples(request: Request, *, means: Means) -> Selection:  # noqa: ARG001
    """The validation questions with their answers, `budget` of them at random; those left come in later rounds.

    They are diagnosis questions: the gate and the test stay unseen.
    """
    questions = {p.id: p for p in require_validation(request, method="validation-only")}
    return Selection(
        draw_samples(
            questions,
            count=request.budget,
            allowed=questions.keys() - request.taken,
            seed=seed_of("validation", request.seed, request.iteration),
            route="validation",
            parents=[f"iteration-{request.iteration}"],
            reason="validation data: control",
        )
    )
