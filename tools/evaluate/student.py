"""Ask a student all its questions, in processes of their own, and keep each answer as it comes.

Batches are fixed by the length of the prompt before they are dealt to workers, so the same batches meet the
model whatever the number of workers; a batch of which an answer is missing is asked again whole. torch is not
imported here: `errata.tools.evaluate.worker` owns it.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from errata.prompts import PromptMissing, prompt_digest
from errata.tools.errors import OperatorError
from errata.tools.evaluate.backends.options import BackendName, ParityOptions, ServerOptions, VllmOptions
from errata.tools.evaluate.score import make_attempt
from errata.tools.records import Attempt, Problem, Record, digest
from errata.tools.student.source import StudentSource
from errata.tools.train.host import StudentHost
from errata.tools.train.job import JOB, write_atomic

ANSWERS = "answers.jsonl"
OnAnswer = Callable[[int, int, int], None]


class GenerateOptions(Record):
    """How answers are generated: greedily, until an end token."""

    max_new_tokens: int = Field(default=256, ge=1)
    batch_size: int = Field(default=64, ge=1)
    device: Literal["auto", "cpu", "cuda"] = "auto"
    backend: BackendName = "transformers"
    """`transformers` in Errata's own processes, `vllm` in one of its own, or a `server` of the OpenAI protocol."""
    vllm: VllmOptions = VllmOptions()
    """Read where `backend` is `vllm`."""
    server: ServerOptions = ServerOptions()
    """Read where `backend` is `server`."""
    parity: ParityOptions = ParityOptions()
    """How alike another backend and `transformers` must answer; checked for each checkpoint before it is answered."""

    @model_validator(mode="after")
    def _server_has_its_address(self) -> GenerateOptions:
        if self.backend == "server" and not (self.server.base_url and self.server.model):
            raise ValueError("the backend server needs student.generate.server.base_url and server.model; give both")
        return self


class EvaluateJob(Record):
    """One shard: batches in the order in which they are asked."""

    model: StudentSource
    options: GenerateOptions
    batches: tuple[tuple[Problem, ...], ...]
    certificate: str | None = None
    """File of the parity certificate, made before the first answer where another program than transformers answers."""


class Answer(Record):
    """One line of a store of answers."""

    key: str
    """Digest of problem, student, prompt and options: an answer to anything else is not used again."""
    problem: str
    response: str


def evaluate_student(
    problems: Sequence[Problem],
    *,
    model: StudentSource,
    options: GenerateOptions,
    workers: int = 1,
    on_answer: OnAnswer | None = None,
    done: Mapping[str, Attempt] | None = None,
    store: Path | None = None,
    host: StudentHost | None = None,
    certificate: Path | None = None,
) -> list[Attempt]:
    """One attempt per problem, in the order of `problems`.

    `done`: attempts by problem id that are not asked again. `store`: a JSONL file to which each answer is
    appended as it comes and from which a killed evaluation goes on. `on_answer(done, total, correct)` is
    called per answer. `certificate`: where the parity certificate of vLLM's answers lies, or is put. `host`: a
    running host; without one it is started for this call (about 7 s of imports).
    Raises `OperatorError` for what a person has to mend.
    """
    if workers < 1:
        raise OperatorError("must be 1 or more", where="workers", value=workers, remedy="set it to 1")
    if not Path(model.base).is_dir():
        raise OperatorError("no such folder", where="student base", value=model.base, remedy="give the model's folder")
    keys = content_keys(problems, model=model, options=options)
    attempts = {p.id: done[p.id] for p in problems if done and p.id in done}
    for answer in read_store(store) if store else ():
        problem = keys.get(answer.key)
        if problem is not None and problem.id not in attempts:
            attempts[problem.id] = make_attempt(problem, answer.response, checkpoint=model.checkpoint)
    batches = [b for b in plan_batches(problems, size=options.batch_size) if any(p.id not in attempts for p in b)]
    if batches:
        by_id = {problem.id: (key, problem) for key, problem in keys.items()}
        asked = _ask(batches, model=model, options=options, workers=workers, host=host, certificate=certificate)
        for problem_id, response in asked:
            key, problem = by_id[problem_id]
            if problem_id in attempts:
                continue
            attempts[problem_id] = make_attempt(problem, response, checkpoint=model.checkpoint)
            if store is not None:
                append_answer(store, Answer(key=key, problem=problem_id, response=response))
            if on_answer is not None:
                on_answer(len(attempts), len(problems), sum(a.correct for a in attempts.values()))
    return [attempts[problem.id] for problem in problems]


def content_keys(problems: Sequence[Problem], *, model: StudentSource, options: GenerateOptions) -> dict[str, Problem]:
    """Problem by content key. Raises `OperatorError` for a doubled id or an unknown prompt."""
    try:
        prompt = prompt_digest(model.prompt)
    except PromptMissing as error:
        raise OperatorError(str(error), where="prompt", value=model.prompt, remedy="name a file of prompts/") from error
    keys: dict[str, Problem] = {}
    seen: set[str] = set()
    for problem in problems:
        if problem.id in seen:
            raise OperatorError("two problems have one id", where=f"problem {problem.id}", remedy="make ids unique")
        seen.add(problem.id)
        pictures = [image.sha256 for image in problem.images]
        backend = {"transformers": [], "vllm": ["vllm"], "server": ["server", options.server.model]}[options.backend]
        keys[
            digest(
                "answer",
                *backend,
                problem.id,
                problem.question,
                problem.choices,
                pictures,
                model.checkpoint,
                prompt,
                model.image_first,
                options.max_new_tokens,
                options.batch_size,
            )
        ] = problem
    return keys


def plan_batches(problems: Sequence[Problem], *, size: int) -> list[tuple[Problem, ...]]:
    """Fixed batches by (pictures, length of the text, id): like beside like, and nothing depends on the workers."""

    def length(problem: Problem) -> tuple[int, int, str]:
        return (
            len(problem.images),
            len(problem.question) + sum(len(c) + 4 for c in problem.choices),
            problem.id,
        )

    ordered = sorted(problems, key=length)
    batches: list[tuple[Problem, ...]] = []
    for with_pictures in (False, True):
        some = [problem for problem in ordered if bool(problem.images) == with_pictures]
        batches += [tuple(some[i : i + size]) for i in range(0, len(some), size)]
    return batches


def read_store(path: Path) -> Iterator[Answer]:
    """Answers in a store; a last line that was cut off by a kill is left out, and cut off the file."""
    if not path.is_file():
        return
    body = path.read_bytes()
    whole = body[: body.rfind(b"\n") + 1]
    if len(whole) < len(body):
        os.truncate(path, len(whole))
    for row, line in enumerate(whole.splitlines(), start=1):
        try:
            yield Answer.model_validate_json(line)
        except ValueError as error:
            raise OperatorError(
                "not an answer",
                where=f"{path}:{row}",
                value=line[:60].decode(errors="replace"),
                remedy="delete the line and resume",
            ) from error


def append_answer(path: Path, answer: Answer) -> None:
    """Raises `OperatorError` on a full or read-only disk."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(answer.model_dump_json() + "\n")
    except OSError as error:
        raise OperatorError(
            f"cannot write: {error.strerror}",
            where=str(path),
            remedy="free space or rights on that disk, then resume",
        ) from error


def model_copies(options: GenerateOptions) -> bool:
    """Whether several processes may hold a copy of the student each: vLLM fills its GPU with one, a server has one."""
    return options.backend == "transformers"


def _ask(
    batches: Sequence[tuple[Problem, ...]],
    *,
    model: StudentSource,
    options: GenerateOptions,
    workers: int,
    host: StudentHost | None,
    certificate: Path | None,
) -> Iterator[tuple[str, str]]:
    """(problem id, response) as they come."""
    with ExitStack() as stack:
        served = host if host is not None else stack.enter_context(StudentHost())
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="errata-answers-")))
        read: dict[int, tuple[Path, int]] = {}
        workers = workers if model_copies(options) else 1
        for number in range(min(workers, len(batches))):
            folder = root / str(number)
            folder.mkdir()
            job = EvaluateJob(
                model=model,
                options=options,
                batches=tuple(batches[number::workers]),
                certificate=str(certificate) if certificate else None,
            )
            write_atomic(folder / JOB, job.model_dump_json().encode())
            read[served.start("evaluate", folder)] = folder / ANSWERS, 0
        for event in served.events(read):
            path, offset = read[event.job]
            with path.open("rb") as file:
                file.seek(offset)
                lines = file.read().split(b"\n")[:-1]
            read[event.job] = path, offset + sum(len(line) + 1 for line in lines)
            for line in lines:
                problem, response = json.loads(line)
                yield problem, response
