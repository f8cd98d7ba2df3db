"""One training between its steps: what is trained, where it stands, and how one optimiser step is taken."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from errata.tools.errors import OperatorError
from errata.tools.records import seed_of
from errata.tools.student.collate import collate, pack
from errata.tools.student.encode import Encoded
from errata.tools.student.features import hand_over
from errata.tools.student.load import Student, first_line
from errata.tools.student.loss import answer_loss
from errata.tools.train.attach import attach, low_precision, write_attached
from errata.tools.train.checks import WATCHED_STEPS, GradientWatch, check_finite, check_resumed
from errata.tools.train.fit import Fit
from errata.tools.train.job import FINISHED, STATE, Finished, TrainJob, TrainProgress, write_atomic
from errata.tools.train.plan import learning_rate_at, plan_epoch
from errata.tools.train.ranks import Rank
from errata.tools.train.stream import Measured, SampleStream, stream_steps


class Training:
    """Everything that one training holds between its steps."""

    def __init__(
        self, job: TrainJob, *, folder: Path, student: Student, stream: SampleStream, measured: Measured, rank: Rank
    ) -> None:
        self.job, self.recipe, self.folder, self.student = job, job.recipe, folder, student
        self.stream, self.measured, self.rank = stream, measured, rank
        self.plan = [
            (epoch, batch)
            for epoch in range(self.recipe.epochs)
            for batch in plan_epoch(
                measured.tokens.tolist(), batch_size=self.recipe.batch_size, seed=self.recipe.seed, epoch=epoch
            )
        ][: self.recipe.max_steps]
        torch.manual_seed(seed_of("train", self.recipe.seed) % 2**63)
        self.attached = attach(student, self.recipe)
        self.attached.model.train()
        self.weights = self.attached.weights
        on_gpu = student.device.type == "cuda"
        self.optimizer = torch.optim.AdamW(
            self.weights,
            lr=self.recipe.learning_rate,
            weight_decay=self.recipe.weight_decay,
            fused=on_gpu,
            foreach=not on_gpu,
        )
        self.watch = GradientWatch(self.attached, student.family)
        self.fit = Fit(self.recipe, student=student, share=-(-self.recipe.batch_size // rank.total))
        self.step, self.loss_sum, self.loss_tokens, self.seen = 0, 0.0, 0, 0
        self.unknown, self.known = 0.0, 0.0

    @property
    def trainable(self) -> int:
        """How many numbers are trained."""
        return sum(weight.numel() for weight in self.weights)

    def save_state(self) -> None:
        """Trained tensors, optimiser and position, in one atomic write."""
        body = {
            "key": self.job.key,
            "step": self.step,
            "loss_sum": self.loss_sum,
            "loss_tokens": self.loss_tokens,
            "seen": self.seen,
            "unknown": (self.unknown, self.known),
            "trainable": self.trainable,
            "micro_batch": self.fit.micro,
            "notes": list(self.fit.notes),
            "adapter": self.attached.state(),
            "optimizer": self.optimizer.state_dict(),
        }
        buffer = io.BytesIO()
        torch.save(body, buffer)
        write_atomic(self.folder / STATE, buffer.getvalue())

    def load_state(self) -> None:
        """Go on from a state of the same job; a state of another job is left aside. Raises `OperatorError`."""
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
        if body["key"] != self.job.key or "trainable" not in body:
            return
        check_resumed(self.trainable, body["trainable"])
        self.attached.load(body["adapter"])
        self.optimizer.load_state_dict(body["optimizer"])
        self.step, self.seen = body["step"], body["seen"]
        self.loss_sum, self.loss_tokens = body["loss_sum"], body["loss_tokens"]
        self.unknown, self.known = body["unknown"]
        self.fit.micro, self.fit.notes = body["micro_batch"], list(body["notes"])

    def batches(self) -> Iterator[list[Encoded]]:
        """This process's samples of each step that is left."""
        numbers = self.measured.numbers
        shares = [[int(numbers[i]) for i in self.rank.share(batch)] for _, batch in self.plan[self.step :]]
        return stream_steps(self.stream, shares, workers=self.fit.loader_workers)

    def take_step(self, samples: Sequence[Encoded]) -> TrainProgress:
        """One optimiser step over one batch, of which `samples` are this process's share.

        Random numbers (dropout) follow from seed, step and process, so that a resume needs no state of a generator.
        """
        epoch, batch = self.plan[self.step]
        factor = learning_rate_at(
            self.step, steps=len(self.plan), warmup=self.recipe.warmup, schedule=self.recipe.schedule
        )
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.learning_rate * factor
        torch.manual_seed(seed_of("step", self.recipe.seed, self.step, self.rank.number) % 2**63)
        tokens = int(self.measured.answers[batch].sum())
        loss, unknown = self._backward(samples, tokens=tokens)
        if self.step < WATCHED_STEPS:
            self.watch.look()
        norm = torch.nn.utils.clip_grad_norm_(self.weights, self.recipe.gradient_clip)
        check_finite(loss, float(norm), step=self.step + 1)
        self.optimizer.step()
        self._count(epoch, len(batch), loss=loss, tokens=tokens, unknown=unknown)
        if self.step == min(WATCHED_STEPS, len(self.plan)):
            self.watch.check()
        return TrainProgress(
            step=self.step,
            steps=len(self.plan),
            epoch=epoch,
            loss=loss / tokens,
            learning_rate=self.recipe.learning_rate * factor,
            samples=self.seen,
            micro_batch=self.fit.micro,
        )

    def _count(self, epoch: int, samples: int, *, loss: float, tokens: int, unknown: float) -> None:
        if self.step == 0 or self.plan[self.step - 1][0] != epoch:
            self.loss_sum, self.loss_tokens = 0.0, 0
        self.loss_sum, self.loss_tokens = self.loss_sum + loss, self.loss_tokens + tokens
        self.step, self.seen = self.step + 1, self.seen + samples
        if epoch == 0:
            self.unknown, self.known = self.unknown + unknown, self.known + tokens

    def _backward(self, samples: Sequence[Encoded], *, tokens: int) -> tuple[float, float]:
        """Gradient of the mean loss per answer token over the whole batch; the summed loss and unknown tokens."""
        unknown = count_tokens(samples, token=self.student.tokenizer.unk_token_id)
        while True:
            self.optimizer.zero_grad(set_to_none=True)
            try:
                total = sum((self.share_loss(part, tokens=tokens) for part in self.fit.split(samples)), 0.0)
                break
            except torch.OutOfMemoryError as error:
                self.fit.halve(error)
        loss, unknown = self.rank.add(self.weights, [total, unknown])
        return loss, unknown

    def share_loss(self, samples: Sequence[Encoded], *, tokens: int) -> float:
        """Forward and backward of one forward pass's samples; returns their summed loss."""
        tensors = (pack if self.fit.packs else collate)(samples, student=self.student)
        labels = tensors.pop("labels")
        batch = hand_over(tensors, student=self.student)
        with low_precision(self.attached, self.student.device):
            loss = answer_loss(self.attached.inner, batch, labels)
        (loss / tokens).backward()  # type: ignore[no-untyped-call]
        return float(loss.detach())

    def finish(self) -> Finished:
        """Check that the weights moved, write them, then the marker; drop the training state."""
        if self.step:
            self.watch.check_moved()
        body = write_attached(self.attached, self.folder)
        done = Finished(
            key=self.job.key,
            loss=self.loss_sum / max(1, self.loss_tokens),
            steps=self.step,
            samples=self.seen,
            skipped=self.measured.skipped,
            unknown=self.unknown / max(1.0, self.known),
            adapter=hashlib.sha256(body).hexdigest()[:16],
            notes=tuple(self.fit.notes),
        )
        write_atomic(self.folder / FINISHED, done.model_dump_json().encode())
        (self.folder / STATE).unlink(missing_ok=True)
        return done


def count_tokens(samples: Sequence[Encoded], *, token: int | None) -> float:
    """How many of the answers' tokens are this one."""
    if token is None:
        return 0.0
    return float(sum(int((sample.labels[1:] == token).sum()) for sample in samples))
