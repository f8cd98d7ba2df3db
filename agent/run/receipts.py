"""Receipts: a side effect that was done once is not done again.

A graph resumed from its checkpoint starts the interrupted node anew. So each side effect (a reply of the
deciding model, a tool call, an evaluation, a training) leaves a receipt, a small file named after the content
of its inputs and written before the result is used; on the way through the node after a resume the receipt
answers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from errata.agent.run.folder import RunFolder
from errata.tools.records import digest

J = TypeVar("J")


class Receipts:
    """The receipts of one run, in receipts/<hash>.json. Safe for several threads with different inputs."""

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder

    def once(self, kind: str, inputs: object, act: Callable[[], J]) -> J:
        """The JSON-able result of `act()` for these inputs, from the receipt when there is one.

        An exception of `act` leaves no receipt. What comes back went through JSON in both cases, so
        that a first run and a resumed one see the same types.
        """
        name = _name(kind, inputs)
        if not self._folder.has(name):
            self._folder.write_json(name, {"kind": kind, "result": act()})
        result: J = self._folder.read_json(name)["result"]
        return result

    def has(self, kind: str, inputs: object) -> bool:
        """Whether there is a receipt for these inputs."""
        return self._folder.has(_name(kind, inputs))

    def read(self, kind: str, inputs: object) -> Any:
        """The result that `once` kept for these inputs. Raises LookupError when it did not."""
        kept = self._folder.read_json(_name(kind, inputs))
        if kept is None:
            raise LookupError(f"no receipt of {kind} for {inputs}")
        return kept["result"]


def _name(kind: str, inputs: object) -> str:
    return f"receipts/{digest(kind, inputs, length=24)}.json"
