"""Projected LoRA gradients of a student, one per sample: what LESS compares."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from errata.tools.records import Problem, seed_of
from errata.tools.retrieve.model_files import plan_batches

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from errata.tools.student.encode import Encoded
    from errata.tools.student.source import StudentSource

RANK = 8
SIZE = 2048
BATCH_TOKENS = 2048


class StudentGradients:
    """Satisfies `MeasureGradients`. The student is loaded with the first sample.

    A fresh LoRA has B = 0, so that only the gradient of B is not zero: it is the gradient of the weights
    themselves, projected by the random A. It is then sketched: each number is added, with a random sign, to
    one of `size` places, which keeps inner products in expectation and needs no dense projection matrix.
    Samples share forward and backward passes: what a layer B is given and what flows back into it is kept
    apart by sample, and their product is the sample's own gradient.
    """

    def __init__(self, source: StudentSource, *, size: int = SIZE, rank: int = RANK, seed: int = 0) -> None:
        self._source, self._size, self._rank, self._seed = source, size, rank, seed
        self._student: Any = None
        self._sketch: Any = None

    def __call__(self, problems: Sequence[Problem]) -> NDArray[np.float32]:
        """float32[problems, size]: of the mean loss per answer token, as a training sees it."""
        import numpy as np

        from errata.tools.student.encode import encode_sample

        if self._student is None:
            self._open()
        prompt, first = self._source.prompt, self._source.image_first
        samples = [encode_sample(p, student=self._student, prompt=prompt, image_first=first) for p in problems]
        rows = np.zeros((len(samples), self._size), np.float32)
        for batch in plan_batches([len(sample.ids) for sample in samples], tokens=BATCH_TOKENS):
            rows[batch] = self._measure([samples[i] for i in batch]).cpu().numpy()
        return rows

    def _measure(self, samples: Sequence[Encoded]) -> torch.Tensor:
        import torch

        from errata.tools.student.collate import collate
        from errata.tools.student.encode import IGNORED

        tensors = collate(samples, student=self._student)
        labels = tensors.pop("labels")[:, 1:]
        sketch = self._sketch = torch.zeros((len(samples), self._size), device=labels.device)
        logits = self._model(**tensors).logits[:, :-1].float()
        losses = torch.nn.functional.cross_entropy(
            logits.transpose(1, 2), labels, ignore_index=IGNORED, reduction="none"
        )
        counts = (labels != IGNORED).sum(dim=1, keepdim=True)
        torch.autograd.grad((losses / counts).sum(), self._weights)
        return sketch

    def _open(self) -> None:
        import torch
        from peft import LoraConfig, get_peft_model

        from errata.tools.student.layers import linear_names
        from errata.tools.student.load import open_source

        self._student = open_source(self._source, device="auto")
        torch.manual_seed(seed_of("less", self._seed) % 2**63)
        names = linear_names(self._student.model, targets="text")
        config = LoraConfig(r=self._rank, lora_alpha=self._rank, target_modules=names)
        self._model = get_peft_model(self._student.model, config).eval()
        self._weights = []
        generator = torch.Generator().manual_seed(seed_of("sketch", self._seed) % 2**63)
        for weight in self._model.parameters():
            weight.requires_grad_(False)
        for name, module in self._model.named_modules():
            if name.endswith("lora_B.default"):
                module.weight.requires_grad_(True)
                self._weights.append(module.weight)
                module.register_forward_hook(self._make_hook(module.weight, generator))

    def _make_hook(self, weight: torch.Tensor, generator: torch.Generator) -> Any:
        """A forward hook that sketches the layer's gradient as it flows back, sample by sample."""
        import torch

        count, place = weight.numel(), self._student.device
        places = torch.randint(self._size, (count,), generator=generator).to(place)
        signs = (torch.randint(2, (count,), generator=generator) * 2.0 - 1.0).to(place)

        def keep(_module: Any, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
            given = inputs[0].detach().float()

            def add(flowing: torch.Tensor) -> None:
                own = torch.einsum("nto,ntr->nor", flowing.float(), given).flatten(1)
                self._sketch.index_add_(1, places, own * signs)

            output.register_hook(add)  # type: ignore[no-untyped-call]

        return keep
