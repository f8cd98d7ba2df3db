"""Does another program see the student as transformers does? Asked before it answers for a checkpoint.

Compared are what both make of the same prompts (template, tokens, pixels) and what they answer: greedy answers and the
probabilities of their first tokens, of the base and of the checkpoint. vLLM can ignore an adapter in silence (its issue
34186); then its answers are the base's, and that is a fault whatever their agreement.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from errata.tools.errors import OperatorError
from errata.tools.evaluate.backends.options import BackendName, ParityOptions
from errata.tools.evaluate.backends.server_parity import ask_both
from errata.tools.evaluate.backends.sides import LIKELIEST, Side, ask_transformers, choose_questions
from errata.tools.evaluate.backends.vllm_answers import make_requests, plan_engine
from errata.tools.evaluate.backends.vllm_engine import Reply, VllmEngine
from errata.tools.evaluate.student import EvaluateJob, GenerateOptions
from errata.tools.records import Problem, Record
from errata.tools.student.encode import encode_prompts
from errata.tools.student.load import Student, open_source
from errata.tools.student.source import StudentSource
from errata.tools.train.job import write_atomic

PARITY = "parity.json"
MOVED = 1e-3
"""A first token's probability that changes by more than this shows that an adapter is at work."""


class Parity(Record):
    """A parity certificate."""

    checkpoint: str
    backend: BackendName
    form: str
    """`adapter` beside the base, `merged` weights, `served` in the form that the server chose, or `base`."""
    questions: int
    template: str
    """Digest of the chat template; empty for a server, whose prompts' tokens stand for it."""
    pixels: str
    """Digest of a picture's pixels after the processor; empty for a server, or without a question of one picture."""
    prompts_equal: int
    """Questions whose prompts are the same tokens."""
    agreement: float
    """Share of greedy answers that are the same tokens."""
    first_token: float
    """Largest difference of a first token's probability."""
    moved: float
    """Largest change of a first token's probability from base to checkpoint, in transformers."""
    backend_moved: float
    """The same in the other program."""
    changed: float
    """Share of answers that differ between base and checkpoint, in transformers."""
    backend_changed: float
    """The same in the other program."""
    faults: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether the program may answer for this checkpoint."""
        return not self.faults


def certify_vllm(
    problems: Sequence[Problem],
    *,
    model: StudentSource,
    options: GenerateOptions,
    folder: Path,
    served: StudentSource | None = None,
) -> Parity:
    """Ask both programs the same questions. Raises `OperatorError` when one of them cannot be asked.

    `folder` takes pictures for the time of the comparison. `served` is what vLLM is given, where that is not `model`
    itself: a copy on another disk, say.
    """
    served = served or model
    asked = choose_questions(problems, options.parity.questions)
    student = open_source(model.model_copy(update={"adapter": None}), device=options.device)
    requests = make_requests(asked, student=student, source=model, folder=folder)
    settings = plan_engine(served, requests=requests, job=EvaluateJob(model=served, options=options, batches=()))
    ours = [ask_transformers(asked, student=student, source=model, options=options)]
    described = describe(student, asked, source=model)
    if model.adapter is not None:
        student = open_source(model, device=options.device)
        ours.append(ask_transformers(asked, student=student, source=model, options=options))
    ends = student.end_ids
    del student
    torch.cuda.empty_cache()
    theirs: list[Side] = []
    with VllmEngine(settings, options=options.vllm) as engine:
        how: dict[str, Any] = {"max_new_tokens": options.max_new_tokens, "ends": ends, "logprobs": LIKELIEST}
        if settings.adapter is not None:
            theirs.append(read_side(engine.ask(requests, adapted=False, **how), ends=ends))
        theirs.append(read_side(engine.ask(requests, **how), ends=ends))
        found = engine.described
    form = "base" if model.adapter is None else "adapter" if settings.adapter is not None else "merged"
    if form == "merged":
        theirs.insert(0, ask_base(requests, model=served, options=options, ends=ends))
    return compare_sides(
        ours, theirs, described=described, found=found, checkpoint=model.checkpoint, form=form, options=options.parity
    )


def certify_server(
    problems: Sequence[Problem], *, model: StudentSource, options: GenerateOptions, served: StudentSource | None = None
) -> Parity:
    """The same for a server. Its template and pixels are seen in its prompts' tokens and in its answers alone."""
    ours, theirs = ask_both(problems, model=model, options=options, served=served or model)
    form = "base" if model.adapter is None else "served"
    return compare_sides(
        ours,
        theirs,
        described={},
        found={},
        checkpoint=model.checkpoint,
        form=form,
        options=options.parity,
        backend="server",
    )


def ask_base(requests: Sequence[Any], *, model: StudentSource, options: GenerateOptions, ends: Sequence[int]) -> Side:
    """What vLLM says of the base: merged weights are another model to it."""
    base = model.model_copy(update={"adapter": None, "checkpoint": "base"})
    settings = plan_engine(base, requests=requests, job=EvaluateJob(model=base, options=options, batches=()))
    with VllmEngine(settings, options=options.vllm) as engine:
        replies = engine.ask(requests, max_new_tokens=options.max_new_tokens, ends=ends, logprobs=LIKELIEST)
        return read_side(replies, ends=ends)


def describe(student: Student, problems: Sequence[Problem], *, source: StudentSource) -> dict[str, str]:
    """Digests of the chat template and of the first picture's pixels, as this environment makes them."""
    said = {"template": hashlib.sha256((student.template or "").encode()).hexdigest()[:16]}
    seeing = next((problem for problem in problems if problem.images), None)
    if seeing is not None and len(seeing.images) == 1:
        batch = encode_prompts([seeing], student=student, prompt=source.prompt, image_first=source.image_first)
        pixels = batch["pixel_values"].float().mul(1000).round().int()
        said["pixels"] = hashlib.sha256(pixels.numpy().tobytes()).hexdigest()[:16]
    return said


def read_side(replies: Any, *, ends: Sequence[int]) -> Side:
    """The other program's replies in the same form, end tokens left out."""
    kept: list[Reply] = list(replies)
    answers = [tuple(token for token in reply.tokens if token not in ends) for reply in kept]
    first = [{token: math.exp(value) for token, value in reply.first.items()} for reply in kept]
    return Side(tuple(answers), tuple(first), tuple(reply.prompt for reply in kept))


def compare_sides(
    ours: Sequence[Side],
    theirs: Sequence[Side],
    *,
    described: dict[str, str],
    found: dict[str, str],
    checkpoint: str,
    form: str,
    options: ParityOptions,
    backend: BackendName = "vllm",
) -> Parity:
    """The certificate. Each side is the base's, and behind it the checkpoint's where there is one."""
    mine, other = ours[-1], theirs[-1]
    count = len(mine.answers)
    same = sum(a == b for a, b in zip(mine.answers, other.answers, strict=True))
    prompts = sum(a == b for a, b in zip(mine.prompts, other.prompts, strict=True))
    first = largest_difference(mine.first, other.first)
    moved = largest_difference(ours[0].first, mine.first) if len(ours) > 1 else 0.0
    backend_moved = largest_difference(theirs[0].first, other.first) if len(theirs) > 1 else 0.0
    changed, backend_changed = share_changed(ours), share_changed(theirs)
    faults = []
    if described.get("template") != found.get("template"):
        faults.append("the chat templates differ")
    if described.get("pixels", "") != found.get("pixels", ""):
        faults.append("the processors make different pixels of the same picture")
    if prompts < count:
        faults.append(f"{count - prompts} of {count} prompts are other tokens")
    if same < options.agreement * count:
        faults.append(f"{same} of {count} greedy answers are the same, {options.agreement:.0%} are asked for")
    if first > options.first_token:
        faults.append(f"a first token's probability differs by {first:.3f}, at most {options.first_token} is allowed")
    if (changed and not backend_changed) or (moved > MOVED and backend_moved < 0.1 * moved):
        faults.append(f"the adapter is ignored: it changes {changed:.0%} of the answers in transformers and none here")
    return Parity(
        checkpoint=checkpoint,
        backend=backend,
        form=form,
        questions=count,
        template=described.get("template", ""),
        pixels=described.get("pixels", ""),
        prompts_equal=prompts,
        agreement=same / count,
        first_token=first,
        moved=moved,
        backend_moved=backend_moved,
        changed=changed,
        backend_changed=backend_changed,
        faults=tuple(faults),
    )


def share_changed(sides: Sequence[Side]) -> float:
    """Of the answers, from the base to the checkpoint; 0 where there is the base alone."""
    pairs = zip(sides[0].answers, sides[-1].answers, strict=True)
    return sum(a != b for a, b in pairs) / max(1, len(sides[0].answers))


def largest_difference(one: Sequence[dict[int, float]], other: Sequence[dict[int, float]]) -> float:
    """Of any likely token's probability; a token that one side does not list counts with 0 there."""
    worst = 0.0
    for left, right in zip(one, other, strict=True):
        for token in {*list(left)[:5], *list(right)[:5]}:
            worst = max(worst, abs(left.get(token, 0.0) - right.get(token, 0.0)))
    return worst


REMEDIES: dict[BackendName, str] = {
    "vllm": "set student.generate.vllm.merged: true, or student.generate.backend: transformers",
    "server": "serve this base with its own chat template and these weights, then delete the certificate (parity.json) "
    "and resume, or set student.generate.backend: transformers",
}


def refuse(parity: Parity) -> OperatorError:
    """What stops a run whose backend does not see the student as transformers does."""
    return OperatorError(
        f"{parity.backend} does not answer as transformers does: {'; '.join(parity.faults)}",
        where=f"checkpoint {parity.checkpoint} ({parity.form})",
        remedy=REMEDIES[parity.backend],
    )


def require_certificate(problems: Sequence[Problem], *, job: EvaluateJob, folder: Path) -> None:
    """Make the job's certificate unless it is there. Raises `OperatorError` when it is not passed."""
    if job.certificate is None:
        return
    path = Path(job.certificate)
    parity = Parity.model_validate_json(path.read_bytes()) if path.is_file() else None
    if parity is None:
        if job.options.backend == "server":
            parity = certify_server(problems, model=job.model, options=job.options)
        else:
            parity = certify_vllm(problems, model=job.model, options=job.options, folder=folder / "pictures")
        write_atomic(path, parity.model_dump_json(indent=1).encode())
    if not parity.passed:
        raise refuse(parity)
