"""`make teacher-test`: install vLLM, train its model, serve it, run the tests marked `vllm` against it, stop it.

What is made once lies in .teacher-test/. Ends with the code of the tests; with 0 and one line where vLLM cannot be
installed. `--serve` runs no tests: it prints the address and waits for Ctrl-C.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.teacher_server.install import CannotInstall, find_python
from tests.teacher_server.server import ServerFailed, serve_model

ROOT = Path(__file__).resolve().parent.parent.parent
KEPT = ROOT / ".teacher-test"
URL, MODEL = "ERRATA_VLLM_URL", "ERRATA_VLLM_MODEL"
"""How the tests are told where the server is; without them they are skipped."""


def find_model() -> Path:
    """The model's folder, trained if it is not there."""
    from tests.teacher_server.chat_model import model_name, train

    folder = KEPT / model_name()
    if not (folder / "config.json").is_file():
        print(f"training a tiny chat model into {folder.relative_to(ROOT)}, once; a few minutes", flush=True)
        train(folder)
    return folder


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.teacher_server", description=__doc__)
    parser.add_argument("--serve", action="store_true", help="only serve, until Ctrl-C")
    arguments, rest = parser.parse_known_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    KEPT.mkdir(exist_ok=True)
    try:
        python = find_python(KEPT / "venv")
    except CannotInstall as reason:
        print(f"teacher-test skipped: {reason}")
        return 0
    model = find_model()
    print("starting vLLM; about half a minute", flush=True)
    try:
        with serve_model(python, model=model, log=KEPT / "server.log") as served:
            where = {URL: served.url, MODEL: str(served.model)}
            if arguments.serve:
                print(" ".join(f"{name}={value}" for name, value in where.items()), flush=True)
                signal.pause()
            command = [sys.executable, "-m", "pytest", "-q", "-m", "vllm", "tests/teacher_server", *rest]
            return subprocess.run(command, cwd=ROOT, env={**os.environ, **where}, check=False).returncode
    except ServerFailed as failed:
        print(f"teacher-test: {failed}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


if __name__ == "__main__":
    sys.exit(main())
