"""The embedded dataset: pool, diagnosis, gate and test, with pictures, written once per seed and size.

A question (its words and options) belongs to exactly one split by its digest; a scene is used once. Both are asserted
after writing, because everything that is measured in the world rests on it.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import random
import shutil
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

from errata.tools.errors import OperatorError
from errata.tools.records import ImageRef, Problem, Record, Split, digest, seed_of, to_jsonl
from errata.tools.world.draw import draw_scene, encode_png
from errata.tools.world.programs import FAMILIES
from errata.tools.world.questions import Question, sample_question
from errata.tools.world.skills import SKILLS

VERSION = "13"
"""Changes whenever the same seed would give other questions or pictures."""
FREE_FORM_SHARE = 0.3
PIECE = 400

KNOWN = (
    "read_colour",
    "read_shape",
    "read_size",
    "read_pole",
    "find_position",
    "count",
    "left_of",
    "above",
    "majority",
    "alternation",
)
HARD = ("find_position", "count", "left_of", "above", "compare_counts", "odd_one_out")
"""Skills that compare many things at once; the shipped student is weak at them and slow to learn them."""
LACKING = ("compare_counts", "progression", "odd_one_out", "mix", "poles", "reflection")
"""The skills that the shipped base student was not taught; see its model card."""


class WorldSizes(Record):
    """How many questions each split has."""

    pool: int = 20_000
    diagnosis: int = 400
    gate: int = 200
    test: int = 1_000


class World(NamedTuple):
    """What `generate_world` wrote."""

    folder: Path
    counts: dict[Split, int]


_SALT = "split-0"
"""Chosen so that every form of every family has at least two questions in every split (tested)."""
_SHARES: tuple[tuple[Split, float], ...] = (
    ("pool", 0.5),
    ("diagnosis", 0.17),
    ("gate", 0.15),
    ("test", 0.18),
)


def split_of_question(key: str) -> Split:
    """The split that owns a question, from its digest alone: pool 50 %, diagnosis 17 %, gate 15 %, test 18 %."""
    point = int(digest(_SALT, key), 16) / 16**16
    for split, share in _SHARES:
        if point < share:
            return split
        point -= share
    return _SHARES[-1][0]


def family_weights(split: Split) -> dict[str, float]:
    """Share of each family. In the pool the lacking skills are 4 % each, and the others equal parts of the rest.

    Validation and test are the target task: 17.5 % for each lacking skill, 1.5 % for each of the hard ones.
    """
    if split == "pool":
        shares = dict.fromkeys(SKILLS, (1 - 0.04 * len(LACKING)) / len(KNOWN)) | dict.fromkeys(LACKING, 0.04)
    else:
        easy = [skill for skill in KNOWN if skill not in HARD]
        lacking = [skill for skill in LACKING if skill not in HARD]
        rest = (1 - 0.175 * len(lacking) - 0.015 * len(HARD)) / len(easy)
        shares = dict.fromkeys(easy, rest) | dict.fromkeys(lacking, 0.175) | dict.fromkeys(HARD, 0.015)
    by_focus = {skill: [f.name for f in FAMILIES.values() if f.focus == skill] for skill in SKILLS}
    return {name: shares[skill] / len(names) for skill, names in by_focus.items() for name in names}


def word_skills(question: Question, rng: random.Random, *, split: Split) -> tuple[str, ...]:
    """Required skills: in the pool each in one of its wordings, elsewhere in the canonical one."""
    wordings = [SKILLS[name].wordings for name in question.skills]
    return tuple(rng.choice(words) if split == "pool" else words[0] for words in wordings)


def make_problem(question: Question, *, split: Split, image: ImageRef, skills: tuple[str, ...]) -> Problem:
    """The record of a question whose picture is already drawn."""
    letters = "ABCDEFGH"
    target = letters[question.options.index(question.answer)] if question.options else question.answer
    return Problem(
        id=f"{split}-{digest(question.text, question.options, question.scene.encode(), length=12)}",
        images=(image,),
        question=question.text,
        choices=question.options,
        target=target,
        rationale=question.rationale,
        split=split,
        skills=skills,
        scoring="choice" if question.options else "exact",
        metadata={"family": question.family.name, "scene": question.scene.encode()},
    )


def write_picture(question: Question, folder: Path) -> ImageRef:
    """Draw the scene into `folder/images` and return the reference, its path relative to `folder`."""
    png = encode_png(draw_scene(question.scene))
    sha = hashlib.sha256(png).hexdigest()
    path = Path("images") / sha[:2] / f"{sha[:20]}.png"
    target = folder / path
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(png)
    return ImageRef(path=str(path), sha256=sha)


def plan_families(split: Split, count: int, *, seed: int) -> list[str]:
    """The families of `count` questions of a split in random order, shares rounded by largest remainder."""
    exact = {name: weight * count for name, weight in family_weights(split).items()}
    quota = {name: int(value) for name, value in exact.items()}
    for name in sorted(exact, key=lambda n: (quota[n] - exact[n], n))[: count - sum(quota.values())]:
        quota[name] += 1
    order = [name for name, number in quota.items() for _ in range(number)]
    random.Random(seed_of("order", seed, split)).shuffle(order)
    return order


class Piece(NamedTuple):
    """Up to `PIECE` questions of one split; pieces are independent, so that they can be written side by side."""

    folder: Path
    split: Split
    families: list[str]
    seed: int


class Written(NamedTuple):
    """What came of a piece: its lines, and what must not occur twice or in two splits."""

    lines: str
    scenes: list[str]
    keys: set[str]


def write_piece(piece: Piece) -> Written:
    """Draw the pictures of a piece and return its problems."""
    rng = random.Random(piece.seed)
    problems: list[Problem] = []
    keys: set[str] = set()
    for name in piece.families:
        question = sample_question(
            FAMILIES[name],
            rng,
            free_form=rng.random() < FREE_FORM_SHARE,
            allowed=lambda key: split_of_question(key) == piece.split,
        )
        keys.add(question.key)
        image = write_picture(question, piece.folder)
        skills = word_skills(question, rng, split=piece.split)
        problems.append(make_problem(question, split=piece.split, image=image, skills=skills))
    return Written(to_jsonl(problems), [str(p.metadata["scene"]) for p in problems], keys)


def world_name(*, seed: int, sizes: WorldSizes) -> str:
    """Name of the folder that holds the world of these settings, among others: another version is another name."""
    return digest("world", VERSION, {"seed": seed, "sizes": sizes.model_dump(mode="json")}, length=12)


def generate_world(
    folder: Path, *, seed: int, sizes: WorldSizes, on_progress: Callable[[int, int], None] | None = None
) -> World:
    """Write the four splits as JSONL with their pictures, or reuse what the same settings wrote before.

    The folder appears whole or not at all: it is written beside its place and renamed. Raises OperatorError when the
    folder holds something else or cannot be written.
    """
    stamp = {"version": VERSION, "seed": seed, "sizes": sizes.model_dump()}
    marker = folder / "world.json"
    counts: dict[Split, int] = dict(
        zip(
            ("pool", "diagnosis", "gate", "test"),
            (sizes.pool, sizes.diagnosis, sizes.gate, sizes.test),
            strict=True,
        )
    )
    if marker.is_file() and json.loads(marker.read_text()) == stamp:
        return World(folder, counts)
    if folder.exists():
        raise OperatorError(
            "this folder holds another world", where=str(folder), remedy="remove it or name another folder"
        )
    draft = folder.with_name(f"{folder.name}.draft-{os.getpid()}")
    try:
        _write_splits(draft, counts, seed=seed, on_progress=on_progress)
        (draft / "world.json").write_text(json.dumps(stamp))
        draft.rename(folder)
    except OSError as error:
        raise OperatorError(
            f"cannot write the world: {error.strerror}",
            where=str(folder),
            remedy="free space or choose another folder",
        ) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return World(folder, counts)


def _write_splits(
    folder: Path, counts: Mapping[Split, int], *, seed: int, on_progress: Callable[[int, int], None] | None
) -> None:
    folder.mkdir(parents=True)
    pieces = [
        Piece(folder, split, order[start : start + PIECE], seed_of("world", VERSION, seed, split, start))
        for split, count in counts.items()
        for order in (plan_families(split, count, seed=seed),)
        for start in range(0, count, PIECE)
    ]
    scenes: set[str] = set()
    keys: dict[Split, set[str]] = {split: set() for split in counts}
    lines: dict[Split, list[str]] = {split: [] for split in counts}
    done, total = 0, sum(counts.values())
    for piece, written in zip(pieces, _write_pieces(pieces), strict=True):
        lines[piece.split].append(written.lines)
        scenes.update(written.scenes)
        keys[piece.split] |= written.keys
        done += len(written.scenes)
        if on_progress:
            on_progress(done, total)
    for split, texts in lines.items():
        (folder / f"{split}.jsonl").write_text("".join(texts), encoding="utf-8")
    assert len(scenes) == total, "a scene was used twice"
    assert sum(map(len, keys.values())) == len(set().union(*keys.values())), "a question is shared between splits"


def _write_pieces(pieces: list[Piece]) -> Iterator[Written]:
    """In order; in processes of their own when there is enough to do."""
    workers = min(len(pieces), os.cpu_count() or 1)
    if len(pieces) < 4 or workers == 1:
        yield from map(write_piece, pieces)
        return
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(write_piece, pieces)
