"""What a base model is called outside this machine, and what its folder says of it."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import yaml

from errata.tools.errors import OperatorError
from errata.tools.records import Record

_CACHED = re.compile(r"models--([^/]+)--([^/]+)/snapshots/([0-9a-f]{40})/?$")
"""A folder of the Hugging Face cache: owner, name, commit."""
HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
LINK, WEIGHTS = "README.md", "*.safetensors"


class BaseModel(Record):
    """The model that an adapter was trained from."""

    folder: str
    """Where it lies on this machine; also what transformers loads."""
    name: str
    """What adapter_config.json calls it: the hub's name, or the folder."""
    hub: str | None
    """OWNER/NAME on the hub; None where only this machine knows the base."""
    revision: str | None
    """Commit on the hub, where the folder is one of its cache."""
    family: str
    """`model_type` of its config.json."""
    config_sha256: str
    licence: str | None
    """As its README.md states it; None where it does not."""
    weight_bytes: int
    """Bytes of its safetensors files."""


def describe_base(folder: str, *, name: str | None = None) -> BaseModel:
    """Look at the folder of a base. `name`: OWNER/NAME on the hub; without it the folder's place in the cache tells.

    The name inside config.json is not used: for a model that was tuned further it is the name of another model.
    Raises OperatorError for a name that the hub cannot have, and for a folder without a readable config.json.
    """
    cached = _CACHED.search(folder)
    hub = name or (f"{cached[1]}/{cached[2]}" if cached else None)
    if hub is not None and not HUB_NAME.fullmatch(hub):
        remedy = "write OWNER/NAME, e.g. llava-hf/llava-1.5-7b-hf"
        raise OperatorError("no name of a model on the hub", where="--base", value=hub, remedy=remedy)
    path = Path(folder) / "config.json"
    try:
        body = path.read_bytes()
        config = json.loads(body)
    except (OSError, ValueError) as error:
        remedy = "put the base back where the run found it; errata show RUN names it in settings.yaml"
        raise OperatorError("the base cannot be read", where=str(path), value=str(error)[:120], remedy=remedy) from None
    return BaseModel(
        folder=folder,
        name=hub or folder,
        hub=hub,
        revision=cached[3] if cached and name in (None, f"{cached[1]}/{cached[2]}") else None,
        family=str(config.get("model_type", "not stated")) if isinstance(config, dict) else "not stated",
        config_sha256=hashlib.sha256(body).hexdigest(),
        licence=_stated_licence(Path(folder) / LINK),
        weight_bytes=sum(p.stat().st_size for p in Path(folder).glob(WEIGHTS)),
    )


def _stated_licence(card: Path) -> str | None:
    """The licence in the front matter of a model card; None where there is no card, or none is stated."""
    try:
        text = card.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    parts = re.split(r"^---\s*$", text, maxsplit=2, flags=re.M)
    if len(parts) < 3 or parts[0].strip():
        return None
    try:
        matter: Any = yaml.safe_load(parts[1])
    except yaml.YAMLError:
        return None
    stated = matter.get("license") if isinstance(matter, dict) else None
    return ", ".join(map(str, stated)) if isinstance(stated, list) else str(stated) if stated else None
