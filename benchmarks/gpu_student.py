"""One GPU: how near the card's limit the student pipeline is. One command, at most six minutes on one H100:

    python -m benchmarks.gpu_student              # a random student of 7.2 billion parameters
    python -m benchmarks.gpu_student --shape tiny # the same steps on a CPU, to prove the script

It builds the student (nothing is downloaded), trains it by the recipe's defaults through the training process, takes
the parts of that training away one by one at a fixed number of samples a pass, trains with transformers' Trainer and
PEFT, and answers questions. Without a GPU the table says that nothing was measured.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch

from benchmarks.students import build_llava, draw_pictures, make_samples
from benchmarks.tables import write_table
from benchmarks.train import write_job
from errata.tools.evaluate.student import EvaluateJob, GenerateOptions
from errata.tools.evaluate.worker import answer_batch
from errata.tools.records import Problem
from errata.tools.student.collate import collate, pack
from errata.tools.student.encode import Encoded, encode_sample
from errata.tools.student.features import add_features, hand_over
from errata.tools.student.load import Student, open_student
from errata.tools.student.loss import answer_loss, whole_loss
from errata.tools.student.source import StudentSource
from errata.tools.train.attach import Attached, attach, low_precision
from errata.tools.train.explain import product_rate
from errata.tools.train.recipe import Recipe

SHAPES: dict[str, dict[str, Any]] = {
    "tiny": {"width": 64, "text_layers": 2, "vision_layers": 2, "side": 56},
    "llava-7b": {
        "width": 4096, "inner": 11008, "heads": 32, "text_layers": 32, "side": 336, "vocabulary": 49168,
        "vision": {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16},
    },
}  # fmt: skip
HOW: dict[str, Any] = {"prompt": "student_brief", "image_first": True}
PEAK = 989e12
"""Operations a second of an H100 or H200 in bfloat16, as the maker states them."""
GIB = 2**30
Loss = Callable[[Any, dict[str, Any], torch.Tensor], torch.Tensor]
Batch = Callable[..., dict[str, torch.Tensor]]


class Meter:
    """Seconds and peak memory of a stretch of work."""

    def __init__(self, device: torch.device) -> None:
        self._on_gpu = device.type == "cuda"
        self.seconds, self.peak_gib = 0.0, 0.0

    @contextmanager
    def run(self) -> Iterator[None]:
        """Measure what is done inside."""
        if self._on_gpu:
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
        started = time.perf_counter()
        yield
        if self._on_gpu:
            torch.cuda.synchronize()
            self.peak_gib = torch.cuda.max_memory_allocated() / GIB
        self.seconds = time.perf_counter() - started


def train_by_default(base: str, problems: Sequence[Problem], work: Path) -> dict[str, Any]:
    """The recipe's defaults through the training process, in this process: samples/s after the first step."""
    from errata.tools.train.worker import run_training

    batch = Recipe().batch_size
    fields = {name: Recipe.model_fields[name].default for name in ("batch_size", "lora_rank", "lora_alpha", "device")}
    folder = write_job(work / "default", list(problems), base=base, prompt=HOW["prompt"], epochs=1, **fields)
    moments: list[tuple[float, dict[str, Any]]] = []
    run_training(folder, lambda body: moments.append((time.perf_counter(), body)))
    steps = [at for at, body in moments if "progress" in body]
    finished = moments[-1][1]["finished"]
    seconds = (steps[-1] - steps[0]) / max(1, len(steps) - 1)
    peak = torch.cuda.max_memory_allocated() / GIB if torch.cuda.is_available() else 0.0
    return {"samples_per_s": batch / seconds if seconds else 0.0, "notes": finished["notes"], "peak_gib": peak}


def measure_variant(
    attached: Attached, student: Student, parts: Sequence[Sequence[Encoded]], *, loss: Loss, low: bool, batch: Batch
) -> Meter:
    """Forward and backward over all parts, after one that warms up."""
    meter = Meter(student.device)

    def once(samples: Sequence[Encoded]) -> None:
        tensors = batch(samples, student=student)
        labels = tensors.pop("labels")
        with low_precision(attached, student.device) if low else nullcontext():
            loss(attached.inner, hand_over(tensors, student=student), labels).backward()

    once(parts[0])
    with meter.run():
        for samples in parts:
            once(samples)
    for weight in attached.weights:
        weight.grad = None
    return meter


def compare_variants(
    student: Student, problems: Sequence[Problem], *, micro: int, recipe: Recipe
) -> list[list[object]]:
    """Each part of the training taken away, or added, by itself, at the same samples a pass."""
    attached = attach(student, recipe)
    attached.model.train()
    samples = [encode_sample(problem, student=student, **HOW) for problem in problems]
    parts = [samples[i : i + micro] for i in range(0, len(samples), micro)]
    cached = [add_features(part, student=student) for part in parts]
    usual: dict[str, Any] = {"loss": answer_loss, "low": True, "batch": collate}
    variants: dict[str, tuple[Sequence[Sequence[Encoded]], dict[str, Any]]] = {
        "as it is": (parts, {}),
        "float32 adapters (PEFT's default)": (parts, {"low": False}),
        "loss from all logits": (parts, {"loss": whole_loss}),
        "cached picture features": (cached, {}),
        "packed rows": (parts, {"batch": pack}),
    }
    rows: list[list[object]] = []
    for name, (given, changes) in variants.items():
        meter = measure_variant(attached, student, given, **usual | changes)
        rows.append([f"{name}, {micro} a pass", len(samples) / meter.seconds, meter.peak_gib])
    attached.model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    meter = measure_variant(attached, student, parts, **usual)
    rows.append([f"gradient checkpointing, {micro} a pass", len(samples) / meter.seconds, meter.peak_gib])
    return rows


def train_by_trainer(base: str, problems: Sequence[Problem], *, micro: int, recipe: Recipe) -> list[object]:
    """transformers' Trainer with PEFT at its defaults, bf16 on a GPU, the same samples a pass."""
    from peft import LoraConfig, get_peft_model
    from transformers import Trainer, TrainingArguments

    from errata.tools.student.layers import linear_names

    student = open_student(base, adapter=None, device="auto")
    samples = [encode_sample(problem, student=student, **HOW) for problem in problems]
    names = linear_names(student.model, targets="text")
    lora = LoraConfig(r=recipe.lora_rank, lora_alpha=recipe.lora_alpha, target_modules=names)
    model = get_peft_model(student.model, lora)
    here = student._replace(device=torch.device("cpu"))
    on_gpu, meter = student.device.type == "cuda", Meter(student.device)
    with tempfile.TemporaryDirectory() as out:
        options = TrainingArguments(
            output_dir=out, per_device_train_batch_size=micro, max_steps=len(samples) // micro, bf16=on_gpu,
            use_cpu=not on_gpu, report_to="none", save_strategy="no", disable_tqdm=True, remove_unused_columns=False,
            learning_rate=recipe.learning_rate,
        )  # fmt: skip
        trainer = Trainer(
            model, args=options, train_dataset=samples, data_collator=lambda some: collate(some, student=here)
        )
        with meter.run():
            trainer.train()
    return [f"transformers Trainer with PEFT, {micro} a pass", len(samples) / meter.seconds, meter.peak_gib]


def answer_questions(base: str, problems: Sequence[Problem], *, batch: int, tokens: int) -> list[object]:
    """Answers a second of one process, in batches."""
    student = open_student(base, adapter=None, device="auto")
    student.model.eval()
    source = StudentSource(base=base, checkpoint="base", **HOW)
    job = EvaluateJob(model=source, options=GenerateOptions(max_new_tokens=tokens, batch_size=batch), batches=())
    answer_batch(problems[:2], student=student, job=job)
    meter = Meter(student.device)
    with meter.run():
        for start in range(0, len(problems), batch):
            answer_batch(problems[start : start + batch], student=student, job=job)
    return [f"answering, batches of {batch}, {tokens} new tokens", len(problems) / meter.seconds, meter.peak_gib]


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=tuple(SHAPES), default="llava-7b")
    parser.add_argument("--micro", type=int, default=4, help="samples a pass of the comparison")
    arguments = parser.parse_args()
    tiny = arguments.shape == "tiny"
    if not tiny and not torch.cuda.is_available():
        print("benchmarks: no GPU: nothing is measured; --shape tiny proves the script on a CPU")
        _write([], {"measured": False}, ["Not measured: no GPU was at hand."], quick=False)
        return
    torch.set_num_threads(1)
    recipe, place = Recipe(), torch.device("cpu" if not torch.cuda.is_available() else "cuda")
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as temporary:
        work = Path(temporary)
        base = str(build_llava(work / "base", **SHAPES[arguments.shape]))
        pictures = draw_pictures(work / "pictures", 32, side=336)
        problems = make_samples(256, pictures=pictures)
        default = train_by_default(base, problems, work)
        student = open_student(base, adapter=None, device="auto")
        parameters = sum(weight.numel() for weight in student.model.parameters())
        tokens = sum(len(encode_sample(p, student=student, **HOW).ids) for p in problems[:32]) / 32
        few = problems[: 8 * arguments.micro]
        rows: list[list[object]] = [["recipe's defaults, batch 128", default["samples_per_s"], default["peak_gib"]]]
        rows += compare_variants(student, few, micro=arguments.micro, recipe=recipe)
        del student
        torch.cuda.empty_cache()
        rows.append(train_by_trainer(base, few, micro=arguments.micro, recipe=recipe))
        torch.cuda.empty_cache()
        rows.append(answer_questions(base, problems[:64], batch=32, tokens=64))
    share = default["samples_per_s"] * 4 * parameters * tokens / PEAK
    result = {
        "measured": torch.cuda.is_available(),
        "shape": arguments.shape,
        "parameters": parameters,
        "tokens_per_sample": round(tokens),
        "samples_per_s": round(default["samples_per_s"], 2),
        "share_of_card": round(share, 3) if torch.cuda.is_available() else None,
        "share_of_its_own_product": round(default["samples_per_s"] * 4 * parameters * tokens / product_rate(place), 3),
        "answers_per_s": round(float(str(rows[-1][1])), 2),
        "peak_gib": round(max(float(str(row[2])) for row in rows), 1),
    }
    where = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "a CPU, to prove the script; no GPU figure"
    _write(rows, result, [f"On {where}. {json.dumps(default['notes'])}"], quick=not torch.cuda.is_available())


def _write(rows: list[list[object]], result: dict[str, Any], notes: list[str], *, quick: bool) -> None:
    columns = ["what", "samples or answers a second", "peak memory, GiB"]
    write_table("gpu_student", title="One GPU", columns=columns, rows=rows, result=result, notes=notes, quick=quick)


if __name__ == "__main__":
    main()
