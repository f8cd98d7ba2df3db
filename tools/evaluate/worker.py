"""One shard of an evaluation, in a process of its own: batched greedy generation with a key-value cache."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from transformers import DynamicCache

from errata.tools.errors import OperatorError
from errata.tools.evaluate.student import ANSWERS, EvaluateJob
from errata.tools.records import Problem
from errata.tools.student.encode import encode_prompts
from errata.tools.student.load import Student, open_student
from errata.tools.student.positions import find_positions
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
    if job.options.backend == "vllm":
        from errata.tools.evaluate.backends.parity import require_certificate
        from errata.tools.evaluate.backends.vllm_answers import answer_by_vllm

        require_certificate([problem for batch in job.batches for problem in batch], job=job, folder=folder)
        answer_by_vllm(job, folder, emit)
        return
    student = open_student(job.model.base, adapter=job.model.adapter, device=job.options.device)
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
    texts: list[str] = student.tokenizer.batch_decode(new, skip_special_tokens=True)
    return [text.strip() for text in texts]


def generate_greedily(inputs: dict[str, torch.Tensor], *, student: Student, max_new_tokens: int) -> list[list[int]]:
    """New token ids per row, end token excluded.

    Rows that have ended leave the batch, cache included; the library's `generate` carries them to the end.
    """
    model, mask = student.model, inputs["attention_mask"]
    positions, following = find_positions(inputs, student=student)
    cache = DynamicCache(config=model.config.get_text_config())
    ends = torch.tensor(student.end_ids, device=mask.device)
    new: list[list[int]] = [[] for _ in range(len(mask))]
    rows = torch.arange(len(mask))
    step: dict[str, Any] = dict(inputs)
    for count in range(max_new_tokens):
        logits = model(**step, position_ids=positions, past_key_values=cache, use_cache=True, logits_to_keep=1).logits
        tokens = logits[:, -1].argmax(-1)
        keep = ~torch.isin(tokens, ends)
        if not bool(keep.all()):
            tokens, mask, following = tokens[keep], mask[keep], following[..., keep, :]
            rows = rows[keep.cpu()]
            if len(rows):
                cache.batch_select_indices(keep.nonzero()[:, 0])
        for row, token in zip(rows.tolist(), tokens.tolist(), strict=True):
            new[row].append(token)
        if not len(rows) or count + 1 == max_new_tokens:
            break
        mask = torch.cat([mask, mask.new_ones((len(mask), 1))], dim=1)
        positions, following = following, following + 1
        step = {"input_ids": tokens[:, None], "attention_mask": mask}
    return new


def generate_by_library(inputs: dict[str, torch.Tensor], *, student: Student, max_new_tokens: int) -> list[list[int]]:
    """The same with transformers' `generate`, to hold the loop above against."""
    ids = student.model.generate(
        **inputs,
        max_new_tokens=max_new_tokens,
        do_sample=False,
        num_beams=1,
        eos_token_id=student.end_ids,
        pad_token_id=student.tokenizer.pad_token_id or student.end_ids[0],
    )
    new = []
    for row in ids[:, inputs["input_ids"].shape[1] :].tolist():
        end = next((i for i, token in enumerate(row) if token in student.end_ids), len(row))
        new.append(row[:end])
    return new
