"""vLLM on loopback, for the time of a `with` block: started, waited for, and stopped whatever happens."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

NAME = "tiny"
"""The model's name as requests give it."""
BLOCK = 32
"""Tokens of one block of the prefix cache: whole blocks are reused; the least that attention on a CPU takes."""
CONTEXT = 2048
START_SECONDS = 420.0
STOP_SECONDS = 20.0
SETTINGS = {
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_SERVER_DEV_MODE": "1",  # for /reset_prefix_cache, so that a benchmark begins with an empty one
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "1",
}


class Served(NamedTuple):
    """A running server: base address and model folder."""

    url: str
    model: Path


class ServerFailed(RuntimeError):
    """The server did not come up; the message ends with the last error of its log."""


def command_of(python: Path, *, model: Path, port: int) -> list[str]:
    """What starts the server. The wheel for CPUs lacks the metadata that the command `vllm` reads, so that it fails."""
    return [
        *(str(python), "-m", "vllm.entrypoints.openai.api_server"),
        *("--model", str(model), "--served-model-name", NAME, "--host", "127.0.0.1", "--port", str(port)),
        *("--dtype", "float32", "--max-model-len", str(CONTEXT), "--max-num-seqs", "16", "--enforce-eager"),
        *("--enable-prefix-caching", "--block-size", str(BLOCK), "--enable-prompt-tokens-details"),
        *("--enable-auto-tool-choice", "--tool-call-parser", "hermes", "--tool-strict-level", "parameter"),
        *("--generation-config", "vllm"),
        *("--structured-outputs-config", json.dumps({"backend": "xgrammar", "disable_any_whitespace": True})),
    ]


@contextlib.contextmanager
def serve_model(
    python: Path, *, model: Path, log: Path, stop_seconds: float = STOP_SECONDS
) -> Iterator[Served]:
    """Serve `model` by the vLLM of `python` on a free port; raises ServerFailed where it does not come up.

    `stop_seconds`: how long it has to end itself before it is killed.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    with log.open("wb") as out:
        # A session of its own: Ctrl-C reaches us alone, and the workers of the server can be ended with it.
        process = subprocess.Popen(
            command_of(python, model=model, port=port),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env={**os.environ, **SETTINGS},
            start_new_session=True,
        )
        try:
            wait_for_health(f"http://127.0.0.1:{port}", process=process, log=log)
            yield Served(f"http://127.0.0.1:{port}/v1", model)
        finally:
            stop_group(process, seconds=stop_seconds)


def wait_for_health(root: str, *, process: subprocess.Popen[bytes], log: Path) -> None:
    """Return when the server says that it is well. Raises ServerFailed when it has ended, or after START_SECONDS."""
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(urllib.error.URLError, OSError):
            urllib.request.urlopen(f"{root}/health", timeout=5).close()
            return
        time.sleep(0.5)
    why = f"ended with code {process.returncode}" if process.poll() is not None else f"not up in {START_SECONDS:g} s"
    raise ServerFailed(f"vLLM {why}: {last_error(log)}; its log is {log}")


def last_error(log: Path) -> str:
    """The last line of a log that names an error."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    named = [line for line in lines if "Error" in line]
    return (named or lines or ["nothing was logged"])[-1].strip()[-300:]


def stop_group(process: subprocess.Popen[bytes], *, seconds: float) -> None:
    """End the server and all its workers: asked first, then killed."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def forget_prefixes(url: str) -> None:
    """Empty the server's prefix cache."""
    request = urllib.request.Request(url.removesuffix("/v1") + "/reset_prefix_cache", method="POST")
    urllib.request.urlopen(request, timeout=30).close()
