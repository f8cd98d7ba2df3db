"""One LoRA training in a process of its own: `python -m tools.train.worker FOLDER`.

Reads FOLDER/job.json, says its progress as JSON lines, saves its state every N steps, and writes the adapter
and, last of all, finished.json. Started again in the same folder it goes on where it was: on CPU the weights
are bitwise those of an undisturbed training. The order of the samples follows from the seed and the epoch
alone.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import torch
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from safetensors.torch import save as safetensors_bytes

from errata.tools.errors import OperatorError
from errata.tools.records import seed_of
from errata.tools.train.collate import IGNORED, Encoded, check_pictures, collate, encode_sample
from errata.tools.train.job import FINISHED, STATE, Finished, TrainJob, TrainProgress, read_job, write_atomic
from errata.tools.train.load import Student, first_line, open_student
from errata.tools.train.pair import Pair, split_in_two
from errata.tools.train.plan import learning_rate_at, linear_names, plan_epoch

Emit = Callable[[dict[str, Any]], None]


class Training:
    """Everything that one training holds between its steps."""

    def __init__(
        self, job: TrainJob, *, folder: Path, student: Student, samples: list[Encoded], skipped: int
    ) -> None:
        self.job, self.recipe, self.folder, self.student = job, job.recipe, folder, student
        self.samples, self.skipped = samples, skipped
        lengths = [len(sample.ids) for sample in samples]
        plans = (
            [
                (epoch, batch)
                for batch in plan_epoch(
                    lengths, batch_size=self.recipe.batch_size, seed=self.recipe.seed, epoch=epoch
                )
            ]
            for epoch in range(self.recipe.epochs)
        )
        self.plan = [step for plan in plans for step in plan][: self.recipe.max_steps]
        torch.manual_seed(seed_of("train", self.recipe.seed) % 2**63)
        config = LoraConfig(
            r=self.recipe.lora_rank,
            lora_alpha=self.recipe.lora_alpha,
            lora_dropout=self.recipe.lora_dropout,
            target_modules=linear_names(student.model, targets=self.recipe.target_modules),
        )
        self.model = get_peft_model(student.model, config)
        self.model.train()
        self.weights = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(
            self.weights, lr=self.recipe.learning_rate, weight_decay=self.recipe.weight_decay, foreach=True
        )
        self.step, self.loss_sum, self.loss_tokens, self.seen = 0, 0.0, 0, 0
        self.pair: Pair | None = None

    def save_state(self) -> None:
        """Adapter, optimiser, position and random state, in one atomic write."""
        body = {
            "key": self.job.key,
            "step": self.step,
            "loss_sum": self.loss_sum,
            "loss_tokens": self.loss_tokens,
            "seen": self.seen,
            "adapter": get_peft_model_state_dict(self.model),
            "optimizer": self.optimizer.state_dict(),
            "random": torch.get_rng_state(),
        }
        buffer = io.BytesIO()
        torch.save(body, buffer)
        write_atomic(self.folder / STATE, buffer.getvalue())

    def load_state(self) -> None:
        """Go on from a state of the same job; a state of another job is left aside."""
        path = self.folder / STATE
        if not path.is_file():
            return
        try:
            body = torch.load(path, map_location=self.student.device, weights_only=True)
        except (RuntimeError, OSError, ValueError, EOFError) as error:
            raise OperatorError(
                f"unreadable training state: {first_line(error)}",
                where=str(path),
                remedy="delete the file; the training then starts anew",
            ) from error
        if body["key"] != self.job.key:
            return
        set_peft_model_state_dict(self.model, body["adapter"])
        self.optimizer.load_state_dict(body["optimizer"])
        torch.set_rng_state(body["random"].cpu())
        self.step, self.seen = body["step"], body["seen"]
        self.loss_sum, self.loss_tokens = body["loss_sum"], body["loss_tokens"]

    def take_step(self) -> TrainProgress:
        """One optimiser step over one batch."""
        epoch, batch = self.plan[self.step]
        factor = learning_rate_at(
            self.step, steps=len(self.plan), warmup=self.recipe.warmup, schedule=self.recipe.schedule
        )
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.learning_rate * factor
        tokens = sum(int((self.samples[i].labels[1:] != IGNORED).sum()) for i in batch)
        self.optimizer.zero_grad(set_to_none=True)
        loss = self._backward(batch, tokens=tokens)
        torch.nn.utils.clip_grad_norm_(self.weights, self.recipe.gradient_clip)
        self.optimizer.step()
        if self.step == 0 or self.plan[self.step - 1][0] != epoch:
            self.loss_sum, self.loss_tokens = 0.0, 0
        self.loss_sum, self.loss_tokens = self.loss_sum + loss, self.loss_tokens + tokens
        self.step, self.seen = self.step + 1, self.seen + len(batch)
        if not math.isfinite(loss):
            raise OperatorError(
                "the loss is not finite",
                where=f"step {self.step}",
                value=loss,
                remedy="lower the learning rate",
            )
        return TrainProgress(
            step=self.step,
            steps=len(self.plan),
            epoch=epoch,
            loss=loss / tokens,
            learning_rate=self.recipe.learning_rate * factor,
            samples=self.seen,
        )

    def _backward(self, batch: list[int], *, tokens: int) -> float:
        """Gradient of the mean loss per answer token over the whole batch; returns the summed loss."""
        mine = batch[self.pair.rank :: 2] if self.pair else batch
        size = self.recipe.micro_batch or max(1, len(mine))
        total = 0.0
        for start in range(0, len(mine), size):
            tensors = collate([self.samples[i] for i in mine[start : start + size]], student=self.student)
            labels = tensors.pop("labels")[:, 1:]
            logits = self.model(**tensors).logits[:, :-1]
            picked = labels != IGNORED
            loss = torch.nn.functional.cross_entropy(logits[picked].float(), labels[picked], reduction="sum")
            (loss / tokens).backward()  # type: ignore[no-untyped-call]
            total += float(loss.detach())
        return self._share(total) if self.pair else total

    def _share(self, total: float) -> float:
        assert self.pair is not None
        grads = [w.grad if w.grad is not None else torch.zeros_like(w) for w in self.weights]
        flat = torch.cat([*(g.reshape(-1) for g in grads), torch.tensor([total])])
        summed = torch.from_numpy(self.pair.add(flat.numpy(), turn=self.step))
        start = 0
        for weight in self.weights:
            weight.grad = summed[start : start + weight.numel()].view_as(weight)
            start += weight.numel()
        return float(summed[-1])

    def finish(self) -> Finished:
        """Write the adapter, then the marker; drop the training state."""
        adapter = {name: value.contiguous() for name, value in get_peft_model_state_dict(self.model).items()}
        body = safetensors_bytes(adapter, metadata={"format": "pt"})
        write_atomic(self.folder / "adapter_model.safetensors", body)
        config = self.model.peft_config["default"].to_dict() | {"inference_mode": True}
        config = {k: sorted(v) if isinstance(v, set) else v for k, v in config.items()}
        write_atomic(self.folder / "adapter_config.json", json.dumps(config, indent=1, default=str).encode())
        done = Finished(
            key=self.job.key,
            loss=self.loss_sum / max(1, self.loss_tokens),
            steps=self.step,
            samples=self.seen,
            skipped=self.skipped,
            unknown=unknown_share(self.samples, token=self.student.tokenizer.unk_token_id),
            adapter=hashlib.sha256(body).hexdigest()[:16],
        )
        write_atomic(self.folder / FINISHED, done.model_dump_json().encode())
        (self.folder / STATE).unlink(missing_ok=True)
        return done


def unknown_share(samples: Sequence[Encoded], *, token: int | None) -> float:
    """Share of the answers' tokens that are the unknown token."""
    labels = torch.cat([sample.labels[sample.labels != IGNORED] for sample in samples])
    return 0.0 if token is None else float((labels == token).double().mean())


def encode_all(job: TrainJob, student: Student) -> tuple[list[Encoded], int]:
    """All samples as tensors, once, and how many were skipped as too long. Raises `OperatorError` with the row."""
    samples, skipped = [], 0
    for problem in job.problems:
        sample = encode_sample(
            problem, student=student, prompt=job.base.prompt, image_first=job.base.image_first
        )
        if len(sample.ids) <= job.recipe.max_tokens:
            samples.append(sample)
        elif job.recipe.too_long == "skip":
            skipped += 1
        else:
            raise OperatorError(
                f"longer than {job.recipe.max_tokens} tokens",
                where=f"problem {problem.id}",
                value=len(sample.ids),
                remedy="raise max_tokens, or set too_long to skip",
            )
    if not samples:
        raise OperatorError(
            "every sample is too long",
            where="max_tokens",
            value=job.recipe.max_tokens,
            remedy="raise max_tokens",
        )
    return samples, skipped


def run_training(folder: Path, emit: Emit) -> None:
    """Do the job in `folder`, or what is left of it. Raises `OperatorError`."""
    job = read_job(folder)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True, warn_only=True)
    asked: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _frame: asked.append(number))
    student = open_student(job.base.base, adapter=None, device=job.recipe.device)
    samples, skipped = encode_all(job, student)
    check_pictures(samples, student=student)
    training = Training(job, folder=folder, student=student, samples=samples, skipped=skipped)
    training.load_state()
    if job.recipe.processes == 2:
        training.pair = split_in_two(sum(w.numel() for w in training.weights) + 1)
    second = training.pair is not None and training.pair.rank == 1
    if second:
        _second_half(training)
    _loop(training, emit=emit, asked=asked, quiet=False)
    if training.pair:
        os.waitpid(training.pair.other, 0)


def _second_half(training: Training) -> NoReturn:
    """The other process of a pair: it computes and says nothing; what fails here, the first one reports."""
    code = 1
    try:
        _loop(training, emit=lambda _body: None, asked=[], quiet=True)
        code = 0
    finally:
        os._exit(code)


def _loop(training: Training, *, emit: Emit, asked: list[int], quiet: bool) -> None:
    recipe, started = training.recipe, time.monotonic()
    while training.step < len(training.plan):
        if not quiet and asked:
            training.save_state()
            emit({"stopped": training.step})
            if training.pair:
                os.kill(training.pair.other, signal.SIGKILL)
            return
        if recipe.max_seconds is not None and time.monotonic() - started > recipe.max_seconds:
            break
        progress = training.take_step()
        if not quiet and training.step % recipe.save_every == 0 and training.step < len(training.plan):
            training.save_state()
        emit({"progress": progress.model_dump()})
    if not quiet:
        emit({"finished": training.finish().model_dump()})


def main(arguments: Sequence[str]) -> int:
    """The command line: one folder. Exit code 2 and one line for what a person has to mend."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m tools.train.worker FOLDER\n")
        return 2

    def emit(body: dict[str, Any]) -> None:
        sys.stdout.write(json.dumps(body) + "\n")
        sys.stdout.flush()

    try:
        run_training(Path(arguments[0]), emit)
    except OperatorError as error:
        emit({"error": str(error)})
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
