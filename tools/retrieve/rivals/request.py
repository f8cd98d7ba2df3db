"""What every selection method is given and gives back: one signature, so that a table of rivals is a loop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

from errata.tools.errors import OperatorError
from errata.tools.records import Candidate, MissingSkill, Problem, Route
from errata.tools.retrieve.lexical import SearchIndex
from errata.tools.retrieve.select import make_undiagnosed
from errata.tools.vectors import Embedding

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

T = TypeVar("T")


class Request(NamedTuple):
    """What samples are wanted for. A method reads what it needs of it and leaves the rest."""

    pool: Mapping[str, Problem]
    budget: int
    """Unique samples at most; `full` alone takes no notice of it."""
    taken: AbstractSet[str] = frozenset()
    """Ids of samples that were trained on before."""
    skills: Sequence[MissingSkill] = ()
    """What the diagnosis found; empty for methods that do without."""
    validation: Sequence[Problem] = ()
    """The diagnosis questions, right or wrong; never gate or test."""
    seed: int = 0
    iteration: int = 1
    fill: bool = False
    """Whether a search that finds too few is filled up at random, marked `fill`."""


class Exchange(NamedTuple):
    """A question and its answer as a language model reads them."""

    question: str
    answer: str


class Perplexity(NamedTuple):
    """Of one answer, over its own tokens alone (those that were cut off left out)."""

    given: float
    """After the question: PPL(y|x)."""
    alone: float
    """After the beginning of a text: PPL(y)."""
    tokens: int


class MeasurePerplexity(Protocol):
    """How surprising answers are to a small language model that sees no picture."""

    @property
    def name(self) -> str:
        """Differs for models that differ."""
        ...

    def __call__(self, exchanges: Sequence[Exchange]) -> list[Perplexity | None]:
        """In order; None where the question leaves no room for the answer, or there is no answer."""
        ...


class MeasureGradients(Protocol):
    """Where training on one sample would move the student."""

    def __call__(self, problems: Sequence[Problem]) -> NDArray[np.float32]:
        """float32[problems, size]: one projected gradient each, not normalised, in order."""
        ...


class Means(NamedTuple):
    """What is there to work with; a method that misses something says what and how to give it."""

    search: SearchIndex | None = None
    """The index that the run retrieves from, of whatever mode."""
    bm25: SearchIndex | None = None
    dense: SearchIndex | None = None
    hybrid: SearchIndex | None = None
    embed: Embedding | None = None
    perplexity: MeasurePerplexity | None = None
    gradients: MeasureGradients | None = None
    store: Path | None = None
    """Folder in which scores of the pool are kept as they come; a killed scoring goes on from it."""


class Selection(NamedTuple):
    """The chosen samples in order of choice, and how many were left out for which reason."""

    candidates: list[Candidate]
    left_out: Mapping[str, int] = {}
    """Reason to count, of samples that the method itself refuses; what the budget had no room for is not here."""


class Select(Protocol):
    """A selection method."""

    def __call__(self, request: Request, *, means: Means) -> Selection:
        """Raises OperatorError for what is missing."""
        ...


def require(value: T | None, *, method: str, what: str, remedy: str) -> T:
    """The value; raises OperatorError where there is none."""
    if value is None:
        raise OperatorError(f"the method {method} needs {what}", where="control", value=method, remedy=remedy)
    return value


def require_validation(request: Request, *, method: str) -> Sequence[Problem]:
    """The validation questions; raises OperatorError for none, and for questions that only the gate may see."""
    if not request.validation:
        remedy = "give the diagnosis questions"
        raise OperatorError(f"the method {method} needs validation questions", where="control", remedy=remedy)
    strange = next((p for p in request.validation if p.split not in ("pool", "diagnosis")), None)
    if strange is not None:
        what, remedy = f"the method {method} may not see this split", "give diagnosis questions alone"
        raise OperatorError(what, where=f"problem {strange.id}", value=strange.split, remedy=remedy)
    return request.validation


def question_text(problem: Problem) -> str:
    """Question and lettered choices on one line, without picture and answer."""
    options = zip(problem.letters, problem.choices, strict=True)
    return " ".join([problem.question, *(f"{letter}) {text}" for letter, text in options)])


def take_best(scores: Mapping[str, float], *, request: Request, route: Route, reason: str) -> list[Candidate]:
    """The best samples that may be had: by score rounded to 6 decimals descending, then id; `budget` at most.

    `reason` is what is said of each; `{score}` in it is its score.
    """
    ranked = sorted((-round(score, 6), name) for name, score in scores.items() if name not in request.taken)
    return [
        make_undiagnosed(
            request.pool[name],
            route=route,
            score=-negative,
            parents=[f"iteration-{request.iteration}"],
            reason=reason.format(score=f"{-negative:.3f}"),
        )
        for negative, name in ranked[: max(0, request.budget)]
    ]
