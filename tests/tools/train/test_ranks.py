import json
import os
import signal
import subprocess
import sys
import time

import pytest

from errata.tools.train.job import FINISHED, JOB, STATE, make_job, write_atomic
from errata.tools.train.recipe import Recipe
from errata.tools.train.samples import write_samples
from tests.tiny_student import build_problems, shared_folder, source

RECIPE = Recipe(learning_rate=1e-2, batch_size=6, epochs=3, lora_rank=4, lora_alpha=8, replay=0.0, device="cpu")


@pytest.fixture(scope="module")
def problems():
    return tuple(build_problems(shared_folder() / "ranks", 18, seed=8))


def start(folder, problems, **changes):
    """A training process of its own, by its command line."""
    folder.mkdir(parents=True, exist_ok=True)
    write_samples(folder, problems)
    recipe = RECIPE.model_copy(update=changes)
    job = make_job(problems, base=source(), recipe=recipe, prompt="p")
    write_atomic(folder / JOB, job.model_dump_json().encode())
    command = [sys.executable, "-m", "errata.tools.train.worker", str(folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process):
    output, errors = process.communicate(timeout=200)
    assert process.returncode == 0, errors
    return [json.loads(line) for line in output.splitlines()]


def test_the_loss_curve_is_the_same_with_one_two_and_three_processes(tmp_path, problems):
    curves = []
    for number in (1, 2, 3):
        said = finish(start(tmp_path / str(number), problems, processes=number))
        curves.append([body["progress"]["loss"] for body in said if "progress" in body])
    assert len(curves[0]) == 9
    for curve in curves[1:]:
        assert curve == pytest.approx(curves[0], abs=1e-4)


def test_all_processes_stop_when_the_first_is_asked_to_and_go_on_later(tmp_path, problems):
    process = start(tmp_path / "c1", problems, processes=2, epochs=40)
    assert "progress" in process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    said = finish(process)
    assert "stopped" in said[-1]
    assert (tmp_path / "c1" / STATE).is_file()
    assert not (tmp_path / "c1" / FINISHED).exists()


def test_when_one_process_dies_the_training_ends_with_a_line(tmp_path, problems):
    process = start(tmp_path / "c1", problems, processes=2, epochs=200)
    assert "progress" in process.stdout.readline()
    children = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=True)
    os.kill(int(children.stdout.split()[0]), signal.SIGKILL)
    output, errors = process.communicate(timeout=200)
    assert process.returncode == 2
    assert "another process of the training died" in errors
    assert "Traceback" not in output + errors


def test_the_time_limit_is_the_first_processs_for_all(tmp_path, problems):
    started = time.monotonic()
    said = finish(start(tmp_path / "c1", problems, processes=2, epochs=400, max_seconds=1.0))
    assert time.monotonic() - started < 150
    steps = said[-1]["finished"]["steps"]
    assert 0 < steps < 1200
    assert (tmp_path / "c1" / FINISHED).is_file()


FAILING = """
import sys
from pathlib import Path
from errata.tools.errors import OperatorError
from errata.tools.train.ranks import run_ranks

def work(rank):
    if not rank.first:
        raise OperatorError("unreadable picture", where="problem q7", remedy="mend the file")
    while True:
        rank.agree(stop=False, late=False)

try:
    run_ranks(2, Path(sys.argv[1]), work)
except OperatorError as error:
    print(error)
"""


def test_what_a_person_has_to_mend_in_another_process_is_said_by_the_first(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", FAILING, str(tmp_path)], capture_output=True, text=True, check=True, timeout=200
    )
    assert done.stdout == "problem q7: unreadable picture; mend the file\n"
    assert list(tmp_path.iterdir()) == []


DYING = """
import os
import sys
from pathlib import Path
from errata.tools.errors import OperatorError
from errata.tools.train.ranks import run_ranks

def work(rank):
    if not rank.first:
        os._exit(1)
    while True:
        rank.agree(stop=False, late=False)

for again in range(8):
    try:
        run_ranks(2, Path(sys.argv[1]), work)
    except OperatorError as error:
        print(error)
        from torch import distributed
        if distributed.is_initialized():
            distributed.destroy_process_group()
"""


def test_a_process_that_dies_while_they_meet_is_said_in_a_line_too(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", DYING, str(tmp_path)], capture_output=True, text=True, check=True, timeout=200
    )
    lines = done.stdout.splitlines()
    assert len(lines) == 8
    for line in lines:  # before they have met, torch's own words stand between
        assert line.startswith("another process of the training died")
        assert line.endswith("; resume")
    assert list(tmp_path.iterdir()) == []


def test_an_address_that_cannot_be_used_is_said_with_torchs_own_words(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", DYING, str(tmp_path)],
        env=os.environ | {"GLOO_SOCKET_IFNAME": "nowhere0"},
        capture_output=True,
        text=True,
        check=True,
        timeout=200,
    )
    lines = done.stdout.splitlines()
    assert len(lines) == 8
    assert all("died while they connected: " in line and "nowhere0" in line for line in lines), lines
