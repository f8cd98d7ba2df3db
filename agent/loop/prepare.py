"""Before the graph: read the splits and keep them apart. A resume repeats it, which is cheap."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path

from errata.agent.run.folder import RunFolder
from errata.agent.run.receipts import Receipts
from errata.agent.run.reporter import Reporter
from errata.agent.run.teacher.split_guard import TestSplitGuard
from errata.agent.settings.data import DataSettings, SourceSettings
from errata.agent.settings.sources import read_source
from errata.agent.settings.tree import Settings
from errata.tools.data.firewall import Firewall, FirewallOptions, Overlap, check_firewall
from errata.tools.errors import OperatorError
from errata.tools.records import Problem, SkippedRow, Split, digest

SPLITS: tuple[Split, ...] = ("pool", "diagnosis", "gate", "test")
Problems = dict[Split, dict[str, Problem]]


def read_splits(
    settings: DataSettings, *, worlds: Path, on_progress: Callable[[int, int], None] | None = None
) -> tuple[Problems, list[SkippedRow]]:
    """All splits by id, and the rows that are not used. Raises OperatorError for data that cannot be used.

    `worlds`: where worlds are drawn; a world that is there is used again. `on_progress` is called while it is drawn.
    """
    if settings.world is not None:
        from errata.tools.world.generate import generate_world, world_name

        seed, sizes = settings.world.seed, settings.world.sizes
        place = worlds / world_name(seed=seed, sizes=sizes)
        world = generate_world(place, seed=seed, sizes=sizes, on_progress=on_progress)
        sources = {split: SourceSettings(path=str(world.folder / f"{split}.jsonl")) for split in SPLITS}
    else:
        given = {split: getattr(settings, split) for split in SPLITS}
        sources = {split: source for split, source in given.items() if isinstance(source, SourceSettings)}
    problems: Problems = {}
    skipped: list[SkippedRow] = []
    for split in SPLITS:
        source = sources[split]
        found = read_source(settings, source, split=split, runs=worlds.parent)
        if not found.problems:
            what = f"no questions are left after an offset of {source.offset}"
            raise OperatorError(what, where=f"data.{split}", remedy="lower the offset")
        problems[split] = {problem.id: problem for problem in found.problems}
        skipped += found.skipped
    return problems, list(dict.fromkeys(skipped))  # two splits may be parts of one file


def keep_apart(
    problems: Problems, *, options: FirewallOptions, receipts: Receipts, guard: TestSplitGuard
) -> tuple[Problems, list[Overlap]]:
    """The splits without the overlapping problems, and the overlaps. Raises OperatorError under the policy `stop`.

    The pool is compared with all other splits; diagnosis and gate are compared with the questions of test.
    """
    others: dict[Split, list[Problem]] = {split: list(problems[split].values()) for split in SPLITS if split != "pool"}
    prints = [split_digest(problems[split]) for split in SPLITS]

    def act() -> list[dict[str, object]]:
        result = check_firewall(list(problems["pool"].values()), against=others, options=options)
        return [overlap.model_dump(mode="json") for overlap in result.overlaps]

    kept = receipts.once("firewall", [prints, options.model_dump(mode="json")], act)
    overlaps = [Overlap.model_validate(value) for value in kept]
    out: dict[Split, set[str]] = {"pool": {overlap.pool for overlap in overlaps}}
    for split in ("diagnosis", "gate"):
        shown = [problem for problem in problems[split].values() if guard.shows(problem)]
        if shown and options.policy == "stop":
            what = f"{split} problem {shown[0].id!r} is also in test; {len(shown)} of {len(problems[split])} are"
            remedy = "take them out, or set firewall.policy to exclude"
            raise OperatorError(what, where="firewall", remedy=remedy)
        out[split] = {problem.id for problem in shown}
        overlaps += [Overlap(pool=p.id, other=p.id, split="test", kind=f"{split} question") for p in shown]
    apart: Problems = {
        split: {name: p for name, p in found.items() if name not in out.get(split, ())}
        for split, found in problems.items()
    }
    empty = [split for split in SPLITS if not apart[split]]
    if empty:
        raise OperatorError(f"nothing is left of {empty[0]}", where="firewall", remedy="give other questions")
    return apart, overlaps


def make_overlap_check(problems: Problems, *, options: FirewallOptions) -> Callable[[Problem], str | None]:
    """The firewall for made samples: a function that gives the reason why a sample may not be trained on, or None.

    The same rules hold as for the pool. If both sides were drawn exactly, their scenes are compared instead of their
    looks. The reason names no problem, since the deciding model reads it and must not see the test split.
    """
    firewall = Firewall({split: list(problems[split].values()) for split in SPLITS if split != "pool"}, options=options)

    def overlap_of(problem: Problem) -> str | None:
        met = next(firewall.find([problem]), None)
        return None if met is None else f"overlaps {met.split} by {met.kind}"

    return overlap_of


def check_ids(problems: Problems) -> None:
    """Raise OperatorError when two splits share an id: records name problems by id alone."""
    owner: dict[str, Split] = {}
    for split, found in problems.items():
        for name in found:
            if name in owner and "pool" not in (split, owner[name]):
                remedy = "make ids unique over all splits, or cut the splits apart with offset and limit"
                raise OperatorError(
                    f"{owner[name]} and {split} share a problem", where="data", value=name, remedy=remedy
                )
            owner[name] = split


def split_digest(problems: Mapping[str, Problem]) -> str:
    """Digest of the questions; the folder that they lie in does not change it."""
    return digest(
        [
            [p.id, p.question, p.choices, p.target, p.skills, [image.sha256 for image in p.images]]
            for p in problems.values()
        ]
    )


def prepare_problems(
    settings: Settings, *, folder: RunFolder, receipts: Receipts, reporter: Reporter
) -> tuple[Problems, TestSplitGuard]:
    """Read, check, keep apart; write manifest.json, skipped.jsonl and overlaps.jsonl.

    Raises OperatorError when the data are not those that the run began with.
    """
    world = settings.data.world
    total = sum(world.sizes.model_dump().values()) if world else 0
    began = time.monotonic()
    reporter.stage_started("prepare", iteration=0, total=total)

    def advance(done: int, total: int) -> None:
        reporter.stage_advanced("prepare", iteration=0, done=done, total=total, correct=None)

    worlds = folder.path.parent / ".worlds"
    problems, skipped = read_splits(settings.data, worlds=worlds, on_progress=advance)
    check_ids(problems)
    guard = TestSplitGuard(problems["test"].values())
    manifest = {split: {"questions": len(found), "digest": split_digest(found)} for split, found in problems.items()}
    before = folder.read_json("manifest.json")
    for split in SPLITS:
        if before is not None and before.get(split) != manifest[split]:
            remedy = "put the old data back, or start a new run"
            raise OperatorError(f"the {split} data changed since the run began", where=str(folder.path), remedy=remedy)
    apart, overlaps = keep_apart(problems, options=settings.firewall, receipts=receipts, guard=guard)
    folder.write_records("skipped.jsonl", skipped)
    folder.write_records("overlaps.jsonl", overlaps)
    folder.write_json("manifest.json", manifest)
    counts = ", ".join(f"{split} {len(apart[split])}" for split in SPLITS)
    bad = sum(row.bad for row in skipped)
    rows = f"{len(skipped)} rows skipped ({bad} of them bad)" if bad else f"{len(skipped)} rows skipped"
    summary = f"{counts}; {rows}, {len(overlaps)} overlaps left out"
    folder.event("stage_ended", stage="prepare", iteration=0, summary=summary)
    reporter.stage_ended("prepare", iteration=0, seconds=time.monotonic() - began, summary=summary)
    return apart, guard
