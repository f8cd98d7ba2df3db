import json
import os
import resource
import signal

import pytest

from errata.tools.errors import OperatorError, StopRequested
from errata.tools.records import ImageRef
from errata.tools.train.host import StudentHost
from errata.tools.train.job import STATE, write_atomic
from errata.tools.train.recipe import Recipe
from errata.tools.train.run import TrainProgress, train_student
from tests.tiny_student import build_problems, shared_folder, shared_host, source, teach

RECIPE = Recipe(
    learning_rate=1e-2, batch_size=8, epochs=16, lora_rank=4, lora_alpha=8, lora_dropout=0.1, save_every=3,
    replay=0.0, device="cpu",
)  # fmt: skip
ADAPTER = "adapter_model.safetensors"


@pytest.fixture(scope="module")
def lessons():
    return teach(build_problems(shared_folder() / "train", 24, seed=1))


@pytest.fixture(scope="module")
def undisturbed(lessons, tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed") / "c1"
    seen: list[TrainProgress] = []
    checkpoint = run(lessons, folder, on_progress=seen.append)
    return folder, checkpoint, seen


def run(lessons, folder, *, recipe=RECIPE, host=None, on_progress=None, base=None):
    return train_student(
        lessons, base=base or source(), recipe=recipe, folder=folder, checkpoint_id="c1",
        on_progress=on_progress, replay=(), host=host or shared_host(),
    )  # fmt: skip


def at_step(number: int, action):
    def on_progress(progress: TrainProgress) -> None:
        if progress.step == number:
            action()

    return on_progress


def kill_worker() -> None:
    for pid in shared_host().running.values():
        os.kill(pid, signal.SIGKILL)


def test_training_teaches_and_says_what_it_did(undisturbed):
    folder, checkpoint, seen = undisturbed
    assert [p.step for p in seen] == list(range(1, 49))
    assert seen[-1].samples == 384
    assert seen[-1].loss < 0.5 * seen[0].loss
    assert (checkpoint.parent, checkpoint.lessons, checkpoint.folder) == (
        "base",
        24,
        f"{folder.parent.name}/c1",
    )
    assert checkpoint.loss == pytest.approx(json.loads((folder / "finished.json").read_text())["loss"])
    assert not (folder / STATE).exists()


def test_a_finished_training_is_not_repeated(undisturbed, lessons):
    folder, checkpoint, _ = undisturbed
    closed = StudentHost()
    closed.close()
    assert run(lessons, folder, host=closed) == checkpoint


@pytest.mark.parametrize("step", [2, 20])
def test_resume_after_kill_gives_bitwise_the_same_weights(undisturbed, lessons, tmp_path, step):
    folder, checkpoint, _ = undisturbed
    with pytest.raises(OperatorError, match="SIGKILL"):
        run(lessons, tmp_path / "c1", on_progress=at_step(step, kill_worker))
    assert not (tmp_path / "c1" / "finished.json").exists()
    steps: list[int] = []
    again = run(lessons, tmp_path / "c1", on_progress=lambda p: steps.append(p.step))
    assert (steps[0] - 1) % RECIPE.save_every == 0
    assert steps[0] > step - RECIPE.save_every
    assert again.loss == checkpoint.loss
    assert (tmp_path / "c1" / ADAPTER).read_bytes() == (folder / ADAPTER).read_bytes()


def test_a_stop_saves_the_state_and_resumes_exactly(undisturbed, lessons, tmp_path):
    def stop() -> None:
        raise StopRequested("stop")

    with pytest.raises(StopRequested):
        run(lessons, tmp_path / "c1", on_progress=at_step(4, stop))
    assert shared_host().running == {}
    steps: list[int] = []
    run(lessons, tmp_path / "c1", on_progress=lambda p: steps.append(p.step))
    assert steps == [] or steps[0] > 4
    assert (tmp_path / "c1" / ADAPTER).read_bytes() == (undisturbed[0] / ADAPTER).read_bytes()


def test_two_processes_learn_the_same_and_survive_a_kill(lessons, tmp_path):
    calm = {"lora_dropout": 0.0}
    one = run(lessons, tmp_path / "one", recipe=RECIPE.model_copy(update=calm))
    assert run(
        lessons, tmp_path / "calm", recipe=RECIPE.model_copy(update={"processes": 2, **calm})
    ).loss == pytest.approx(one.loss, rel=1e-3)
    recipe = RECIPE.model_copy(update={"processes": 2})  # with dropout: each process draws for its own samples
    run(lessons, tmp_path / "two", recipe=recipe)
    for step in (7, 20):
        with pytest.raises(OperatorError):
            run(lessons, tmp_path / "hit", recipe=recipe, on_progress=at_step(step, kill_worker))
    run(lessons, tmp_path / "hit", recipe=recipe)
    assert (tmp_path / "hit" / ADAPTER).read_bytes() == (tmp_path / "two" / ADAPTER).read_bytes()


def test_other_lessons_in_the_same_folder_are_trained_anew(lessons, tmp_path):
    short = RECIPE.model_copy(update={"max_steps": 2})
    run(lessons, tmp_path / "c1", recipe=short)
    before = (tmp_path / "c1" / ADAPTER).read_bytes()
    seen: list[int] = []
    run(lessons[:16], tmp_path / "c1", recipe=short, on_progress=lambda p: seen.append(p.step))
    assert seen == [1, 2]
    assert (tmp_path / "c1" / ADAPTER).read_bytes() != before


def test_what_a_person_has_to_mend_is_one_line(lessons, tmp_path):
    with pytest.raises(OperatorError, match="no lessons"):
        run([], tmp_path / "a")
    with pytest.raises(OperatorError, match=r"student base: no such folder.*/absent"):
        run(lessons, tmp_path / "a", base=source(base=str(tmp_path / "absent")))
    text_only = tmp_path / "text"
    text_only.mkdir()
    (text_only / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(OperatorError, match=r"no vision-language model.*llama"):
        run(lessons, tmp_path / "a", base=source(base=str(text_only)))
    with pytest.raises(OperatorError, match=r"no linear layer.*q_proj"):
        run(lessons, tmp_path / "b", recipe=RECIPE.model_copy(update={"target_modules": ("absent",)}))
    with pytest.raises(OperatorError, match=r"longer than 20 tokens.*too_long"):
        run(lessons, tmp_path / "c", recipe=RECIPE.model_copy(update={"max_tokens": 20}))
    lost = lessons[0].problem.model_copy(update={"images": (ImageRef(path=str(tmp_path / "no.png"), sha256=""),)})
    with pytest.raises(OperatorError, match=r"problem p0000: unreadable picture"):
        run([lessons[0].model_copy(update={"problem": lost})], tmp_path / "d")
    (tmp_path / "file").write_text("")
    with pytest.raises(OperatorError, match="cannot create"):
        run(lessons, tmp_path / "file" / "c1")


def test_a_disk_that_refuses_a_write_leaves_the_old_file_and_no_draft(tmp_path):
    path = tmp_path / "adapter"
    write_atomic(path, b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(OperatorError, match="cannot write"):
            write_atomic(path, b"x" * 100_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["adapter"]
