"""What must hold while a student is trained. Each failure says what is wrong and stops the training."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from errata.tools.errors import OperatorError
from errata.tools.student.collate import collate
from errata.tools.student.encode import Encoded
from errata.tools.student.families import Family, part_of
from errata.tools.student.load import Student
from errata.tools.student.loss import answer_loss, whole_loss
from errata.tools.train.attach import Attached

WATCHED_STEPS = 5
"""Steps within which every trained layer must have got a gradient."""
MAY_REST = 0.5
"""Share of a picture encoder's trained layers that may get no gradient: models read it before its last layers."""


def check_coverage(attached: Attached) -> None:
    """Each layer that the recipe names has its adapter, and no other has. Raises `OperatorError`."""
    if attached.full:
        return
    having = {
        name.removesuffix(".lora_A").removeprefix("base_model.model.")
        for name, _ in attached.model.named_modules()
        if name.endswith(".lora_A")
    }
    wanted = set(attached.names)
    if having != wanted:
        raise OperatorError(
            f"adapters on {len(having & wanted)} of {len(wanted)} layers, and on {len(having - wanted)} others",
            where="target_modules",
            value=min(having ^ wanted),
            remedy="use another version of peft",
        )


@torch.no_grad()
def check_loss(attached: Attached, sample: Encoded, *, student: Student) -> None:
    """The loss over the answer's positions is the loss from all of the model's logits. Raises `OperatorError`."""
    batch = collate([sample], student=student)
    labels = batch.pop("labels")
    ours = float(answer_loss(attached.inner, batch, labels))
    whole = float(whole_loss(attached.inner, batch, labels))
    limit = 1e-3 if student.model.dtype == torch.float32 else 3e-2
    if not math.isclose(ours, whole, rel_tol=limit, abs_tol=limit):
        raise OperatorError(
            "the loss of the answer's positions is not that of the whole table",
            where=f"problem {sample.problem}",
            value=f"{ours:.6g} against {whole:.6g}",
            remedy=f"{student.family.name} changes its logits in a way that is not known here; report the model",
        )


def check_finite(loss: float, norm: float, *, step: int) -> None:
    """Loss and gradient are numbers. Raises `OperatorError`."""
    for name, value in (("loss", loss), ("gradient", norm)):
        if not math.isfinite(value):
            raise OperatorError(
                f"the {name} is not finite", where=f"step {step}", value=value, remedy="lower the learning rate"
            )


def check_resumed(trainable: int, stored: int) -> None:
    """As many numbers are trained after a resume as before. Raises `OperatorError`."""
    if trainable != stored:
        raise OperatorError(
            f"{trainable:,} trained numbers after the resume, {stored:,} before",
            remedy="resume with the versions of peft and transformers that the training began with",
        )


class GradientWatch:
    """Which trained layers have got a gradient so far, and whether they moved."""

    def __init__(self, attached: Attached, family: Family) -> None:
        named = [(n, p) for n, p in attached.model.named_parameters() if p.requires_grad]
        self._weights = [(n, p) for n, p in named if attached.full or ".lora_B." in n]
        self._family = family
        self._moved: set[str] = set()
        self._start = {n: float(p.detach().double().sum()) for n, p in self._weights} if attached.full else {}

    def look(self) -> None:
        """After a backward pass. B of an adapter starts at zero, so that it is the one to get the first gradient."""
        for name, weight in self._weights:
            if name not in self._moved and weight.grad is not None and bool(weight.grad.any()):
                self._moved.add(name)

    def check(self) -> None:
        """Raises `OperatorError` for a part whose layers got none."""
        self._report([n for n, _ in self._weights if n not in self._moved], "got no gradient")

    def check_moved(self) -> None:
        """The weights are no longer what they were at the start. Raises `OperatorError`."""
        still = [
            name
            for name, weight in self._weights
            if (float(weight.detach().double().sum()) == self._start[name] if self._start else not bool(weight.any()))
        ]
        self._report(still, "did not change")

    def _report(self, resting: Sequence[str], what: str) -> None:
        for part in ("text", "connector", "vision", "head", "other"):
            names = [n for n, _ in self._weights if self._part(n) == part]
            lacking = [n for n in resting if self._part(n) == part]
            allowed = MAY_REST * len(names) if part in ("vision", "other") else 0
            if len(lacking) > allowed:
                raise OperatorError(
                    f"{len(lacking)} of {len(names)} trained layers of the {_WORDS[part]} {what}",
                    where="target_modules",
                    value=lacking[0].split(".lora_B")[0],
                    remedy="train on samples with pictures, or leave that part out of target_modules",
                )

    def _part(self, name: str) -> str:
        return part_of(name.removeprefix("base_model.model."), self._family)


_WORDS = {
    "text": "language model",
    "connector": "connector",
    "vision": "picture encoder",
    "head": "output layer",
    "other": "other parts",
}
