"""Keys of endpoints, from the environment variables that the settings name. A key is never written to a file."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from errata.tools.errors import OperatorError


def read_keys(names: Sequence[str], *, where: str) -> dict[str, str]:
    """Keys from the environment; raises OperatorError for a variable that is not set."""
    for name in names:
        if not os.environ.get(name):
            remedy = f"export {name}=..., or set {where} to null"
            raise OperatorError("the environment variable is not set", where=where, value=name, remedy=remedy)
    return {name: os.environ[name] for name in names}


_IN_ADDRESS = re.compile(r"(\w+://[^\s:/@]*):\S*@")
_IN_QUERY = re.compile(r"([?&](?:ssl)?password=)[^&\s]*", re.IGNORECASE)


def hide_password(text: str) -> str:
    """The text with the passwords of addresses (scheme://user:password@host, ?password=...) as three stars."""
    return _IN_QUERY.sub(r"\1***", _IN_ADDRESS.sub(r"\1:***@", text))
