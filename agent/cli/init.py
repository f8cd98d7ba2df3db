"""`errata init`: look at a model, data, a pool and an endpoint, say what was found, and write a settings file."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from errata.agent.run.disk import write_atomically
from errata.agent.settings.first_settings import (
    DataFound,
    ModelFound,
    TeacherFound,
    inspect_data,
    inspect_model,
    render_settings,
)
from errata.agent.settings.places import OWN_SETTINGS
from errata.tools.errors import OperatorError

QUESTIONS = {
    "model": "Folder of your vision-language model",
    "data": "File with your labelled questions",
    "pool": "File with training samples to choose from",
    "teacher": "Address of an OpenAI-compatible endpoint for the teacher",
}
KEY_VARIABLE = "OPENAI_API_KEY"
CONNECT_SECONDS = 10.0


def run_init(arguments: argparse.Namespace) -> int:
    """Write the file; with --json print what was found as one object."""
    out: Path = arguments.out or OWN_SETTINGS
    if out.exists() and not arguments.force:
        remedy = "give --force, or another name with --out"
        raise OperatorError("there is a file already", where=str(out), remedy=remedy)
    if not any(getattr(arguments, name) for name in QUESTIONS) and not arguments.json and sys.stdin.isatty():
        ask_for_parts(arguments)
    if arguments.data is None and (arguments.pool or arguments.model):
        given = "--pool" if arguments.pool else "--model"
        raise OperatorError(f"{given} needs questions of your own", where="--data", remedy="give --data FILE")
    model = inspect_model(arguments.model) if arguments.model else None
    data = inspect_data(arguments.data, whole=True) if arguments.data else None
    pool = inspect_data(arguments.pool, whole=False) if arguments.pool else None
    teacher = find_teacher(arguments.teacher, arguments.teacher_model) if arguments.teacher else None
    text = render_settings(data=data, pool=pool, model=model, teacher=teacher, folder=out.absolute().parent)
    write_atomically(out, text)
    lines = describe_found(data=data, pool=pool, model=model, teacher=teacher)
    if arguments.json:
        print(json.dumps({"file": str(out), "found": lines}))
    else:
        print("\n".join([*lines, f"wrote {out}; check it with: errata run{_named(out)} --dry-run"]))
    return 0


def _named(out: Path) -> str:
    return "" if out == OWN_SETTINGS else f" {out}"


def ask_for_parts(arguments: argparse.Namespace) -> None:
    """Ask a person for each part; an empty line leaves it out."""
    for name, question in QUESTIONS.items():
        answer = input(f"{question} (empty: none): ").strip()
        if answer:
            setattr(arguments, name, answer if name == "teacher" else Path(os.path.expanduser(answer)))


def describe_found(
    *, data: DataFound | None, pool: DataFound | None, model: ModelFound | None, teacher: TeacherFound | None
) -> list[str]:
    """One line for each part, and what is missing."""
    lines = [f"model:   {model.path} is {model.text}"] if model else []
    lines += [f"data:    {data.text}"] if data else ["data:    none; the embedded world is used"]
    lines += [f"pool:    {pool.text}"] if pool else []
    lines += [f"teacher: {teacher.model} at {teacher.url}"] if teacher else []
    if data and not model:
        lines.append("model:   none; the embedded student stands in its place and knows little of such questions")
    if data and not pool:
        lines.append("pool:    none; a part of the data is the pool")
    if data and not teacher:
        skills = pool.with_skills if pool else data.with_skills
        rest = "" if skills and data.with_skills else "; YOUR DATA NAME NONE, so that a run will find nothing to fetch"
        lines.append(f"teacher: none; skills that the data name take its place{rest}")
    return lines


def find_teacher(url: str, model: str | None) -> TeacherFound:
    """The endpoint with its model; asks it for its models where none is named. Raises OperatorError."""
    if not url.startswith(("http://", "https://")):
        remedy = "write it as http://HOST:PORT/v1"
        raise OperatorError("no address of an endpoint", where="--teacher", value=url, remedy=remedy)
    key = os.environ.get(KEY_VARIABLE)
    if model is None:
        import openai

        client = openai.OpenAI(base_url=url, api_key=key or "none", max_retries=0, timeout=CONNECT_SECONDS)
        try:
            names = [found.id for found in client.models.list().data]
        except (openai.OpenAIError, ValueError, TypeError, AttributeError) as error:
            said = str(error).splitlines()[0] if str(error) else type(error).__name__
            remedy = "start it, check the address, or name the model with --teacher-model"
            what = f"the endpoint lists no models ({said})"
            raise OperatorError(what, where="--teacher", value=url, remedy=remedy) from None
        finally:
            client.close()
        if not names:
            remedy = "name the model with --teacher-model"
            raise OperatorError("the endpoint has no model", where="--teacher", value=url, remedy=remedy)
        model = names[0]
    return TeacherFound(url, model, KEY_VARIABLE if key else None)
