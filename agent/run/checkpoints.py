"""The adapters of a run on disk: room for the next one, and which old ones are removed (run.keep_checkpoints)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from errata.agent.run.disk import disk_faults
from errata.agent.run.folder import RunFolder
from errata.agent.settings.run_settings import Keep
from errata.agent.settings.tree import Settings
from errata.tools.disk_space import check_space, say_bytes
from errata.tools.lora_size import estimate_lora_bytes
from errata.tools.records import Checkpoint, Record, Scorecard

CHECKPOINTS, PRUNED = "checkpoints", "pruned.jsonl"
STATE_COPIES = 6
"""Adapters on disk at most during a training: a state holds the adapter and two moments of the optimiser, and a new
state is written beside the old one."""
KEPT_SUFFIX = ".json"
"""What a checkpoint says of itself stays; it is small."""


class PrunedCheckpoint(Record):
    """A checkpoint whose adapter was removed. Its records stay."""

    id: str
    bytes: int
    reason: str


def prune_checkpoints(folder: RunFolder, *, keep: Keep, best: str) -> list[PrunedCheckpoint]:
    """Remove the adapters that the policy does not keep, and return those; called when an iteration is committed.

    A resume trains from the base and reads answers from their files, so that only `best` can be needed again. It is
    written down first: a kill in between removes the rest the next time. Raises OperatorError for a disk fault.
    """
    checkpoints = folder.read_records("checkpoints.jsonl", Checkpoint)
    cards = folder.read_records("scorecards.jsonl", Scorecard)
    accuracy = {card.checkpoint: card.accuracy.value for card in cards if card.split == "gate"}
    removed = []
    for checkpoint in checkpoints:
        path = (folder.path / checkpoint.folder).resolve()
        inside = path.is_relative_to(folder.path / CHECKPOINTS) and path != folder.path / CHECKPOINTS
        if checkpoint.parent is None or not inside:
            continue
        files = [p for p in path.rglob("*") if p.is_file() and p.suffix != KEPT_SUFFIX]
        if files and checkpoint.id not in choose_kept(checkpoints, keep=keep, best=best, accuracy=accuracy):
            removed.append(_remove(checkpoint, files, folder=folder, keep=keep))
    return removed


def choose_kept(checkpoints: Sequence[Checkpoint], *, keep: Keep, best: str, accuracy: Mapping[str, float]) -> set[str]:
    """Ids that the policy keeps; `accuracy` is that on the gate, and of equal ones the later is the better."""
    trained = [c.id for c in checkpoints if c.parent is not None]
    if keep == "all":
        return set(trained)
    if keep == "best":
        return {best}
    places = {name: place for place, name in enumerate(trained)}
    ranked = sorted((name for name in trained if name in accuracy), key=lambda n: (-accuracy[n], -places[n]))
    return {best, *ranked[:keep], *trained[-1:]}


def _remove(checkpoint: Checkpoint, files: Sequence[Path], *, folder: RunFolder, keep: Keep) -> PrunedCheckpoint:
    size = sum(path.stat().st_size for path in files)
    reason = f"not among those that run.keep_checkpoints={keep} keeps"
    pruned = PrunedCheckpoint(id=checkpoint.id, bytes=size, reason=reason)
    if checkpoint.id not in {p.id for p in read_pruned(folder)}:
        folder.merge_records(PRUNED, [pruned], kind=PrunedCheckpoint)
        folder.event("checkpoint_removed", checkpoint=checkpoint.id, bytes=size)
    with disk_faults(folder.path / checkpoint.folder):
        for path in files:
            path.unlink(missing_ok=True)
    return pruned


def read_pruned(folder: RunFolder) -> list[PrunedCheckpoint]:
    """Checkpoints whose adapter was removed, in the order of removal."""
    return folder.read_records(PRUNED, PrunedCheckpoint)


def describe_pruned(pruned: Sequence[PrunedCheckpoint]) -> str:
    """Number and size as text; empty where nothing was removed."""
    if not pruned:
        return ""
    noun = "adapter" if len(pruned) == 1 else "adapters"
    return f"{len(pruned)} {noun} removed, {say_bytes(sum(p.bytes for p in pruned))}"


def check_training_space(settings: Settings, *, folder: RunFolder) -> None:
    """Raise OperatorError, before a training, if its adapter and states do not fit on the disk of the run."""
    recipe = settings.train
    size = estimate_lora_bytes(settings.student.base, rank=recipe.lora_rank, targets=recipe.target_modules)
    remedy = "make room, then resume; run.keep_checkpoints=best keeps the next run small"
    what = f"a training with its saved states ({STATE_COPIES} times an adapter of {say_bytes(size)})"
    check_space(folder.path / CHECKPOINTS, need=STATE_COPIES * size, what=what, remedy=remedy)
