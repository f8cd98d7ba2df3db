"""Which program generates a student's answers, and how it is started."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from errata.tools.records import Record

BackendName = Literal["transformers", "vllm", "server"]


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


class ServerOptions(Record):
    """A server of the OpenAI protocol that serves the student with the student's own chat template."""

    base_url: str | None = Field(default=None, pattern=r"^https?://")
    """Such as http://127.0.0.1:8000/v1."""
    model: str = ""
    """Name under which the base is served."""
    key_env: str | None = None
    """Name of the environment variable that holds the key; the key itself is never written down."""
    load_adapters: bool = True
    """Whether adapters are loaded through vLLM's own route; a checkpoint that the server already lists is not."""
    token_ids: bool = True
    """Ask for token ids, as vLLM gives them; false for a server that refuses fields it does not know."""
    concurrency: int = Field(default=32, ge=1, le=4096)
    """Questions that are under way at the same time."""
    timeout_seconds: float = Field(default=600, gt=0)
    """For one answer."""
    attempts: int = Field(default=4, ge=1, le=20)
    """Sendings of one question, where the server is busy or the connection fails."""


class ParityOptions(Record):
    """How alike two backends must answer before one stands in for the other."""

    questions: int = Field(default=64, ge=1, le=1000)
    agreement: float = Field(default=0.9, ge=0, le=1)
    """Least share of equal greedy answers."""
    first_token: float = Field(default=0.1, gt=0, le=1)
    """Largest difference of a first token's probability."""
