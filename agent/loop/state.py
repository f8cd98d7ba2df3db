"""The graph's state: round, stage, ids and numbers. Records live in the run folder."""

from __future__ import annotations

from typing import Annotated, TypedDict

from errata.agent.decide.batch import Allotment


def union(left: dict[str, int], right: dict[str, int]) -> dict[str, int]:
    """Reducer of `finished`: each branch reports its own key, in any order."""
    return dict(sorted({**left, **right}.items()))


class BranchState(TypedDict):
    """Input of one branch of `investigate`."""

    iteration: int
    best: str
    allotment: Allotment


class LoopState(TypedDict):
    """What a checkpoint of the graph holds."""

    iteration: int
    """0 while the base is measured."""
    stage: str
    checkpoint: str
    """The one that is being trained or judged."""
    best: str
    """The best one so far; its errors are investigated."""
    no_gain: int
    accepted: int
    withdrawn: list[int]
    allotments: list[Allotment]
    finished: Annotated[dict[str, int], union]
    """How many decisions each batch took."""
    dry: bool
    """The iteration brought no lesson."""
    stop: str
    """Empty while the loop goes on."""


def first_state(base: str) -> LoopState:
    """The state at the start; `base` is the id of the base checkpoint."""
    return LoopState(
        iteration=0,
        stage="start",
        checkpoint=base,
        best=base,
        no_gain=0,
        accepted=0,
        withdrawn=[],
        allotments=[],
        finished={},
        dry=False,
        stop="",
    )
