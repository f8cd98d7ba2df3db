"""Train the embedded base student from scratch: `python -m tools.world.pretrain OUT --minutes 75`.

An Idefics3 of about a million parameters (head size 32, 64x64 pictures, one patch a cell, sixteen picture tokens)
with a word-level vocabulary. It learns to read cells and two rules. For the skills in `generate.LACKING` it sees the
form of the questions, rarely, with the result of the missing rule drawn at random: it knows how such a question is
answered and what is in the picture, and not the rule. That is what "lacks" means in the embedded world, and the model
card says so. All its questions come from the pool's side of the split by digest.

Vision tower and connector are aligned with the words first, as in LLaVA's recipe; without this, shape and size stayed
at chance for 280,000 questions (docs/LOG.md).
One thread a process is best at this size.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from errata.prompts import render_prompt
from errata.tools.records import seed_of
from errata.tools.world.draw import draw_scene
from errata.tools.world.generate import FREE_FORM_SHARE, LACKING, split_of_question
from errata.tools.world.programs import FAMILIES
from errata.tools.world.questions import Question, sample_question
from errata.tools.world.scene import ATTRIBUTES, CELLS, LINES, Scene, line_cells, random_scene
from errata.tools.world.student_files import build_model, build_processor, load_card

if TYPE_CHECKING:
    import torch

DRILL_SHARE = 0.2
FIRST_DRILL_SHARE, FIRST = 0.4, 0.1
"""In the first part of the time drills are most of the mix: they supervise many look-ups a sample."""
LACKING_SHARE = 0.13


@dataclass(frozen=True)
class Example:
    """One training text with its picture."""

    prompt: str
    answer: str
    scene: Scene


def answer_sentence(question: Question, answer: str) -> str:
    """`The answer is B.` or, free-form, `The answer is red.`"""
    word = "ABCDEFGH"[question.options.index(answer)] if question.options else answer
    return f"The answer is {word}."


def confuse(question: Question, rng: random.Random) -> list[str]:
    """Results of the program with the focus skill's result drawn at random among those that lead to an option."""
    index = next(i for i, c in enumerate(question.program.calls) if c.skill == question.family.focus)
    possible = question.options or question.family.answers
    from errata.tools.world.skills import SKILLS

    while True:
        guess = rng.choice(SKILLS[question.family.focus].domain)
        results = question.program.run(question.scene, {index: guess})
        if results is not None and question.program.read_answer(results) in possible:
            return results


def sample_drill(rng: random.Random) -> Example:
    """Dense practice of one kind of look-up: describe a line, or name the letters of options.

    What is looked up follows soon on what it is looked up by: carried over more words, letters were not learned from
    150,000 questions (docs/LOG.md).
    """
    scene, kind = random_scene(rng), rng.random()
    if kind < 0.3:
        line = rng.choice(LINES)
        cells = [(name, scene.at(name)) for name in line_cells(line)]
        text = " ".join(f"{n} {c.size} {c.colour} {c.shape} {c.pole}." for n, c in cells)
        return Example(f"Describe {line}.", text, scene)
    domain = rng.choice((*ATTRIBUTES.values(), CELLS))
    options = rng.sample(domain, 2)
    letters = dict(zip(options, "AB", strict=False))
    shown = " ".join(f"{letter}) {option}" for option, letter in letters.items())
    if kind < 0.65:
        order = rng.sample(options, len(options))
        return Example(f"Describe {shown}", " ".join(f"{o} {letters[o]}." for o in order), scene)
    option = rng.choice(options)
    return Example(f"Which is {option}? {shown}", f"{option}. The answer is {letters[option]}.", scene)


def sample_example(rng: random.Random, *, drill_share: float = DRILL_SHARE) -> Example:
    """One example of the base student's mix."""
    if rng.random() < drill_share:
        return sample_drill(rng)
    lacking = rng.random() < LACKING_SHARE
    family = rng.choice([f for f in FAMILIES.values() if (f.focus in LACKING) == lacking])
    question = sample_question(
        family,
        rng,
        free_form=rng.random() < FREE_FORM_SHARE,
        allowed=lambda key: split_of_question(key) == "pool",
    )
    results = confuse(question, rng) if lacking else list(question.results)
    answer = answer_sentence(question, question.program.read_answer(results))
    prompt = render_prompt(
        "student_brief", question=question.text, choices=list(zip("ABCDEFGH", question.options, strict=False))
    )
    return Example(prompt, f"{question.explain(results)} {answer}", question.scene)


@dataclass(frozen=True)
class Batch:
    """int64 [B, T] ids and labels (-100 where not learned), uint8 [B, 64, 64, 3] pictures."""

    ids: NDArray[np.int64]
    labels: NDArray[np.int64]
    mask: NDArray[np.int64]
    pictures: NDArray[np.uint8]


class Encoder:
    """Encodes examples as the saved processor and chat template do (a test holds the two against each other)."""

    def __init__(self, processor: Any) -> None:
        self.tokenizer = processor.tokenizer
        self.processor = processor
        turn = [{"role": "user", "content": [{"type": "text", "text": "Q"}, {"type": "image"}]}]
        text = processor.apply_chat_template(turn, add_generation_prompt=True)
        self.before, self.after = text.split("Q")
        slots = (
            "<fake_token_around_image><global-img>" + "<image>" * processor.image_seq_len + "<fake_token_around_image>"
        )
        self.after = self.after.replace("<image>", slots)

    def encode(self, examples: Sequence[Example]) -> Batch:
        """Pad to the longest on the right; only the answer and the end token are learned."""
        prompts = self.tokenizer([self.before + e.prompt + self.after for e in examples])["input_ids"]
        answers = self.tokenizer([e.answer + self.tokenizer.eos_token for e in examples])["input_ids"]
        longest = max(len(p) + len(a) for p, a in zip(prompts, answers, strict=True))
        ids = np.full((len(examples), longest), self.tokenizer.pad_token_id, dtype=np.int64)
        labels, mask = np.full_like(ids, -100), np.zeros_like(ids)
        for row, (prompt, answer) in enumerate(zip(prompts, answers, strict=True)):
            end = len(prompt) + len(answer)
            ids[row, :end], mask[row, :end] = prompt + answer, 1
            labels[row, len(prompt) : end] = answer
        return Batch(ids, labels, mask, np.stack([draw_scene(e.scene) for e in examples]))


def draw_batches(encoder: Encoder, *, seed: int, batch: int, drill_share: Callable[[], float]) -> Iterator[Batch]:
    """Endless batches, grouped by length four at a time."""
    rng = random.Random(seed)
    while True:
        share = drill_share()
        drawn = (sample_example(rng, drill_share=share) for _ in range(batch * 4))
        examples = sorted(drawn, key=lambda e: len(e.answer) + len(e.prompt))
        order = list(range(4))
        random.Random(rng.random()).shuffle(order)
        for i in order:
            yield encoder.encode(examples[i * batch : (i + 1) * batch])


def to_pixels(pictures: NDArray[np.uint8]) -> torch.Tensor:
    """uint8 [B, 64, 64, 3] to float [B, 1, 3, 64, 64] in -1..1, as the saved image processor does."""
    import torch

    return torch.from_numpy(pictures).permute(0, 3, 1, 2).unsqueeze(1).float().div_(127.5).sub_(1.0)


def align_vision(model: Any, tokenizer: Any, *, seed: int, steps: int, batch: int = 64, rate: float = 1.5e-3) -> float:
    """Train vision tower and connector so that a patch's token lies near the words for what is in it, and for its cell.

    The heads are the text model's own word embeddings, frozen: this is the alignment stage of LLaVA's recipe at this
    size. Returns the last loss (nats a head). Deterministic in the seed, so that every process of `pretrain` ends with
    the same weights.
    """
    import torch

    torch.manual_seed(seed)
    rng = random.Random(seed_of("vision", seed))
    modules = (model.model.vision_model, model.model.connector)
    weights = [w for module in modules for w in module.parameters()]
    words = {**ATTRIBUTES, "cell": CELLS}
    table = model.get_input_embeddings().weight.detach()
    heads = {k: table[tokenizer.convert_tokens_to_ids(["▁" + w for w in v])] for k, v in words.items()}
    optimizer = torch.optim.AdamW(weights, lr=rate)
    value = float("nan")
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1.0, (step + 1) / 50, max(0.05, (steps - step) / steps * 2))
        scenes = [random_scene(rng) for _ in range(batch)]
        states = model.model.get_image_features(to_pixels(np.stack([draw_scene(s) for s in scenes]))).pooler_output
        losses = []
        for name, head in heads.items():
            rows = [[getattr(c, name, place) for place, c in zip(CELLS, s.cells, strict=True)] for s in scenes]
            gold = torch.tensor([[words[name].index(value) for value in row] for row in rows])
            losses.append(torch.nn.functional.cross_entropy((states @ head.T).transpose(1, 2), gold))
        loss = torch.stack(losses).mean()
        torch.autograd.backward(loss)
        optimizer.step()
        model.zero_grad(set_to_none=True)
        value = float(loss.detach())
    return value


@dataclass(frozen=True)
class Plan:
    """How long and how fast: warm-up over 200 steps, constant, linear decay over the last fifth of `minutes`."""

    out: Path
    minutes: float
    seed: int = 0
    batch: int = 32
    """Over all processes."""
    rate: float = 1.5e-3
    processes: int = 2
    resume: Path | None = None
    vision_steps: int = 400

    def rate_at(self, step: int, spent: float) -> float:
        """The learning rate after `step` steps and this share of the time."""
        return self.rate * min(1.0, (step + 1) / 50, max(0.02, (1 - spent) / 0.2))


class Muon:
    """Momentum, orthogonalised: every matrix moves by the same amount in all its directions (Jordan et al. 2024).

    torch.optim.Muon does the same in bfloat16, which this size of CPU has to emulate; here it stays in float32.
    """

    def __init__(self, matrices: Sequence[torch.Tensor], *, rate: float, momentum: float = 0.95) -> None:
        import torch

        self.momentum = momentum
        self.param_groups: list[dict[str, Any]] = [{"params": list(matrices), "lr": rate}]
        self.buffers = [torch.zeros_like(m) for m in matrices]

    def step(self) -> None:
        """One step; equal shapes are orthogonalised together."""
        import torch

        group = self.param_groups[0]
        by_shape: dict[tuple[int, ...], list[int]] = {}
        with torch.no_grad():
            for place, (weight, buffer) in enumerate(zip(group["params"], self.buffers, strict=True)):
                if weight.grad is not None:
                    buffer.mul_(self.momentum).add_(weight.grad)
                    by_shape.setdefault(tuple(weight.shape), []).append(place)
            for shape, places in by_shape.items():
                moved = [group["params"][i].grad + self.momentum * self.buffers[i] for i in places]
                turned = orthogonalise(torch.stack(moved)) * (0.2 * max(shape) ** 0.5)
                for i, update in zip(places, turned, strict=True):
                    group["params"][i].mul_(1 - 0.01 * group["lr"]).add_(update, alpha=-group["lr"])


def orthogonalise(stack: torch.Tensor) -> torch.Tensor:
    """[N, R, C] to the nearest semi-orthogonal matrices, roughly: five Newton-Schulz steps."""
    wide = stack.size(1) <= stack.size(2)
    x: torch.Tensor = stack if wide else stack.mT
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(5):
        square = x @ x.mT
        x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
    return x if wide else x.mT


def make_optimizers(model: Any, *, rate: float) -> list[Any]:
    """Muon for the matrices of the layers, AdamW for embeddings, norms and biases."""
    import torch

    inner = {n: w for n, w in model.named_parameters() if w.ndim == 2 and ".layers." in n}
    rest = [w for n, w in model.named_parameters() if n not in inner]
    return [
        Muon(list(inner.values()), rate=rate),
        torch.optim.AdamW(rest, lr=rate, betas=(0.9, 0.98), weight_decay=0.01),
    ]


def pretrain(rank: int, plan: Plan, rendezvous: str) -> None:
    """Body of one process: gradients are averaged over all of them, so that every rank keeps the same weights."""
    import torch
    import torch.distributed as dist

    torch.set_num_threads(1)
    torch.manual_seed(plan.seed)
    dist.init_process_group("gloo", init_method=rendezvous, rank=rank, world_size=plan.processes)
    processor = build_processor()
    model = build_model(processor, folder=plan.resume).train()
    vision_loss = align_vision(model, processor.tokenizer, seed=plan.seed, steps=plan.vision_steps)
    if rank == 0:
        print(json.dumps({"vision_steps": plan.vision_steps, "vision_loss": round(vision_loss, 4)}), flush=True)
    weights = list(model.parameters())
    optimizers = make_optimizers(model, rate=plan.rate)
    begun, saved, losses = time.monotonic(), time.monotonic(), []
    seed = seed_of("base", plan.seed, str(plan.resume), rank)

    def drill_share() -> float:
        early = time.monotonic() - begun < FIRST * plan.minutes * 60
        return FIRST_DRILL_SHARE if early else DRILL_SHARE

    encoder, size = Encoder(processor), plan.batch // plan.processes
    for step, sample in enumerate(draw_batches(encoder, seed=seed, batch=size, drill_share=drill_share)):
        spent = torch.tensor((time.monotonic() - begun) / 60 / plan.minutes)
        dist.broadcast(spent, 0)
        if spent >= 1:
            break
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = plan.rate_at(step, float(spent))
        losses.append(_take_step(model, weights, optimizers, sample, plan.processes))
        if rank == 0 and step % 100 == 99:
            pace = (step + 1) * plan.batch / (time.monotonic() - begun)
            line = {
                "step": step + 1,
                "loss": round(float(np.mean(losses[-100:])), 4),
                "per_s": round(pace),
                "share": round(float(spent), 3),
            }
            print(json.dumps(line), flush=True)
        if rank == 0 and time.monotonic() - saved > 100:
            save_student(model, processor, plan.out)
            saved = time.monotonic()
    if rank == 0:
        save_student(model, processor, plan.out)
    dist.destroy_process_group()


def _take_step(
    model: Any, weights: list[torch.Tensor], optimizers: Sequence[Any], sample: Batch, processes: int
) -> float:
    """One optimizer step; returns this rank's loss."""
    import torch
    import torch.distributed as dist

    loss = model(
        input_ids=torch.from_numpy(sample.ids),
        attention_mask=torch.from_numpy(sample.mask),
        pixel_values=to_pixels(sample.pictures),
        labels=torch.from_numpy(sample.labels),
    ).loss
    loss.backward()
    grads = [w.grad for w in weights if w.grad is not None]
    flat = torch.nn.utils.parameters_to_vector(grads)
    dist.all_reduce(flat)
    flat.div_(processes)
    torch.nn.utils.vector_to_parameters(flat, grads)
    torch.nn.utils.clip_grad_norm_(weights, 1.0)
    for optimizer in optimizers:
        optimizer.step()
    model.zero_grad(set_to_none=True)
    return float(loss.detach())


def save_student(model: Any, processor: Any, out: Path) -> None:
    """Save model, processor and card where AutoModelForImageTextToText and AutoProcessor find them."""
    out.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(out)
    processor.save_pretrained(out)
    (out / "README.md").write_text(load_card(), encoding="utf-8")


def main() -> None:
    """Command line of the script."""
    parser = argparse.ArgumentParser(description="Train the embedded base student from scratch.")
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=75)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--processes", type=int, default=2, help="one thread each")
    parser.add_argument("--rate", type=float, default=1.5e-3)
    parser.add_argument("--resume", type=Path, help="start from the weights in this folder")
    parser.add_argument("--vision-steps", type=int, default=400, help="steps of aligning vision and words")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    plan = Plan(
        args.out,
        args.minutes,
        seed=args.seed,
        rate=args.rate,
        batch=args.batch,
        processes=args.processes,
        resume=args.resume,
        vision_steps=args.vision_steps,
    )
    from torch.multiprocessing.spawn import spawn

    with tempfile.TemporaryDirectory() as folder:
        spawn(pretrain, args=(plan, f"file://{folder}/rendezvous"), nprocs=plan.processes)  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main()
