"""What is checked before a run gets a folder: models, prompts, servers and keys that the settings name."""

from __future__ import annotations

import sys

from errata.agent.decide.controls import check_means
from errata.agent.loop.checkpointer import check_checkpointer
from errata.agent.loop.parts import Parts
from errata.agent.settings.keys import read_keys
from errata.agent.settings.run_settings import RunSettings
from errata.agent.settings.tree import Settings
from errata.prompts import PromptMissing, prompt_digest
from errata.tools.errors import OperatorError
from errata.tools.locate.rivals import location_method
from errata.tools.student.source import check_base


def check_parts(settings: Settings) -> None:
    """What the settings name is there, before a folder is made. Raises OperatorError."""
    check_base(settings.student.base)
    if settings.student.trust_remote_code:
        print(f"warning: Python files in {settings.student.base} are run to open the student", file=sys.stderr)
    check_means(settings)
    _check_dense(settings)
    check_checkpointer(settings.run, password=_find_password(settings.run))
    location_method(settings.locate.method)
    try:
        prompt_digest(settings.student.prompt)
    except PromptMissing as error:
        raise OperatorError(str(error), where="student.prompt", remedy="name one of them") from None


def _check_dense(settings: Settings) -> None:
    if settings.diagnosed and settings.retrieve.embedding != "none":
        from errata.tools.retrieve.embeddings import make_embedding

        make_embedding(settings.embedding_options)
    if settings.diagnosed and settings.skills.tag == "all" and settings.retrieve.chroma_server is not None:
        from errata.tools.retrieve.chroma import check_server

        check_server(settings.retrieve.chroma_server)


def find_parts(settings: Settings) -> Parts:
    """The key of the deciding model, from the environment variable that the settings name."""
    name = settings.decide.key_env
    keys = {} if name is None else read_keys([name], where="decide.key_env")
    chat, embed = settings.teacher.chat if settings.teacher.kind == "chat" else None, settings.embed_endpoint
    names = {*(chat.key_names if chat else ()), *((embed.key_env,) if embed and embed.key_env else ())}
    given = read_keys(sorted(names), where="teacher.chat.key_env")
    if settings.student.generate.backend == "server" and (own := settings.student.generate.server.key_env):
        read_keys([own], where="student.generate.server.key_env")  # read again by the process that answers
    password, variable = _find_password(settings.run), settings.run.checkpointer_password_env
    return Parts(key=keys.get(name or ""), keys={**given, **({variable: password} if variable and password else {})})


def _find_password(settings: RunSettings) -> str | None:
    """The database's password, from the variable that the settings name; None where they name none."""
    name = settings.checkpointer_password_env
    return None if name is None else read_keys([name], where="run.checkpointer_password_env")[name]
