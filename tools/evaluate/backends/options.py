"""Which program generates a student's answers, and how it is started."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from errata.tools.records import Record

BackendName = Literal["transformers", "vllm"]


class VllmOptions(Record):
    """vLLM's offline engine, in a process of its own that ends with the evaluation."""

    python: str | None = None
    """Interpreter of an environment that has vLLM; None is Errata's own."""
    merged: bool = False
    """Answer with the adapter merged into the weights (written to disk once) instead of a LoRA beside them."""
    gpu_memory: float = Field(default=0.9, gt=0, le=1)
    """Share of the GPU's memory that vLLM may take."""
    gpus: int = Field(default=1, ge=1)
    """GPUs that one copy of the model is spread over."""
    max_tokens: int = Field(default=8192, ge=64)
    """Longest prompt with its answer."""


class ParityOptions(Record):
    """How alike two backends must answer before one stands in for the other."""

    questions: int = Field(default=64, ge=1, le=1000)
    agreement: float = Field(default=0.9, ge=0, le=1)
    """Least share of equal greedy answers."""
    first_token: float = Field(default=0.1, gt=0, le=1)
    """Largest difference of a first token's probability."""
