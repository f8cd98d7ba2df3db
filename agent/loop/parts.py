"""The replaceable parts of a run: built from the settings, or given by a front end or a test."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from langchain_core.language_models.chat_models import BaseChatModel

from errata.agent.run.context import Student
from errata.agent.run.folder import PAID, RunFolder
from errata.agent.settings.tree import Settings, TeacherSettings
from errata.prompts import prompt_digest
from errata.tools.teacher.chat_options import ROLES, ChatOptions
from errata.tools.teacher.protocol import Teacher

if TYPE_CHECKING:
    from errata.tools.teacher.chat_stack import ChatStack

PROMPTS = (
    *("mistake_step", "step_check", "pseudo_rationale", "teacher_says"),
    *("missing_skill", "required_skills", "canonical_names", "judge", "propose", "failure_analysis"),
)
"""Prompts of the chat teacher."""


class Parts(NamedTuple):
    """Parts that a front end or a test may give; None means: build it from the settings."""

    student: Student | None = None
    teacher: Teacher | None = None
    decider: BaseChatModel | None = None
    key: str | None = None
    """Key of the deciding model's endpoint."""
    keys: Mapping[str, str] = {}
    """Keys of the teacher's endpoints, by the environment variable that holds them."""


def chat_stack(settings: Settings, *, folder: RunFolder, parts: Parts, stack: contextlib.ExitStack) -> ChatStack | None:
    """Connections, cache and caps of the endpoints, closed with `stack`; None if the run uses no endpoint."""
    decide, options, embed = settings.decide, settings.teacher.chat, settings.embed_endpoint
    if settings.teacher.kind != "chat" and decide.model == "rules" and embed is None:
        return None
    from errata.tools.teacher.chat_stack import ChatStack

    if options is None and decide.model != "rules":
        options = ChatOptions(base_url=decide.base_url or "", model=decide.model, key_env=decide.key_env)
    if options is None and embed is not None:
        options = ChatOptions(base_url=embed.base_url, model=embed.model)
    assert options is not None, "a chat teacher without an endpoint is refused with the settings"
    keys = {**parts.keys, **({decide.key_env: parts.key} if decide.key_env and parts.key else {})}
    return stack.enter_context(ChatStack(options, keys=keys, path=folder.path / PAID, run=folder.id))


def identify_teacher(settings: TeacherSettings) -> object:
    """The settings that change the teacher's replies. Retries, caps and prices of an endpoint do not."""
    if settings.kind != "chat" or settings.chat is None:
        return settings.model_dump(mode="json", exclude={"chat"})
    shared = settings.chat.model_dump(mode="json", include={"images", "top_logprobs", "unanswered"})
    decisive = {"model", "max_tokens", "temperature"}
    roles = {role: settings.chat.endpoint(role).model_dump(include=decisive) for role in ROLES}
    return [settings.kind, shared, roles, [prompt_digest(name) for name in PROMPTS]]


def build_teacher(settings: Settings, *, chat: ChatStack | None = None) -> Teacher:
    """The teacher that the settings name; a chat teacher sends through `chat`."""
    if settings.teacher.kind == "chat" and chat is not None:
        from errata.tools.world.programs import FAMILIES

        return chat.teacher(families=tuple(FAMILIES) if settings.data.world else ())
    if settings.teacher.kind == "annotations":
        from errata.tools.teacher.annotations import AnnotationsTeacher

        return AnnotationsTeacher()
    if settings.teacher.kind == "local":
        from errata.tools.teacher.local import LocalTeacher

        return LocalTeacher(settings.teacher.local)
    from errata.tools.teacher.world import WorldTeacher

    return WorldTeacher(settings.teacher.world)
