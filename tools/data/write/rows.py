"""One problem as one row of each format that is written.

Every row carries the problem itself in the field `errata`, which other programs ignore: what a conversation
cannot say (the split, the skills, the metadata, the choices as a list) comes back when the row is read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

from errata.tools.data.chat import CARRIED, carry_problem, render_turns
from errata.tools.data.marks import MARK
from errata.tools.records import Problem

WriteFormat = Literal["llava", "sharegpt", "messages", "errata"]


def llava_row(problem: Problem, paths: Sequence[str], *, lists: bool) -> dict[str, Any]:
    """`image` is one path, or in every row a list when one row of the file has several (`lists`)."""
    pictures: dict[str, Any] = {"image": list(paths)} if lists else {"image": paths[0]} if paths else {}
    return {"id": problem.id, **pictures, "conversations": _spoken(problem), CARRIED: carry_problem(problem)}


def sharegpt_row(problem: Problem, paths: Sequence[str], *, lists: bool) -> dict[str, Any]:
    """`images` is always a list."""
    del lists
    return {
        "id": problem.id,
        "conversations": _spoken(problem),
        "images": list(paths),
        CARRIED: carry_problem(problem),
    }


def messages_row(problem: Problem, paths: Sequence[str], *, lists: bool) -> dict[str, Any]:
    """Typed parts: one `image` part per picture, in the order of `images`, then the text."""
    del lists
    question, answer = render_turns(problem)
    asked = [*({"type": "image"} for _ in paths), {"type": "text", "text": question}]
    return {
        "id": problem.id,
        "messages": [
            {"role": "user", "content": asked},
            {"role": "assistant", "content": [{"type": "text", "text": answer}]},
        ],
        "images": list(paths),
        CARRIED: carry_problem(problem),
    }


def errata_row(problem: Problem, paths: Sequence[str], *, lists: bool) -> dict[str, Any]:
    """The record, its pictures by their new paths."""
    del lists
    fields = problem.model_dump(mode="json")
    fields["images"] = [{"path": p, "sha256": i.sha256} for p, i in zip(paths, problem.images, strict=True)]
    return fields


def _spoken(problem: Problem) -> list[dict[str, str]]:
    question, answer = render_turns(problem)
    marks = f"{MARK}\n" * len(problem.images)
    return [{"from": "human", "value": marks + question}, {"from": "gpt", "value": answer}]


MakeRow = Callable[..., dict[str, Any]]
WRITERS: dict[WriteFormat, MakeRow] = {
    "llava": llava_row,
    "sharegpt": sharegpt_row,
    "messages": messages_row,
    "errata": errata_row,
}
