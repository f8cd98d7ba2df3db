import json

import pytest
import torch

from errata.tools.errors import OperatorError
from errata.tools.student.collate import collate
from errata.tools.student.encode import encode_sample
from errata.tools.student.load import open_student
from errata.tools.student.loss import PIECE, answer_loss, whole_loss
from errata.tools.train.fit import Fit, choose_micro
from errata.tools.train.job import JOB, make_job, write_atomic
from errata.tools.train.ranks import Rank
from errata.tools.train.recipe import Recipe
from errata.tools.train.samples import SampleFile, write_samples
from errata.tools.train.stream import SampleStream
from errata.tools.train.training import Training
from errata.tools.train.worker import run_training
from tests.families import build_family
from tests.tiny_student import build_problems, shared_folder, source

HOW = {"prompt": source().prompt, "image_first": source().image_first}
RECIPE = Recipe(learning_rate=1e-2, batch_size=8, epochs=2, lora_rank=4, lora_alpha=8, replay=0.0, device="cpu")


@pytest.fixture(scope="module")
def problems():
    return tuple(build_problems(shared_folder() / "fit", 16, seed=5))


def start(folder, problems, recipe):
    """A training in this process, before its first step."""
    torch.set_num_threads(1)
    folder.mkdir(parents=True, exist_ok=True)
    student = open_student(source().base, adapter=None, device="cpu")
    stream = SampleStream(SampleFile(write_samples(folder, problems)), student=student, source=source())
    job = make_job(problems, base=source(), recipe=recipe, prompt="p")
    return Training(job, folder=folder, student=student, stream=stream, measured=stream.measure(recipe), rank=Rank())


def losses(training):
    return [training.take_step(samples).loss for samples in training.batches()]


def run(folder, problems, recipe):
    """The losses of a whole training by its own process's code."""
    folder.mkdir(parents=True)
    write_samples(folder, problems)
    job = make_job(problems, base=source(), recipe=recipe, prompt="p")
    write_atomic(folder / JOB, job.model_dump_json().encode())
    said = []
    run_training(folder, said.append)
    return [body["progress"]["loss"] for body in said if "progress" in body]


def test_out_of_memory_halves_the_pass_and_keeps_the_batch(tmp_path, problems):
    usual = losses(start(tmp_path / "usual", problems, RECIPE))
    training = start(tmp_path / "small", problems, RECIPE)

    def refuse(_module, _args, given):
        if given["input_ids"].shape[0] > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    training.attached.inner.model.register_forward_pre_hook(refuse, with_kwargs=True)
    assert losses(training) == pytest.approx(usual, rel=1e-4)
    assert training.fit.micro == 2
    assert training.fit.notes == [
        f"out of memory: {n} samples per forward pass from here, the batch stays the same" for n in (4, 2)
    ]
    assert training.finish().notes == tuple(training.fit.notes)


def test_one_sample_that_does_not_fit_ends_with_settings_that_would(tmp_path, problems):
    training = start(tmp_path, problems, RECIPE.model_copy(update={"micro_batch": 2}))

    def refuse(_module, _args):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    training.attached.inner.model.register_forward_pre_hook(refuse)
    with pytest.raises(OperatorError, match=r"out of memory with one sample.*2.00 GiB.*train.checkpointing: on.*qlora"):
        losses(training)


@pytest.mark.parametrize(
    ("fixed", "each", "free", "share", "micro"),
    [(0, 10, 100, 128, 9), (40, 10, 100, 128, 5), (0, 10, 10_000, 16, 16), (0, 60, 100, 8, 1), (0, 10, 100, 1, 1)],
)
def test_samples_a_pass_are_what_fits_by_the_peaks_of_one_and_two(fixed, each, free, share, micro):
    peaks = []

    def peak(count: int) -> int:
        peaks.append(count)
        return fixed + each * count

    assert choose_micro(peak, free=free, share=share) == micro
    assert peaks in ([1], [1, 2])
    assert fixed + each * micro <= free


def test_packing_is_refused_where_a_family_cannot_and_on_where_it_can(tmp_path):
    family = open_student(str(build_family("paligemma", tmp_path)), adapter=None, device="cpu")
    on = RECIPE.model_copy(update={"packing": "on"})
    with pytest.raises(OperatorError, match=r"PaliGemma 2 cannot be packed.*both directions.*auto"):
        Fit(on, student=family, share=8)
    student = open_student(source().base, adapter=None, device="cpu")
    assert Fit(on, student=student, share=8).packs
    assert not Fit(RECIPE, student=student, share=8).packs  # without flash-attention


def test_packed_rows_and_cached_features_give_the_losses_of_padded_batches(tmp_path, problems):
    usual = run(tmp_path / "a" / "c1", problems, RECIPE)
    changes = {"b": {"packing": "on"}, "c": {"cache_features": "on"}, "d": {"checkpointing": "on", "micro_batch": 4}}
    for name, change in changes.items():
        assert run(tmp_path / name / "c1", problems, RECIPE.model_copy(update=change)) == pytest.approx(usual, rel=1e-4)
    notes = json.loads((tmp_path / "c" / "c1" / "finished.json").read_text())["notes"]
    assert notes == ["picture features of 16 samples computed, 0 found on disk"]
    notes = json.loads((tmp_path / "d" / "c1" / "finished.json").read_text())["notes"]
    assert notes == ["activations are computed twice instead of kept"]


def test_the_loss_in_pieces_is_the_loss_of_the_whole_table_and_so_is_its_gradient():
    student = open_student(source().base, adapter=None, device="cpu")
    some = build_problems(shared_folder() / "pieces", 24, seed=6)
    long = [p.model_copy(update={"rationale": " ".join(["So it is red ."] * 20)}) for p in some]
    batch = collate([encode_sample(p, student=student, **HOW) for p in long], student=student)
    labels = batch.pop("labels")
    assert int((labels != -100).sum()) > PIECE
    weight = student.model.model.text_model.layers[0].mlp.up_proj.weight
    found = []
    for loss in (answer_loss, whole_loss):
        weight.grad = None
        value = loss(student.model, batch, labels)
        value.backward()
        found.append((float(value), weight.grad.clone()))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-5)
    torch.testing.assert_close(found[0][1], found[1][1], rtol=1e-3, atol=1e-4)
