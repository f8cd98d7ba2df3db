"""Controls: a run that spends the same budget on samples chosen without a decision (methods, sections 4, 8)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import TYPE_CHECKING

from errata.agent.decide.budget import measure_remaining
from errata.agent.settings.tree import Settings
from errata.tools.errors import BudgetSpent, OperatorError
from errata.tools.records import Cost, Decision, Lesson, MissingSkill, Problem, Split, digest, seed_of
from errata.tools.retrieve.lexical import SearchIndex
from errata.tools.retrieve.rivals import Means, Request, Selection, selection_method

if TYPE_CHECKING:
    from errata.agent.run.context import Context
    from errata.tools.vectors import Embedding


def check_control(settings: Settings, problems: Mapping[Split, Mapping[str, Problem]]) -> None:
    """Raise OperatorError if control=full has a budget that is smaller than the pool."""
    caps = [cap for cap in (settings.budget.total.samples, settings.budget.iteration.samples) if cap is not None]
    if settings.control == "full" and min(caps) < len(problems["pool"]):
        size = len(problems["pool"])
        remedy = f"set budget.total.samples and budget.iteration.samples to {size}, or lower data.pool.limit"
        what = f"control=full takes the whole pool of {size} samples"
        raise OperatorError(what, where="budget.iteration.samples", value=min(caps), remedy=remedy)


def check_means(settings: Settings) -> None:
    """Raise OperatorError if a model that the control needs is missing; loads nothing."""
    build_means(settings, index=None, store=None)


def build_means(
    settings: Settings, *, index: SearchIndex | None, store: Path | None, paid: Embedding | None = None
) -> Means:
    """The models and indexes that the control needs. A model is loaded when it is first used. `paid`: the run's own
    embedding if an endpoint embeds.
    """
    means = Means(search=index, store=store)
    rivals = settings.rivals
    if settings.control == "insta":
        return means._replace(embed=_make_embedder(settings, paid))
    if settings.control == "superfiltering" and rivals.language_model is not None:
        from errata.tools.retrieve.rivals.perplexity import FolderPerplexity

        return means._replace(perplexity=FolderPerplexity(Path(rivals.language_model)))
    return means


def _make_embedder(settings: Settings, paid: Embedding | None) -> Embedding:
    """`rivals.embedder` if it is given, else the embedding of dense search."""
    from errata.tools.retrieve.embeddings import EmbeddingOptions, make_embedding
    from errata.tools.retrieve.encoder import FolderEncoder

    own = settings.rivals.embedder
    if own is None:
        return paid or make_embedding(settings.embedding_options, device="auto")
    if own == "hashing":
        return make_embedding(EmbeddingOptions(kind="hashing"))
    return FolderEncoder(Path(own), where="rivals.embedder")


def draw_control(
    skills: Sequence[MissingSkill], *, taken: AbstractSet[str], iteration: int, context: Context
) -> Selection:
    """The samples of the run's control for one iteration; `taken` are those of earlier ones."""
    settings = context.settings
    # The lessons of a killed first pass through the node are not counted as spent.
    left = measure_remaining(context.folder, budget=settings.budget, iteration=iteration)
    lessons = context.folder.read_records("lessons.jsonl", Lesson)
    mine = sum(lesson.iteration == iteration for lesson in lessons)
    request = Request(
        pool=context.problems["pool"],
        budget=(left.samples or 0) + mine,
        taken=taken,
        skills=skills,
        validation=list(context.problems["diagnosis"].values()),
        seed=seed_of(settings.run.seed, settings.control, iteration),
        iteration=iteration,
    )
    try:
        index = context.index_for(skills, problems=context.problems["diagnosis"], taken=taken)
        means = build_means(settings, index=index, store=context.folder.path / "index", paid=context.embedding)
        return selection_method(settings.control)(request, means=means)
    except BudgetSpent as error:
        raise OperatorError(str(error), where="budget", remedy="raise the cap, or lower skills.candidates") from None


def record_control(selection: Selection, *, iteration: int, step: int, context: Context) -> Decision:
    """Record the control as a decision, so that its cost and gain are counted like those of any other."""
    control = context.settings.control
    got = sum(candidate.accepted for candidate in selection.candidates)
    left_out = [f"{count} x {reason}" for reason, count in sorted(selection.left_out.items())]
    decision = Decision(
        id=digest("decision", iteration, control),
        iteration=iteration,
        batch=f"{iteration}-all",
        step=step,
        tool=f"{control}_samples",
        arguments={},
        reason=f"control={control}: the same budget without a decision",
        cost=Cost(samples=got),
        outcome="; ".join([f"found {got}", *(f"left out {text}" for text in left_out)]),
    )
    context.reporter.decision_made(decision)
    return decision
