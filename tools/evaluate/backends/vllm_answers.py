"""A shard of an evaluation answered by vLLM: prompts as the student's own processor renders them, pictures as files."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from errata.tools.errors import OperatorError
from errata.tools.evaluate.backends.server_client import is_plain_lora
from errata.tools.evaluate.backends.vllm_engine import EngineSettings, Request, VllmEngine
from errata.tools.evaluate.student import ANSWERS, EvaluateJob
from errata.tools.records import Problem, digest
from errata.tools.student.encode import open_pictures, render_text
from errata.tools.student.load import Student, open_blueprint, open_source, pick_device
from errata.tools.student.source import ADAPTER_CONFIG, StudentSource
from errata.tools.thought import opened_thought

Emit = Callable[[dict[str, Any]], None]
ROUND = 256
"""Questions that vLLM gets at a time; it orders them itself."""
MERGED = "merged"


def answer_by_vllm(job: EvaluateJob, folder: Path, emit: Emit) -> None:
    """Answer all batches into `folder`/answers.jsonl. Raises `OperatorError`."""
    student = open_blueprint(job.model.base, trust_remote_code=job.model.trust_remote_code)
    problems = [problem for batch in job.batches for problem in batch]
    requests = make_requests(problems, student=student, source=job.model, folder=folder / "pictures")
    settings = plan_engine(job.model, requests=requests, job=job)
    total = 0
    opening = opened_thought(requests[0].text) if requests else ""
    with (
        VllmEngine(settings, options=job.options.vllm) as engine,
        (folder / ANSWERS).open("w", encoding="utf-8") as file,
    ):
        for start in range(0, len(requests), ROUND):
            part = requests[start : start + ROUND]
            for reply in engine.ask(part, max_new_tokens=job.options.max_new_tokens, ends=student.end_ids):
                file.write(json.dumps([reply.id, opening + reply.texts[0].strip()]) + "\n")
                total += 1
            file.flush()
            emit({"answers": total})


def make_requests(
    problems: Sequence[Problem], *, student: Student, source: StudentSource, folder: Path
) -> list[Request]:
    """Prompts with their pictures; each picture is written once, as training and transformers see it."""
    folder.mkdir(parents=True, exist_ok=True)
    requests = []
    for problem in problems:
        frame = render_text(problem, student=student, prompt=source.prompt, image_first=source.image_first)
        paths = []
        for ref, picture in zip(problem.images, open_pictures(problem), strict=True):
            path = folder / f"{digest(ref.path, ref.sha256)}.png"
            if not path.is_file():
                picture.save(path)
            paths.append(str(path))
        requests.append(Request(problem.id, frame.before, tuple(paths)))
    return requests


def plan_engine(source: StudentSource, *, requests: Sequence[Request], job: EvaluateJob) -> EngineSettings:
    """What the engine is started with: the adapter beside the base, or weights that it is merged into."""
    model, adapter, rank = source.base, source.adapter, 16
    if adapter is not None:
        if job.options.vllm.merged or not is_plain_lora(adapter):
            model, adapter = str(write_merged(source)), None
        else:
            rank = adapter_rank(adapter)
    seeing = next((request for request in requests if request.pictures), None)
    return EngineSettings(
        model=model,
        adapter=adapter,
        name=source.checkpoint,
        rank=rank,
        pictures=max((len(request.pictures) for request in requests), default=0),
        dtype="float32" if pick_device(job.options.device).type == "cpu" else "bfloat16",
        picture=seeing.pictures[0] if seeing and len(seeing.pictures) == 1 else None,
        text=seeing.text if seeing else "",
    )


def adapter_rank(folder: str) -> int:
    """The smallest rank that vLLM offers and that holds the adapter's. Raises `OperatorError` for one too large."""
    config = json.loads((Path(folder) / ADAPTER_CONFIG).read_text(encoding="utf-8"))
    if config.get("use_dora"):
        raise OperatorError(
            "vLLM takes no DoRA adapter",
            where=folder,
            remedy="set student.generate.vllm.merged: true",
        )
    for rank in (8, 16, 32, 64, 128, 256, 320, 512):
        if config["r"] <= rank:
            return rank
    raise OperatorError(
        "vLLM takes no adapter of this rank",
        where=folder,
        value=config["r"],
        remedy="set student.generate.vllm.merged: true",
    )


def write_merged(source: StudentSource) -> Path:
    """The base with its checkpoint merged in, once, beside the checkpoint. Raises `OperatorError`."""
    assert source.adapter is not None
    folder = Path(source.adapter) / MERGED
    if not (folder / "config.json").is_file():
        student = open_source(source, device="cpu")
        kind = torch.float32 if not torch.cuda.is_available() else torch.bfloat16
        student.model.to(kind).save_pretrained(folder)
        student.processor.save_pretrained(folder)
    return folder
