"""How a student is trained, as data. Defaults are those of P1 where it states them.

P1 (appendix H) states the learning rate and the batch size. LoRA rank and alpha, the warm-up, the schedule and
the single epoch are not in the paper: they are inferred from the public LLaVA recipe, which the paper builds on,
and are labelled so below. They suit a student of 7 billion parameters; the embedded student overrides them in its
configuration.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from errata.tools.records import Record, digest

Share = Annotated[float, Field(ge=0, lt=1)]


def _name_switch(value: object) -> object:
    """YAML reads on and off as true and false."""
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else value


Switch = Annotated[Literal["auto", "on", "off"], BeforeValidator(_name_switch)]


class Recipe(Record):
    """Settings of one training. Equal recipe, lessons and base give equal weights on CPU."""

    learning_rate: float = Field(default=2e-4, gt=0)
    """P1 appendix H."""
    batch_size: int = Field(default=128, ge=1)
    """P1 appendix H; samples per optimiser step over all processes."""
    micro_batch: int | None = Field(default=None, ge=1)
    """Samples per forward pass of one process; None measures on a GPU what fits, and takes the whole share of the
    batch on a CPU. Halved when memory runs out; the batch of a step stays the same."""
    epochs: int = Field(default=1, ge=1)
    """Inferred (LLaVA)."""
    method: Literal["lora", "dora", "qlora", "full"] = "lora"
    """How weights change: `lora`; `dora` splits size and direction; `qlora` holds the base in 4 bits (CUDA and
    bitsandbytes); `full` trains the parts themselves."""
    lora_rank: int = Field(default=128, ge=1)
    """Inferred (LLaVA)."""
    lora_alpha: int = Field(default=256, ge=1)
    """Inferred (LLaVA)."""
    lora_dropout: Share = 0.0
    target_modules: (
        Literal["text", "text-and-connector", "connector", "vision-and-connector", "all"] | tuple[str, ...]
    ) = "text"
    """Parts whose linear layers are trained; `text` is the language model; a tuple names modules as PEFT does."""
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
    """Hard bound on the wall clock of the training. It makes results depend on the machine: for rescue only."""
    save_every: int = Field(default=50, ge=1)
    """Optimiser steps between two training states on disk."""
    max_tokens: int = Field(default=2048, ge=8)
    """Longest sample, pictures included; nothing is truncated."""
    too_long: Literal["stop", "skip"] = "stop"
    """A longer sample stops the training with its id, or is skipped and counted."""
    replay: Share = 0.1
    """Share of the mixture that is general data (P3: 10 %), drawn without replacement."""
    packing: Switch = "auto"
    """Samples behind one another in one row, without padding; `auto`: with flash-attention, where the family can."""
    checkpointing: Switch = "auto"
    """Compute activations twice instead of keeping them; `auto`: on a GPU where fewer than 4 samples would fit."""
    cache_features: Switch = "off"
    """Keep the picture features of a frozen encoder on disk (bf16); `auto`: with several epochs and space for them."""
    deterministic: bool = False
    """Deterministic algorithms on a GPU too; slower. On a CPU they are always used."""
    loader_workers: int | None = Field(default=None, ge=0, le=64)
    """Processes that open and encode samples; None: none on a CPU, up to 8 on a GPU. Changes no result."""
    processes: int = Field(default=1, ge=1, le=64)
    """Processes that share every batch and add their gradients: torch.distributed, gloo on CPU, NCCL on GPUs."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    seed: int = 0

    @property
    def digest(self) -> str:
        """The id of the recipe, as checkpoints name it. A setting that came later counts when it is changed."""
        body: dict[str, Any] = self.model_dump(mode="json")
        later = {name for name in LATER if body[name] == type(self).model_fields[name].default}
        return digest("recipe", {name: value for name, value in body.items() if name not in later | SPEED})


LATER = {"method", "packing", "checkpointing", "cache_features", "deterministic"}
"""Settings that older run folders do not know: at their default they leave the digest as it was."""
SPEED = {"loader_workers"}
"""Settings that change no result."""
