"""A dataset by name: what cannot be had is one line, soon. In processes of their own, so that sockets are theirs."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from errata.tools.data.read import scan_rows
from errata.tools.errors import OperatorError

pytest.importorskip("datasets")
HOUSE = Path(__file__).resolve().parents[3]
SILENT = """
import socket, time
s = socket.socket()
s.bind(("127.0.0.1", 0))
s.listen()
print(s.getsockname()[1], flush=True)
time.sleep(120)
"""


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A server that takes connections and never answers."""
    server = subprocess.Popen([sys.executable, "-c", SILENT], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    yield int(server.stdout.readline())
    server.kill()
    server.wait()


def check(name: str, place: Path, **variables: str) -> tuple[str, float]:
    """What `errata data check` says of a dataset of the hub, and how long it takes."""
    began = time.monotonic()
    clean = {k: v for k, v in os.environ.items() if not k.startswith("HF_") and not k.lower().endswith("_proxy")}
    done = subprocess.run(
        [sys.executable, "-m", "errata.agent", "data", "check", name, "--format", "huggingface"],
        cwd=place,
        env={**clean, "PYTHONPATH": str(HOUSE), "HF_HOME": str(place), **variables},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    return done.stderr, time.monotonic() - began


def test_a_hub_that_cannot_be_reached(tmp_path: Path) -> None:
    told, seconds = check("owner/name", tmp_path, HF_ENDPOINT="http://127.0.0.1:9")
    assert "errata: owner/name: no such folder, and the hub at http://127.0.0.1:9 cannot be reached" in told
    assert "HF_HUB_OFFLINE=1" in told
    assert seconds < 30


def test_a_hub_that_never_answers(tmp_path: Path, silent_port: int) -> None:
    told, seconds = check("owner/name", tmp_path, HF_ENDPOINT=f"http://127.0.0.1:{silent_port}")
    assert "cannot be reached (timed out)" in told
    assert seconds < 40


def test_a_name_that_was_never_downloaded_without_the_hub(tmp_path: Path) -> None:
    told, _ = check("owner/name", tmp_path, HF_HUB_OFFLINE="1")
    assert "the dataset cannot be opened" in told


def test_what_is_no_name_asks_nobody(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("question,answer\nWho?,I\n")
    for path, what in (("train.csv", "a file, not a dataset"), ("no/such/folder", "no name of a dataset")):
        with pytest.raises(OperatorError, match=what):
            list(scan_rows(tmp_path / path, format="huggingface"))
