"""One shard of an evaluation, in a process of its own: batched greedy generation with a key-value cache."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from errata.tools.errors import OperatorError
from errata.tools.evaluate.generate import generate_greedily
from errata.tools.evaluate.student import ANSWERS, EvaluateJob
from errata.tools.records import Problem
from errata.tools.student.encode import encode_prompts, render_text
from errata.tools.student.load import Student, open_source
from errata.tools.thought import holds_thought_mark, opened_thought
from errata.tools.train.job import JOB

Emit = Callable[[dict[str, Any]], None]


def run_evaluation(folder: Path, emit: Emit) -> None:
    """Answer all batches of `folder`/job.json into answers.jsonl. Raises `OperatorError`."""
    torch.set_num_threads(1)
    path = folder / JOB
    try:
        job = EvaluateJob.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise OperatorError("no evaluation job here", where=str(path), remedy="start the evaluation again") from error
    if job.options.backend != "transformers":
        from errata.tools.evaluate.backends.parity import require_certificate
        from errata.tools.evaluate.backends.server_answers import answer_by_server
        from errata.tools.evaluate.backends.vllm_answers import answer_by_vllm

        require_certificate([problem for batch in job.batches for problem in batch], job=job, folder=folder)
        (answer_by_vllm if job.options.backend == "vllm" else answer_by_server)(job, folder, emit)
        return
    student = open_source(job.model, device=job.options.device)
    student.model.eval()
    total = 0
    with (folder / ANSWERS).open("w", encoding="utf-8") as file:
        for batch in job.batches:
            responses = answer_batch(batch, student=student, job=job)
            for problem, response in zip(batch, responses, strict=True):
                file.write(json.dumps([problem.id, response]) + "\n")
            file.flush()
            total += len(batch)
            emit({"answers": total})


@torch.inference_mode()
def answer_batch(problems: Sequence[Problem], *, student: Student, job: EvaluateJob) -> list[str]:
    """Responses in order, special tokens removed. Raises `OperatorError` for a picture that cannot be read."""
    inputs = encode_prompts(problems, student=student, prompt=job.model.prompt, image_first=job.model.image_first)
    inputs = {k: v.to(student.device) for k, v in inputs.items()}
    new = generate_greedily(inputs, student=student, max_new_tokens=job.options.max_new_tokens)
    first = render_text(problems[0], student=student, prompt=job.model.prompt, image_first=job.model.image_first)
    return decode_responses(new, student=student, prompt=first.before)


def decode_responses(new: Sequence[Sequence[int]], *, student: Student, prompt: str) -> list[str]:
    """Texts of answers to one kind of prompt. Marks of a thought are kept where they are special tokens, and one that
    the prompt opens is put back, so that a response says by itself what is thought in it.
    """
    tokenizer = student.tokenizer
    kept = holds_thought_mark(tokenizer.all_special_tokens)
    texts: list[str] = tokenizer.batch_decode(new, skip_special_tokens=not kept)
    opening = opened_thought(prompt)
    return [f"{opening}{text.strip()}" for text in texts]
