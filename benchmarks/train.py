"""Training: samples a second against TRL's SFTTrainer, cached picture features, memory against the number of samples.

Same student, data, order of magnitude of everything: LoRA on the language model, batch of 8, float32, one thread. Each
side runs in a process of its own, in turn (A B A B); the clock starts with the first sample that is opened and stops
with the last step. TRL gets its vision collator, prompt and completion apart (so that it, too, learns the answers
only), no gradient checkpointing, and its default chunked loss where that works with pictures.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.students import build_llava, draw_pictures, make_samples
from benchmarks.tables import ROOT, need, parse_arguments, write_table
from errata.tools.records import Problem
from errata.tools.student.source import StudentSource
from errata.tools.train.job import JOB, make_job, read_job, write_atomic
from errata.tools.train.recipe import Recipe
from errata.tools.train.samples import SAMPLES, SampleFile, write_samples

EPOCHS, BATCH, RANK = 3, 8, 16
Rounds = dict[str, list[dict[str, float]]]
"""What each side measured in each round."""
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "TOKENIZERS_PARALLELISM": "false"}


def write_job(folder: Path, problems: list[Problem], *, base: str, prompt: str, **changes: Any) -> Path:
    """A folder that a training process starts from."""
    settings = {
        "learning_rate": 1e-3, "batch_size": BATCH, "epochs": EPOCHS, "lora_rank": RANK, "lora_alpha": 2 * RANK,
        "replay": 0.0, "device": "cpu", "save_every": 10_000, **changes,
    }  # fmt: skip
    source = StudentSource(base=base, checkpoint="base", prompt=prompt, image_first=True)
    folder.mkdir(parents=True, exist_ok=True)
    write_samples(folder, problems)
    job = make_job(tuple(problems), base=source, recipe=Recipe(**settings), prompt="benchmark")
    write_atomic(folder / JOB, job.model_dump_json().encode())
    return folder


def train_ours(folder: Path) -> dict[str, float]:
    """Samples a second and the loss of the last epoch, in this process."""
    from errata.tools.train.worker import run_training

    seen: list[dict[str, Any]] = []
    started = time.perf_counter()
    run_training(folder, seen.append)
    seconds = time.perf_counter() - started
    finished = seen[-1]["finished"]
    return {"samples_per_s": finished["samples"] / seconds, "loss": finished["loss"]}


def text(words: str) -> dict[str, str]:
    """A part of a message."""
    return {"type": "text", "text": words}


def train_trl(folder: Path) -> dict[str, float]:
    """The same job by TRL's SFTTrainer."""
    import torch
    from datasets import Dataset, Image
    from peft import LoraConfig
    from transformers import AutoModelForImageTextToText, AutoProcessor
    from trl import SFTConfig, SFTTrainer

    from errata.tools.student.encode import student_answer, student_question
    from errata.tools.student.layers import linear_names

    torch.set_num_threads(1)
    job = read_job(folder)
    file, recipe = SampleFile(folder / SAMPLES), job.recipe
    started = time.perf_counter()
    model = AutoModelForImageTextToText.from_pretrained(job.base.base, dtype=torch.float32)
    processor = AutoProcessor.from_pretrained(job.base.base)
    rows = []
    for number in range(len(file)):
        problem = file[number]
        question = student_question(problem, prompt=job.base.prompt)
        rows.append(
            {
                "images": [ref.path for ref in problem.images],
                "prompt": [
                    {"role": "user", "content": [{"type": "image", "text": None}, {"type": "text", "text": question}]}
                ],
                "completion": [{"role": "assistant", "content": [{"type": "text", "text": student_answer(problem)}]}],
            }
        )
    data = Dataset.from_list(rows).cast_column("images", [Image()])
    lora = LoraConfig(
        r=recipe.lora_rank, lora_alpha=recipe.lora_alpha, target_modules=linear_names(model, targets="text")
    )
    with tempfile.TemporaryDirectory() as out:
        options = SFTConfig(
            output_dir=out, per_device_train_batch_size=recipe.batch_size, num_train_epochs=recipe.epochs,
            learning_rate=recipe.learning_rate, lr_scheduler_type="cosine", warmup_steps=2, max_length=None,
            gradient_checkpointing=False, bf16=False, fp16=False, use_cpu=True, report_to="none", save_strategy="no",
            logging_steps=1, disable_tqdm=True,
        )  # fmt: skip
        trainer = SFTTrainer(model, args=options, train_dataset=data, processing_class=processor, peft_config=lora)
        trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    steps = len(losses) // recipe.epochs
    seconds = time.perf_counter() - started
    return {"samples_per_s": len(rows) * recipe.epochs / seconds, "loss": sum(losses[-steps:]) / steps}


SIDES: dict[str, Callable[[Path], dict[str, float]]] = {"ours": train_ours, "trl": train_trl}


def measure(side: str, folder: Path) -> dict[str, float]:
    """One side in a process of its own; imports are not counted, loading is."""
    command = [sys.executable, "-m", "benchmarks.train", "--side", side, str(folder)]
    done = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-3000:])
    found: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def compare(
    work: Path, problems: list[Problem], *, base: str, prompt: str, rounds: int
) -> dict[str, list[dict[str, float]]]:
    """Both sides in turn."""
    results: Rounds = {"ours": [], "trl": []}
    for turn in range(rounds):
        for side in results:
            folder = write_job(work / f"{side}-{turn}", problems, base=base, prompt=prompt)
            results[side].append(measure(side, folder))
    return results


def compare_features(
    work: Path, problems: list[Problem], *, base: str, rounds: int
) -> dict[str, list[dict[str, float]]]:
    """Pictures encoded in every epoch against features computed once; each with a store of its own."""
    results: Rounds = {"off": [], "on": []}
    for turn in range(rounds):
        for switch in results:
            folder = work / f"features-{switch}-{turn}" / "c1"
            write_job(folder, problems, base=base, prompt="student_brief", cache_features=switch)
            results[switch].append(measure("ours", folder))
    return results


def peak_memory(folder: Path) -> float:
    """MiB of the training process at its largest, after a few steps."""
    command = [sys.executable, "-m", "errata.tools.train.worker", str(folder)]
    process = subprocess.Popen(command, cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True)
    output = process.stdout.read() if process.stdout else ""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(output[-2000:])
    return usage.ru_maxrss / 1024


def best(runs: list[dict[str, float]]) -> float:
    """The fastest of the rounds."""
    return max(run["samples_per_s"] for run in runs)


def main() -> None:
    """Run everything and write the table, or one side of one job."""
    if sys.argv[1:2] == ["--side"]:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        print(json.dumps(SIDES[sys.argv[2]](Path(sys.argv[3]))))
        return
    arguments = parse_arguments(__doc__ or "")
    need("trl", extra="bench")
    number, rounds = (64, 1) if arguments.quick else (240, 2)
    sizes = (200, 1000) if arguments.quick else (1_000, 10_000, 100_000)
    embedded = str(ROOT / "tools" / "world" / "student")
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        llava = str(build_llava(work / "llava", width=128, text_layers=4, vision_layers=2, side=112))
        seeing = str(build_llava(work / "seeing", width=128, text_layers=4, vision_layers=6, side=224))
        pictures = draw_pictures(work / "pictures", 64, side=224)
        samples = make_samples(number, pictures=pictures)
        against = {
            "embedded student (Idefics3, 1 M)": compare(
                work / "e", samples, base=embedded, prompt="student_brief", rounds=rounds
            ),
            "LLaVA of 1.4 M, byte-level": compare(
                work / "l", samples, base=llava, prompt="student_brief", rounds=rounds
            ),
        }
        features = compare_features(work / "f", samples[: number // 2], base=seeing, rounds=rounds)
        memory = {}
        for size in sizes:
            rows = make_samples(size, pictures=pictures)
            folder = write_job(work / f"m{size}", rows, base=llava, prompt="student_brief", epochs=1, max_steps=20)
            memory[size] = peak_memory(folder)
    _report(against, features, memory, quick=arguments.quick)


def _report(
    against: dict[str, Rounds],
    features: Rounds,
    memory: dict[int, float],
    *,
    quick: bool,
) -> None:
    rows: list[list[object]] = []
    ratios = []
    for name, sides in against.items():
        ratios.append(best(sides["ours"]) / best(sides["trl"]))
        for side, label in (("ours", "Errata"), ("trl", "TRL SFTTrainer 1.16")):
            rows.append(
                [f"{name}: {label}, samples/s", f"{best(sides[side]):.1f}", f"loss {sides[side][-1]['loss']:.3f}"]
            )
        rows.append([f"{name}: ratio", f"{ratios[-1]:.2f}", ""])
    for switch, label in (("off", "pictures in every epoch"), ("on", "features from disk")):
        rows.append(
            [f"{label}, samples/s", f"{best(features[switch]):.1f}", f"loss {features[switch][-1]['loss']:.6f}"]
        )
    cached = best(features["on"]) / best(features["off"])
    rows.append(["features from disk: ratio", f"{cached:.2f}", ""])
    rows += [[f"peak memory, {size:,} samples", f"{value:.0f} MiB", ""] for size, value in memory.items()]
    values = list(memory.values())
    result = {
        "speedup_vs_trl": round(min(ratios), 2),
        "cached_features_ratio": round(cached, 2),
        "cached_features_equal_loss": features["on"][-1]["loss"] == features["off"][-1]["loss"],
        "memory_growth": round(values[-1] / values[0] - 1, 3),
    }
    write_table(
        "train",
        title="Training: speed, cached features, memory",
        columns=["what", "measured", ""],
        rows=rows,
        result=result,
        notes=[
            f"LoRA r={RANK} on the language model, batch {BATCH}, {EPOCHS} epochs, float32, one thread, on a CPU; best "
            "of the rounds, taken in turn. The student with cached features is a LLaVA with 6 layers of picture "
            "encoder for 4 of language model; three epochs share one computation. Memory is that of the training "
            "process at its largest, 20 steps after all samples were measured; its samples name 64 pictures.",
        ],
        quick=quick,
    )


if __name__ == "__main__":
    main()
