"""Three errors for three readers.

`ReplyError` is read by a model: its text goes back as the tool's answer, and the number of times is bounded.
`OperatorError` is read by the person at the keyboard: one line, no traceback, exit code 2.
Everything else is a bug and keeps its traceback.
"""

from __future__ import annotations


class ErrataError(Exception):
    """The root of what Errata raises on purpose."""


class ReplyError(ErrataError):
    """A model said something that cannot be used; the text tells it what to say instead."""


class OperatorError(ErrataError):
    """Something that a person has to mend.

    The line reads `where: what: value: remedy`; `where` is a file (with a row) or a setting.
    """

    def __init__(self, what: str, *, where: str = "", value: object = None, remedy: str = "") -> None:
        self.what, self.where, self.value, self.remedy = what, where, value, remedy
        parts = [where] if where else []
        parts.append(what if value is None else f"{what} (got {value!r})")
        line = ": ".join(parts)
        super().__init__(" ".join(f"{line}; {remedy}".split()) if remedy else " ".join(line.split()))


class BudgetSpent(ErrataError):
    """A cap would be passed by the next step; the run ends in order and says which cap."""


class StopRequested(ErrataError):
    """The user asked for a stop; the current step is finished and the state is on disk."""
