"""One planted fault for each assertion about a student's data, training and answers.

Each fault is a function that damages something sound and runs the check that must notice; the check's own words are
given beside it. The tests and benchmarks/assertions.py read this table.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import torch

from errata.tools.evaluate.compare import compare_attempts
from errata.tools.evaluate.score import make_attempt
from errata.tools.records import Problem
from errata.tools.student.checks import check_mask, check_packing, check_passes, check_pictures, check_prompt
from errata.tools.student.collate import collate
from errata.tools.student.encode import IGNORED, Encoded, encode_sample
from errata.tools.student.load import Student, open_student
from errata.tools.student.loss import answer_loss
from errata.tools.train.attach import Attached, attach, write_attached
from errata.tools.train.checks import GradientWatch, check_coverage, check_finite, check_loss, check_resumed
from errata.tools.train.recipe import Recipe
from errata.tools.train.samples import SampleFile, write_samples
from errata.tools.train.stream import SampleStream
from tests.families import build_family
from tests.tiny_student import build_problems, shared_folder, source

HOW: dict[str, Any] = {"prompt": "student_brief", "image_first": True}
RECIPE = Recipe(lora_rank=2, lora_alpha=4, device="cpu")


@cache
def problems() -> list[Problem]:
    """Questions with pictures."""
    return build_problems(shared_folder() / "faults", 4, seed=7)


def fresh(family: str = "") -> Student:
    """A student of its own, sound."""
    torch.set_num_threads(1)
    if not family:
        return open_student(str(shared_folder() / "base"), adapter=None, device="cpu")
    folder = shared_folder() / family
    return open_student(str(folder if folder.is_dir() else build_family(family, folder)), adapter=None, device="cpu")


def encoded(student: Student, number: int = 0) -> Encoded:
    """A sound sample."""
    return encode_sample(problems()[number], student=student, **HOW)


def backward(student: Student, attached: Attached, samples: list[Encoded]) -> GradientWatch:
    """One backward pass that a watch has looked at."""
    watch = GradientWatch(attached, student.family)
    batch = collate(samples, student=student)
    labels = batch.pop("labels")
    answer_loss(attached.inner, batch, labels).backward()
    watch.look()
    return watch


def layer_without_gradient() -> None:
    """A layer of the language model whose output is cut off from the loss."""
    student = fresh()
    attached = attach(student, RECIPE)
    layer = attached.inner.model.text_model.layers[1].mlp.down_proj
    layer.register_forward_hook(lambda _module, _inputs, output: output.detach())
    backward(student, attached, [encoded(student)]).check()


def picture_encoder_without_pictures() -> None:
    """LoRA on the picture encoder, and samples without pictures."""
    student = fresh()
    attached = attach(student, RECIPE.model_copy(update={"target_modules": "all"}))
    blind = [p.model_copy(update={"images": ()}) for p in problems()]
    watch = backward(student, attached, [encode_sample(p, student=student, **HOW) for p in blind])
    watch.check()


def weights_that_stay() -> None:
    """A training whose optimiser never steps."""
    student = fresh()
    attached = attach(student, RECIPE)
    backward(student, attached, [encoded(student)]).check_moved()


def picture_tokens_cut() -> None:
    """Half of the picture's tokens are gone, as truncation leaves them."""
    student = fresh()
    sample = encoded(student)
    marks = (sample.ids == student.model.config.image_token_id).nonzero()[:, 0]
    keep = torch.ones(len(sample.ids), dtype=torch.bool)
    keep[marks[: len(marks) // 2]] = False
    check_pictures([sample._replace(ids=sample.ids[keep], labels=sample.labels[keep])], student=student)


def picture_that_does_not_arrive() -> None:
    """A connector of zeros."""
    student = fresh()
    torch.nn.init.zeros_(student.model.model.connector.modality_projection.proj.weight)
    check_pictures([encoded(student)], student=student)


def answer_cut() -> None:
    """The last tokens of the answer are gone, as truncation leaves it."""
    student = fresh()
    sample = encoded(student)
    check_mask(sample._replace(ids=sample.ids[:-3], labels=sample.labels[:-3]), problems()[0], student=student)


def sample_too_long() -> None:
    """A sample longer than the recipe allows: nothing is cut, the training stops."""
    student = fresh()
    folder = shared_folder() / "too-long"
    folder.mkdir(exist_ok=True)
    stream = SampleStream(SampleFile(write_samples(folder, problems())), student=student, source=source())
    stream.measure(RECIPE.model_copy(update={"max_tokens": 20}))


def mask_on_the_prompt() -> None:
    """The last token of the prompt is learned too."""
    student = fresh()
    sample = encoded(student)
    first = int((sample.labels != IGNORED).int().argmax())
    labels = sample.labels.clone()
    labels[first - 1] = sample.ids[first - 1]
    check_mask(sample._replace(labels=labels), problems()[0], student=student)


def layer_without_adapter() -> None:
    """One layer of the recipe lost its adapter."""
    student = fresh()
    attached = attach(student, RECIPE)
    block = attached.inner.model.text_model.layers[0].self_attn
    block.q_proj = block.q_proj.base_layer
    check_coverage(attached)


def adapter_of_other_names() -> None:
    """An adapter whose layers are named as in another version of the library."""
    student = fresh()
    folder = shared_folder() / "other-names"
    folder.mkdir(exist_ok=True)
    attached = attach(student, RECIPE)
    renamed = {name.replace("text_model", "language_model"): value for name, value in attached.state().items()}
    write_attached(attached, folder)
    from safetensors.torch import save_file

    save_file({name: value.contiguous() for name, value in renamed.items()}, folder / "adapter_model.safetensors")
    open_student(str(shared_folder() / "base"), adapter=str(folder), device="cpu")


def loss_not_finite() -> None:
    """A weight that is not a number."""
    student = fresh()
    attached = attach(student, RECIPE)
    next(iter(attached.weights)).data.fill_(float("nan"))
    batch = collate([encoded(student)], student=student)
    labels = batch.pop("labels")
    check_finite(float(answer_loss(attached.inner, batch, labels)), 0.0, step=1)


def other_template() -> None:
    """The template is changed between encoding for training and asking."""
    student = fresh()
    sample = encoded(student)
    student.processor.chat_template = student.processor.chat_template.replace("'User '", "'Assistant '")
    check_prompt(sample, problems()[0], student=student, **HOW)


def input_dropped() -> None:
    """What the processor says of every token does not reach the model in training."""
    student = fresh("paligemma")
    check_passes(encoded(student)._replace(per_token={}), problems()[0], student=student, **HOW)


def packed_where_it_cannot_be() -> None:
    """Samples behind one another for a model that attends to its prompts in both directions."""
    student = fresh("paligemma")
    check_packing([encoded(student, i) for i in range(2)], student=student)


def logits_changed_behind_the_states() -> None:
    """A model that scales its logits in a way that the loss does not know."""
    student = fresh()
    attached = attach(student, RECIPE)

    def scale(_module: Any, _inputs: Any, output: Any) -> None:
        output.logits = output.logits * 0.1

    attached.inner.register_forward_hook(scale)
    check_loss(attached, encoded(student), student=student)


def fewer_weights_after_a_resume() -> None:
    """A resumed training that trains fewer numbers than it did."""
    attached = attach(fresh(), RECIPE)
    count = sum(weight.numel() for weight in attached.weights)
    check_resumed(count - attached.weights[0].numel(), count)


def _compared(before: list[str], after: list[str]) -> str:
    asked = [Problem(id=f"q{i}", question="?", choices=("a", "b"), target="A") for i in range(len(before))]
    sides = [
        [make_attempt(p, said, checkpoint=name) for p, said in zip(asked, texts, strict=True)]
        for name, texts in (("base", before), ("c1", after))
    ]
    verdict = compare_attempts(*sides, split="gate", problems=asked, seed=0, keep_steps=0.5)
    return verdict.reason if not verdict.accepted else ""


def thoughts_collapsed() -> str:
    """After training the student answers right, and reasons no more."""
    reasoned = "It is round. It is red. It lies left. The answer is B."
    return _compared([reasoned] * 40, ["The answer is A."] * 40)


def answers_as_the_base() -> str:
    """An adapter that a backend ignored: every answer is the base's."""
    said = ["It is so. The answer is A.", "It is not so. The answer is B."] * 20
    return _compared(said, said)


class Fault(NamedTuple):
    """A planted fault and what is said of it."""

    assertion: str
    plant: Callable[[], str | None]
    says: str


FAULTS: tuple[Fault, ...] = (
    Fault("every trained layer gets a gradient", layer_without_gradient, "language model got no gradient"),
    Fault("the picture encoder's adapters get one too", picture_encoder_without_pictures, "got no gradient"),
    Fault("trained weights change", weights_that_stay, "did not change"),
    Fault("picture tokens match features", picture_tokens_cut, "image tokens but"),
    Fault("the picture reaches the model", picture_that_does_not_arrive, "does not change what the model says"),
    Fault("no answer is cut", answer_cut, "the labels are not the answer"),
    Fault("no sample is cut", sample_too_long, "longer than 20 tokens"),
    Fault("the mask covers the answer and nothing else", mask_on_the_prompt, "the labels are not the answer"),
    Fault("the adapter covers what the recipe says", layer_without_adapter, "adapters on"),
    Fault("the adapter's names meet the model", adapter_of_other_names, "of its tensors in this base"),
    Fault("the loss is finite", loss_not_finite, "the loss is not finite"),
    Fault("the prompt of training is that of answering", other_template, "is not the prompt of answering"),
    Fault("training and answering give equal logits", input_dropped, "see the same tokens differently"),
    Fault("no packed sample sees another", packed_where_it_cannot_be, "seen differently than alone"),
    Fault("the loss of the answers is the model's own", logits_changed_behind_the_states, "is not that of the whole"),
    Fault("as many weights train after a resume", fewer_weights_after_a_resume, "after the resume"),
    Fault("the chain of thought has not collapsed", thoughts_collapsed, "the chain of thought collapsed"),
    Fault("the adapted model does not answer like the base", answers_as_the_base, "the checkpoint changes nothing"),
)


def said_of(fault: Fault) -> str:
    """What the check says of a planted fault; empty when it says nothing."""
    from errata.tools.errors import OperatorError

    try:
        return fault.plant() or ""
    except OperatorError as error:
        return str(error)
