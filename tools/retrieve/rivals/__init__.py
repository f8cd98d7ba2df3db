"""What targeted retrieval is measured against: the same number of samples, chosen by other means (P1 4.1;
methods, sections 4 and 8).

Each method is one function of one signature, `Select`; `METHODS` has them by name.
"""

from __future__ import annotations

from errata.tools.errors import OperatorError
from errata.tools.retrieve.rivals.insta import insta_samples
from errata.tools.retrieve.rivals.less import less_samples
from errata.tools.retrieve.rivals.request import Means, Request, Select, Selection
from errata.tools.retrieve.rivals.superfiltering import superfiltering_samples
from errata.tools.retrieve.rivals.targeted import bm25_samples, dense_samples, hybrid_samples, uniform_samples
from errata.tools.retrieve.rivals.untargeted import full_samples, random_samples, validation_samples

__all__ = [
    "METHODS",
    "Means",
    "Request",
    "Select",
    "Selection",
    "random_samples",
    "selection_method",
    "uniform_samples",
]

METHODS: dict[str, Select] = {
    "errata-bm25": bm25_samples,
    "dense": dense_samples,
    "hybrid": hybrid_samples,
    "uniform": uniform_samples,
    "random": random_samples,
    "insta": insta_samples,
    "superfiltering": superfiltering_samples,
    "less": less_samples,
    "full": full_samples,
    "validation-only": validation_samples,
}


def selection_method(name: str) -> Select:
    """The method of this name; OperatorError names those that there are."""
    if name not in METHODS:
        remedy = f"use {', '.join(METHODS)}"
        raise OperatorError("there is no such selection method", where="control", value=name, remedy=remedy)
    return METHODS[name]
