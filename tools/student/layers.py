"""Which layers of a student are trained."""

from __future__ import annotations

from typing import Any

from errata.tools.errors import OperatorError
from errata.tools.student.families import find_family, part_of

PARTS: dict[str, tuple[str, ...]] = {
    "text": ("text",),
    "text-and-connector": ("text", "connector"),
    "connector": ("connector",),
    "vision-and-connector": ("vision", "connector"),
    "all": ("text", "connector", "vision"),
}
"""Parts of a student by the name that a recipe gives them."""


def linear_names(model: Any, *, targets: str | tuple[str, ...]) -> list[str]:
    """Names of the linear layers that get a LoRA. Raises `OperatorError` when there are none."""
    from torch.nn import Linear

    family = find_family(model)
    linear = [name for name, module in model.named_modules() if isinstance(module, Linear)]
    if isinstance(targets, tuple):
        names = [n for n in linear if any(n == t or n.endswith(f".{t}") for t in targets)]
    else:
        names = [n for n in linear if part_of(n, family) in PARTS[targets]]
    if not names:
        raise OperatorError(
            "no linear layer matches",
            where="target_modules",
            value=targets,
            remedy=f"choose among {', '.join(sorted({n.split('.')[-1] for n in linear})[:12])}",
        )
    return names


def parameter_names(model: Any, *, targets: str | tuple[str, ...]) -> list[str]:
    """Names of the weights that a full training changes. Raises `OperatorError` when there are none.

    The layer that makes words from states belongs to the language model here, also where it shares its weights.
    """
    family = find_family(model)
    every = [name for name, _ in model.named_parameters()]
    if isinstance(targets, tuple):
        names = [n for n in every if any(f".{t}." in f".{n}" for t in targets)]
    else:
        wanted = set(PARTS[targets]) | ({"head"} if "text" in PARTS[targets] else set())
        wanted |= {"other"} if targets == "all" else set()
        names = [n for n in every if part_of(n, family) in wanted]
    if not names:
        raise OperatorError(
            "no weight matches", where="target_modules", value=targets, remedy="name modules of the student"
        )
    return names
