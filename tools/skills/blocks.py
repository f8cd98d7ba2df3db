"""Tag a supporting dataset of millions: the same function over blocks of a file, here or on a Ray cluster.

A file of Problem records is cut into blocks of rows. Each block is tagged into a small store of its own
(`tools.tag.tag_required_skills`), so that a killed worker loses at most a batch; when all are done they are joined to
the main store in the order of the file. Repeated after any kill, it asks only for what is missing.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import ValidationError

from errata.tools.errors import OperatorError
from errata.tools.records import Problem
from errata.tools.skills.options import SkillSource
from errata.tools.skills.store import SkillStore
from errata.tools.tag import required_skill_keys, tag_required_skills
from errata.tools.teacher.protocol import Teacher

Where = Literal["here", "ray"]


class Block(NamedTuple):
    """Rows of a file: `row` counts the lines before it, `start` and `end` are bytes."""

    number: int
    row: int
    start: int
    end: int


class Tagged(NamedTuple):
    """How many samples there are, and for how many the teacher was asked in this call."""

    samples: int
    calls: int


class BlockTagger:
    """Tags one block after another; made once in each worker. `make_teacher` must be importable there."""

    def __init__(
        self, *, file: Path, store: Path, make_teacher: Callable[[], Teacher], batch: int, source: SkillSource
    ) -> None:
        self._file, self._store = file, store
        self._teacher, self._batch, self._source = make_teacher(), batch, source
        self._known = SkillStore(store)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """A `Block` as a dict in; its number, samples and calls out."""
        block = Block(**{field: int(row[field]) for field in Block._fields})
        problems = read_block(self._file, block)
        keys = required_skill_keys(problems, teacher=self._teacher, source=self._source)
        there = self._known.find(list(keys.values()))
        open_ = [problem for problem, place in zip(problems, there, strict=True) if place < 0]
        calls = 0
        if open_:
            shard = shard_of(self._store, block.number)
            kwargs: dict[str, Any] = {"teacher": self._teacher, "batch": self._batch, "source": self._source}
            calls = tag_required_skills(open_, store=shard, **kwargs).calls
        return {"number": block.number, "samples": len(problems), "calls": calls}


def tag_file(
    file: Path,
    *,
    store: Path,
    make_teacher: Callable[[], Teacher],
    where: Where = "here",
    workers: int = 2,
    rows: int = 1000,
    batch: int = 256,
    source: SkillSource = "teacher",
) -> Tagged:
    """Required skills of every problem of a JSONL file of Problem records into `store`.

    `rows` per block. With `where="ray"` (extra `scale`) blocks go to `workers` actors of the Ray cluster that the
    process is connected to (a local one is started where there is none); file and store must be reachable from all.
    Raises OperatorError for a row that is no Problem, and where Ray is not installed.
    """
    blocks = cut_blocks(file, rows=rows)
    kwargs = {
        "file": file.absolute(),
        "store": store.absolute(),
        "make_teacher": make_teacher,
        "batch": batch,
        "source": source,
    }
    items = [block._asdict() for block in blocks]
    done = map(BlockTagger(**kwargs), items) if where == "here" else _map_with_ray(items, kwargs, workers=workers)  # type: ignore[arg-type]
    counts = [(int(row["samples"]), int(row["calls"])) for row in done]
    join_shards(store, blocks)
    return Tagged(sum(samples for samples, _ in counts), sum(calls for _, calls in counts))


def cut_blocks(file: Path, *, rows: int) -> list[Block]:
    """Blocks of `rows` lines. Raises OperatorError when there is no such file."""
    blocks: list[Block] = []
    start = end = count = 0
    try:
        with file.open("rb") as opened:
            for count, line in enumerate(opened, start=1):
                end += len(line)
                if count % rows == 0:
                    blocks.append(Block(len(blocks), count - rows, start, end))
                    start = end
    except FileNotFoundError:
        raise OperatorError("no such file", where=str(file), remedy="check the path of the data") from None
    if end > start:
        blocks.append(Block(len(blocks), len(blocks) * rows, start, end))
    return blocks


def read_block(file: Path, block: Block) -> list[Problem]:
    """The problems of a block; raises OperatorError with the row for one that cannot be read."""
    with file.open("rb") as opened:
        opened.seek(block.start)
        lines = opened.read(block.end - block.start).split(b"\n")
    problems = []
    for row, line in enumerate(lines, start=block.row + 1):
        if line.strip():
            try:
                problems.append(Problem.model_validate_json(line))
            except ValidationError as error:
                first = error.errors()[0]
                field = ".".join(map(str, first["loc"])) or "row"
                remedy = "errata data convert writes rows that can be read"
                raise OperatorError(f"field {field!r}: {first['msg']}", where=f"{file}:{row}", remedy=remedy) from error
    return problems


def shard_of(store: Path, number: int) -> Path:
    """Where a block is tagged into, beside the main store."""
    return store.with_name(f"{store.name}.blocks") / f"{number:06d}"


def join_shards(store: Path, blocks: Sequence[Block]) -> None:
    """Append what the blocks' stores hold to the main one, in order, and delete them."""
    with SkillStore(store, writable=True) as main:
        for block in blocks:
            shard = shard_of(store, block.number)
            if shard.exists():
                with SkillStore(shard) as part:
                    keys, skills = part.everything()
                new = [i for i, place in enumerate(main.find(keys)) if place < 0]
                main.add([keys[i] for i in new], [skills[i] for i in new])
    shutil.rmtree(shard_of(store, 0).parent, ignore_errors=True)


def _map_with_ray(items: Sequence[dict[str, int]], kwargs: dict[str, Any], *, workers: int) -> Iterator[dict[str, Any]]:
    try:
        import ray
    except ImportError as error:
        remedy = "pip install 'errata-vlm[scale]', or tag here"
        raise OperatorError("Ray is not installed", where="where", value="ray", remedy=remedy) from error
    blocks = ray.data.from_items(list(items), override_num_blocks=len(items))
    pool = ray.data.ActorPoolStrategy(size=workers)
    yield from blocks.map(BlockTagger, fn_constructor_kwargs=kwargs, compute=pool).iter_rows()
