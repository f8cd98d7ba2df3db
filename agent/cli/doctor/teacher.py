"""`errata doctor --teacher CONFIG`: what the endpoints of a settings file can do."""

from __future__ import annotations

import os
from pathlib import Path

from errata.agent.cli.doctor.findings import Check
from errata.agent.settings.file import DATA_VARIABLE, load_settings
from errata.agent.settings.keys import read_keys
from errata.tools.errors import OperatorError
from errata.tools.locate.rivals import NEEDS as METHOD_NEEDS
from errata.tools.teacher.chat_asking import REMEDIES, stop_line
from errata.tools.teacher.chat_options import ROLES, ChatOptions, EndpointOptions
from errata.tools.teacher.endpoint import EndpointFault

NEEDED = {"text": None, "logprobs": "set locate.method to teacher_says or another rival, or serve with logprobs"}
"""Capabilities that the chat teacher cannot do without, with what helps; logprobs where the location method asks for
option probabilities."""


def probe_teacher(config: Path) -> list[Check]:
    """One finding for each endpoint and capability. Raises OperatorError if the settings name no endpoint."""
    settings = load_settings(config, data_root=os.environ.get(DATA_VARIABLE))
    chat = settings.teacher.chat
    if chat is None:
        remedy = "give teacher.chat.base_url and teacher.chat.model"
        raise OperatorError("these settings name no endpoint", where=f"{config}: teacher.chat", remedy=remedy)
    keys = read_keys(chat.key_names, where="teacher.chat.key_env")
    checks: list[Check] = []
    asked = set()
    for role in ROLES:
        options = chat.endpoint(role)
        if (options.base_url, options.model) not in asked:
            asked.add((options.base_url, options.model))
            checks += _probe_role(role, chat, keys)
    if settings.embed_endpoint is not None:
        checks.append(_probe_embedding(settings.embed_endpoint))
    if "option_probabilities" not in METHOD_NEEDS.get(settings.locate.method, ()):
        checks = [check._replace(ok=None) if check.name == "logprobs" and not check.ok else check for check in checks]
    return checks


def _probe_embedding(options: EndpointOptions) -> Check:
    from errata.tools.teacher.embedding import open_embedding

    names = [options.key_env] if options.key_env else []
    key = read_keys(names, where="key_env").get(options.key_env or "")
    vectors = open_embedding(options, key=key)(["count the dots", "name a colour"])
    return Check("embeddings", True, f"{vectors.shape[1]} numbers a text from {options.model} at {options.base_url}")


def _probe_role(role: str, chat: ChatOptions, keys: dict[str, str]) -> list[Check]:
    from errata.tools.teacher.openai_endpoint import OpenAIEndpoint
    from errata.tools.teacher.probe import probe_endpoint

    name = next(known for known in ROLES if known == role)
    options = chat.endpoint(name)
    endpoint = OpenAIEndpoint(options, key=keys.get(options.key_env or ""))
    try:
        found = probe_endpoint(endpoint, options=options, top_logprobs=chat.top_logprobs)
    except EndpointFault as fault:
        raise stop_line(fault, role=name, endpoint=options) from None
    finally:
        endpoint.close()
    checks = [Check(f"{options.model}", None, f"at {options.base_url}")]
    for name_, able, seen in found:
        if name_ == "thinking":
            room = able or chat.endpoint(name).thinking_tokens > 0
            checks.append(Check(name_, None if room else False, seen, "put that line into the settings"))
            continue
        ok = True if able else False if name_ in NEEDED else None
        checks.append(Check(name_, ok, seen if able else f"no ({seen})", NEEDED.get(name_) or REMEDIES["connection"]))
    structured = [c.able for c in found if c.name in ("schema (strict)", "tool calls", "plain JSON")]
    if structured and not any(structured):
        checks.append(Check("structured replies", False, "in no way", "use another model"))
    price = chat.prices.get(options.model)
    result = "not in the settings: money stays unknown"
    if price is not None:
        result = f"{price.tokens_in:g} in, {price.tokens_out:g} out"
    return [*checks, Check("price per million tokens", None, result)]
