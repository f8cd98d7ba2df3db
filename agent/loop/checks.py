"""What is checked before a run gets a folder: models, prompts, servers and keys that the settings name."""

from __future__ import annotations

from errata.agent.decide.controls import check_means
from errata.agent.loop.parts import Parts
from errata.agent.settings.keys import read_keys
from errata.agent.settings.tree import Settings
from errata.prompts import PromptMissing, prompt_digest
from errata.tools.errors import OperatorError
from errata.tools.locate.rivals import location_method
from errata.tools.student.source import check_base


def check_parts(settings: Settings) -> None:
    """What the settings name is there, before a folder is made. Raises OperatorError."""
    check_base(settings.student.base)
    check_means(settings)
    _check_dense(settings)
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
    return Parts(key=keys.get(name or ""), keys=read_keys(sorted(names), where="teacher.chat.key_env"))


