"""Projected LoRA gradients of a student, one sample at a time: what LESS compares."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tools.records import Problem, seed_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tools.train.job import StudentSource

RANK = 8
SIZE = 2048


class StudentGradients:
    """Satisfies `MeasureGradients`. The student is loaded with the first sample.

    A fresh LoRA has B = 0, so that only the gradient of B is not zero: it is the gradient of the weights
    themselves, projected by the random A. It is then sketched: each number is added, with a random sign, to
    one of `size` places, which keeps inner products in expectation and needs no dense projection matrix.
    """

    def __init__(self, source: StudentSource, *, size: int = SIZE, rank: int = RANK, seed: int = 0) -> None:
        self._source, self._size, self._rank, self._seed = source, size, rank, seed
        self._student: Any = None

    def __call__(self, problems: Sequence[Problem]) -> NDArray[np.float32]:
        """float32[problems, size]: of the mean loss per answer token, as a training sees it."""
        import numpy as np
        import torch

        from tools.train.collate import IGNORED, collate, encode_sample

        if self._student is None:
            self._open()
        rows = np.zeros((len(problems), self._size), np.float32)
        for row, problem in enumerate(problems):
            sample = encode_sample(
                problem, student=self._student, prompt=self._source.prompt, image_first=self._source.image_first
            )
            tensors = collate([sample], student=self._student)
            labels = tensors.pop("labels")[:, 1:]
            logits = self._model(**tensors).logits[:, :-1]
            picked = labels != IGNORED
            loss = torch.nn.functional.cross_entropy(logits[picked].float(), labels[picked])
            found = torch.autograd.grad(loss, self._weights)
            flat = torch.cat([part.reshape(-1) for part in found]).float() * self._signs
            sketch = torch.zeros(self._size, device=flat.device).index_add_(0, self._places, flat)
            rows[row] = sketch.cpu().numpy()
        return rows

    def _open(self) -> None:
        import torch
        from peft import LoraConfig, get_peft_model

        from tools.train.load import open_student
        from tools.train.plan import linear_names

        self._student = open_student(self._source.base, adapter=self._source.adapter, device="auto")
        model, place = self._student.model, self._student.device
        torch.manual_seed(seed_of("less", self._seed) % 2**63)
        names = linear_names(model, targets="text")
        self._model = get_peft_model(
            model, LoraConfig(r=self._rank, lora_alpha=self._rank, target_modules=names)
        ).eval()
        for name, weight in self._model.named_parameters():
            weight.requires_grad_("lora_B" in name)
        self._weights = [weight for weight in self._model.parameters() if weight.requires_grad]
        count = sum(weight.numel() for weight in self._weights)
        generator = torch.Generator().manual_seed(seed_of("sketch", self._seed) % 2**63)
        self._places = torch.randint(self._size, (count,), generator=generator).to(place)
        self._signs = (torch.randint(2, (count,), generator=generator) * 2.0 - 1.0).to(place)
