"""The near end of `vllm_script`: starts vLLM's process, asks it in rounds, and ends it."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from errata.tools.errors import OperatorError
from errata.tools.evaluate.backends.options import VllmOptions

SCRIPT = Path(__file__).with_name("vllm_script.py")
ON_A_CPU = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
"""GiB of keys and values, and threads where the system puts them; the environment's own values go first."""
INSTALL = (
    "install vLLM there (pip install 'errata-vlm[serve]'), or name an environment's python in student.generate.vllm"
)


class Request(NamedTuple):
    """One prompt: its text with picture marks, as the chat template gives it, and its pictures' files."""

    id: str
    text: str
    pictures: tuple[str, ...]


class Reply(NamedTuple):
    """What vLLM answered; the last three only where log-probabilities were asked for."""

    id: str
    texts: tuple[str, ...]
    first: dict[int, float]
    """Log-probability of the likeliest first tokens."""
    prompt: tuple[int, ...]
    tokens: tuple[int, ...]


class EngineSettings(NamedTuple):
    """What an engine is started with."""

    model: str
    """Folder of the base, or of merged weights."""
    adapter: str | None
    name: str
    """Of the adapter: vLLM keeps picture embeddings under it, so that each checkpoint needs its own."""
    rank: int
    pictures: int
    """Most pictures of a prompt."""
    dtype: str
    """float32 on a CPU, bfloat16 on a GPU."""
    picture: str | None = None
    """A picture whose pixels are hashed, and its prompt."""
    text: str = ""


class VllmEngine:
    """A running engine. `described` is what its environment says of template and pixels."""

    def __init__(self, settings: EngineSettings, *, options: VllmOptions) -> None:
        self._log = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        python = options.python or sys.executable
        quiet = {"VLLM_LOGGING_LEVEL": "ERROR", "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}
        if settings.dtype == "float32":
            quiet |= {name: os.environ.get(name, value) for name, value in ON_A_CPU.items()}
        kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
        try:
            self._process = subprocess.Popen(
                [python, "-P", str(SCRIPT)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                text=True,
                env=kept | quiet,
                start_new_session=True,
            )
        except OSError as error:
            raise OperatorError(
                f"cannot start: {error.strerror}", where="student.generate.vllm.python", value=python, remedy=INSTALL
            ) from error
        rest = {"gpu_memory": options.gpu_memory, "gpus": options.gpus, "max_tokens": options.max_tokens}
        self._write(settings._asdict() | rest)
        self.described: dict[str, str] = self._read()["ready"]

    def __enter__(self) -> VllmEngine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the process and all that it started."""
        if self._process.stdin is not None and not self._process.stdin.closed:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
        try:
            self._process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._log.close()

    def ask(
        self,
        requests: Sequence[Request],
        *,
        max_new_tokens: int,
        ends: Sequence[int],
        adapted: bool = True,
        n: int = 1,
        temperature: float = 0.0,
        logprobs: int = 0,
    ) -> Iterator[Reply]:
        """Replies in order. Raises `OperatorError` when vLLM fails or dies."""
        self._write(
            {
                "requests": [request._asdict() for request in requests],
                "max_new_tokens": max_new_tokens,
                "ends": list(ends),
                "adapted": adapted,
                "n": n,
                "temperature": temperature,
                "logprobs": logprobs,
                "seed": 0,
            }
        )
        while "done" not in (body := self._read()):
            first = {int(token): float(value) for token, value in body.get("first", {}).items()}
            prompt, tokens = tuple(body.get("prompt", ())), tuple(body.get("tokens", ()))
            yield Reply(body["id"], tuple(body["texts"]), first, prompt, tokens)

    def _write(self, body: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(body) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise self._died() from error

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise self._died()
        body: dict[str, Any] = json.loads(line)
        return body

    def _died(self) -> OperatorError:
        code = self._process.wait()
        self._log.seek(0)
        lines = [line.strip() for line in self._log.read().splitlines() if line.strip()]
        said = lines[-1][:300] if lines else "no message"
        return OperatorError(
            f"vLLM's process died (exit code {code}): {said}", where="student.generate.vllm", remedy=INSTALL
        )
