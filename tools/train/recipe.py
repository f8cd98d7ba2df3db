"""How a student is trained, as one frozen record.

Defaults are those of P1 (methods.md section 7). The paper states the learning rate and the batch size; the
rest is inferred from LLaVA's public recipe and marked so. The embedded student overrides them in its
configuration.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from errata.tools.records import Record, digest

Share = Annotated[float, Field(ge=0, lt=1)]


class Recipe(Record):
    """Settings of one LoRA training. Equal recipe, lessons and base give equal weights on CPU."""

    learning_rate: float = Field(default=2e-4, gt=0)
    """P1 appendix H."""
    batch_size: int = Field(default=128, ge=1)
    """P1 appendix H; samples per optimiser step over all processes."""
    micro_batch: int | None = Field(default=None, ge=1)
    """Samples per forward pass of one process; None takes its whole share of the batch."""
    epochs: int = Field(default=1, ge=1)
    """Inferred (LLaVA)."""
    lora_rank: int = Field(default=128, ge=1)
    """Inferred (LLaVA)."""
    lora_alpha: int = Field(default=256, ge=1)
    """Inferred (LLaVA)."""
    lora_dropout: Share = 0.0
    target_modules: Literal["text", "text-and-connector"] | tuple[str, ...] = "text"
    """`text`: every linear layer of the language model; a tuple names modules as PEFT does."""
    warmup: Share = 0.03
    """Inferred (LLaVA); share of all steps."""
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    """Inferred (LLaVA); decay to 0 after warm-up."""
    weight_decay: float = Field(default=0.0, ge=0)
    gradient_clip: float = Field(default=1.0, gt=0)
    """Largest L2 norm of the gradient."""
    max_steps: int | None = Field(default=None, ge=1)
    """Caps the number of optimiser steps; the schedule is stretched to it."""
    max_seconds: float | None = Field(default=None, gt=0)
    """Hard bound on the wall clock of one process. It makes results depend on the machine: for rescue only."""
    save_every: int = Field(default=50, ge=1)
    """Optimiser steps between two training states on disk."""
    max_tokens: int = Field(default=2048, ge=8)
    """Longest sample, pictures included; nothing is truncated."""
    too_long: Literal["stop", "skip"] = "stop"
    """A longer sample stops the training with its id, or is skipped and counted."""
    replay: Share = 0.1
    """Share of the mixture that is general data (P3: 10 %), drawn without replacement."""
    processes: Literal[1, 2] = 1
    """2 splits every batch over two processes and adds their gradients in a fixed order."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    seed: int = 0

    @model_validator(mode="after")
    def _one_clock(self) -> Recipe:
        if self.processes == 2 and self.max_seconds is not None:
            raise ValueError("max_seconds needs processes: 1, since two processes have two clocks")
        return self

    @property
    def digest(self) -> str:
        """The id of the recipe, as checkpoints name it."""
        return digest("recipe", self.model_dump(mode="json"))
