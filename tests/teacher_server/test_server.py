"""What stands around vLLM, without vLLM: a server that fails is one line, one that runs is stopped with its workers."""

from __future__ import annotations

import random
import stat
import time
from pathlib import Path
from typing import Any

import pytest

from tests.teacher_server import server
from tests.teacher_server.chat_model import build_tokenizer, render
from tests.teacher_server.install import CannotInstall, is_installed, run_quietly
from tests.teacher_server.lessons import LESSONS

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])
HEALTHY = """
import http.server, os, signal, subprocess, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
worker = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print("worker", worker.pid, flush=True)
class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
    def log_message(self, *words): pass
port = int(sys.argv[sys.argv.index("--port") + 1])
http.server.HTTPServer(("127.0.0.1", port), Health).serve_forever()
"""


def interpreter(folder: Path, code: str) -> Path:
    """Something that is started like a Python and runs `code` whatever it is told to."""
    import sys

    program, path = folder / "program.py", folder / "python"
    program.write_text(code, encoding="utf-8")
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{program}" "$@"\n', encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def runs(pid: int) -> bool:
    """Whether the process is there and no mere entry of a dead one."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state not in "ZX"


def test_a_server_that_ends_is_one_line_with_the_last_error(tmp_path: Path) -> None:
    python = interpreter(tmp_path, "raise SystemExit('ValueError: no such block size')")
    with (
        pytest.raises(server.ServerFailed, match="ended with code 1: ValueError: no such block size; its log is"),
        server.serve_model(python, model=tmp_path, log=tmp_path / "log"),
    ):
        pass


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")
def test_the_server_and_its_workers_are_gone_after_a_failure(tmp_path: Path) -> None:
    python, log, seen = interpreter(tmp_path, HEALTHY), tmp_path / "log", []

    def fail() -> None:
        with server.serve_model(python, model=tmp_path, log=log, stop_seconds=0.5):
            seen.append(int(log.read_text(encoding="utf-8").split()[-1]))
            seen.append(runs(seen[0]))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    worker, ran = seen
    assert ran
    deadline = time.monotonic() + 5
    while runs(worker) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not runs(worker)


def test_what_cannot_be_installed_has_a_reason(tmp_path: Path) -> None:
    with pytest.raises(CannotInstall, match=r"^ERROR: No matching distribution; pip has to see"):
        run_quietly("sh", "-c", "echo 'ERROR: No matching distribution' >&2; echo note >&2; exit 1")
    with pytest.raises(CannotInstall, match="signal 4"):
        run_quietly("sh", "-c", "kill -4 $$")
    assert not is_installed(tmp_path)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    bare, rng = build_tokenizer(["a"]), random.Random(0)
    return build_tokenizer(["".join(render(bare, course.draw(rng))) for course in LESSONS.values() for _ in range(4)])


def test_the_tokenizer_takes_any_text(tokenizer: Any) -> None:
    for text in ("The answer is A", "żółć ∑ 日本語 \N{PILE OF POO}", "a\x00b\t\r\n", "<tool_call>{}</tool_call>", ""):
        assert tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"]) == text


@pytest.mark.parametrize("kind", LESSONS)
def test_lessons_of_one_kind_share_their_system_part(tokenizer: Any, kind: str) -> None:
    rng = random.Random(1)
    shown = [render(tokenizer, LESSONS[kind].draw(rng)) for _ in range(5)]
    assert len({head for head, _, _ in shown}) == 1
    assert all(prompt.endswith("<|im_start|>assistant\n") for _, prompt, _ in shown)
    assert all(reply.endswith("<|im_end|>") for _, _, reply in shown)
    assert len({prompt for _, prompt, _ in shown}) > 1
