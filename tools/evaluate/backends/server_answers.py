"""A shard of an evaluation answered by a server: the question as a chat message, its pictures as data URLs.

The chat template is the server's own, so that it is the parity certificate that shows whether it is the student's.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from errata.tools.errors import OperatorError
from errata.tools.evaluate.backends.server_client import WHERE, Said, StudentServer, picture_url
from errata.tools.evaluate.student import ANSWERS, EvaluateJob, GenerateOptions
from errata.tools.records import Problem
from errata.tools.student.encode import make_messages, open_pictures
from errata.tools.student.load import Student, open_blueprint
from errata.tools.student.source import StudentSource

Emit = Callable[[dict[str, Any]], None]


def answer_by_server(job: EvaluateJob, folder: Path, emit: Emit) -> None:
    """Answer all batches into `folder`/answers.jsonl, each answer as it comes. Raises `OperatorError`."""
    student = open_blueprint(job.model.base, trust_remote_code=job.model.trust_remote_code)
    check_template(student, base=job.model.base)
    problems = [problem for batch in job.batches for problem in batch]
    with open_server(job.options) as server, (folder / ANSWERS).open("w", encoding="utf-8") as file:
        name = server.prepare(job.model)
        asked = ask_all(problems, server=server, name=name, source=job.model, options=job.options, ends=student.end_ids)
        for total, (problem, said) in enumerate(zip(problems, asked, strict=True), start=1):
            file.write(json.dumps([problem.id, said.text]) + "\n")
            file.flush()
            emit({"answers": total})


def open_server(options: GenerateOptions) -> StudentServer:
    """A client with its key, which a process of its own reads where the command line did. Raises `OperatorError`."""
    variable = options.server.key_env
    if variable is not None and not os.environ.get(variable):
        raise OperatorError(
            "the environment variable is not set",
            where=f"{WHERE}.key_env",
            value=variable,
            remedy=f"export {variable}=..., or set it to null",
        )
    return StudentServer(options.server, key=os.environ[variable] if variable else None)


def check_template(student: Student, *, base: str) -> None:
    """Raise `OperatorError` for a family that is asked without a chat template: a server has to have one."""
    if student.template is None:
        raise OperatorError(
            f"{student.family.name} is asked without a chat template, and a server answers chats only",
            where="student.base",
            value=base,
            remedy="set student.generate.backend: transformers, or vllm",
        )


def ask_all(
    problems: Sequence[Problem],
    *,
    server: StudentServer,
    name: str,
    source: StudentSource,
    options: GenerateOptions,
    ends: Sequence[int],
    logprobs: int = 0,
) -> Iterator[Said]:
    """Answers in order, several questions at the same time. Nothing more is sent after the first `OperatorError`."""

    def ask(problem: Problem) -> Said:
        messages = write_messages(problem, prompt=source.prompt, image_first=source.image_first)
        where = f"problem {problem.id}"
        return server.ask(
            messages, name=name, max_new_tokens=options.max_new_tokens, ends=ends, logprobs=logprobs, where=where
        )

    pool = ThreadPoolExecutor(max_workers=max(1, min(options.server.concurrency, len(problems))))
    try:
        yield from pool.map(ask, problems)
    finally:
        pool.shutdown(cancel_futures=True)


def write_messages(problem: Problem, *, prompt: str, image_first: bool) -> list[dict[str, Any]]:
    """The one user turn of `make_messages`, with pictures in it. Raises `OperatorError` for an unreadable picture."""
    urls = iter([picture_url(picture) for picture in open_pictures(problem)])
    messages = make_messages(problem, prompt=prompt, image_first=image_first)
    for message in messages:
        message["content"] = [
            {"type": "image_url", "image_url": {"url": next(urls)}} if part["type"] == "image" else part
            for part in message["content"]
        ]
    return messages
