"""What the overlap firewall finds, what it takes for an overlap that is none, and how long it takes.

Real pictures and questions (ScienceQA, PuzzleVQA, VSR; ERRATA_DATA names their folder). Recall on planted copies; false
alarms on pools where nothing was planted, every alarm held against a check at full resolution; seconds at full size.
"""

from __future__ import annotations

import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.firewall_plants import PICTURES, WORDS, picture_problem, plant_pictures, really_same
from benchmarks.real_data import read_real
from benchmarks.tables import parse_arguments, write_table
from errata.tools.data.firewall import FirewallOptions, find_overlaps
from errata.tools.data.read import read_problems
from errata.tools.evaluate.compare import wilson
from errata.tools.records import Interval, Problem, seed_of
from errata.tools.world.generate import WorldSizes, generate_world

TEXTS, IMAGES, PROTECTED = 1_500_000, 100_000, 2_000
SEEN = ((0, 800), (1, 400), (5, 2000))
"""Seeds and numbers of the pictures that the limits were set on; recall is measured on others."""
Row = list[object]


def found(pool: Sequence[Problem], protected: Sequence[Problem], **options: Any) -> dict[str, tuple[str, str]]:
    """Pool id -> (kind, protected id)."""
    overlaps = find_overlaps(pool, against={"test": protected}, options=FirewallOptions(**options))
    return {overlap.pool: (overlap.kind, overlap.other) for overlap in overlaps}


def picture_files(data: Path, name: str) -> list[Path]:
    """Sorted, so that seeds mean the same everywhere."""
    return sorted((data / name / "images").iterdir())


def unseen(files: list[Path]) -> list[Path]:
    """Those that the limits were not set on, in a fixed random order."""
    used: set[Path] = set()
    for seed, count in SEEN:
        order = list(files)
        random.Random(seed).shuffle(order)
        used.update(order[:count])
    rest = [file for file in files if file not in used]
    random.Random(7).shuffle(rest)
    return rest


def share(name: str, hits: int, total: int, rows: list[Row], *extra: object) -> dict[str, float]:
    """A row of the table, and the same for machines."""
    interval: Interval = wilson(hits, total)
    rows.append([name, hits, total, interval.value, f"{interval.low:.3f} to {interval.high:.3f}", *extra])
    return {"value": round(interval.value, 4), "low": round(interval.low, 4), "high": round(interval.high, 4)}


def recall_of_pictures(files: list[Path], *, folder: Path, rows: list[Row]) -> dict[str, Any]:
    """By transformation: found at all, and beside it how often the right original was named."""
    protected = [picture_problem(f"original {i}", file) for i, file in enumerate(files)]
    hits = found([p.model_copy(update={"id": f"copy {i}"}) for i, p in enumerate(protected)], protected)
    recall: dict[str, Any] = {"identical": share("identical", len(hits), len(files), rows, "")}
    rival = load_rival(files)
    for name in PICTURES:
        planted = plant_pictures(files, folder=folder / name.replace(" ", "_"), name=name)
        hits = found(planted, protected)
        right = sum(hits.get(p.id, ("", ""))[1] == q.id for p, q in zip(planted, protected, strict=True))
        recall[name] = share(name, len(hits), len(files), rows, right)
        if rival is not None:
            near = sum(rival(Path(p.images[0].path)) for p in planted)
            rows[-1].append(f"{near / len(planted):.3f}")
    return recall


def load_rival(files: list[Path], *, bits: int = 10) -> Callable[[Path], bool] | None:
    """imagehash's pHash of the whole picture at the same distance, where it is installed."""
    try:
        import imagehash
    except ImportError:
        return None
    import numpy as np
    from PIL import Image

    def code(path: Path) -> Any:
        with Image.open(path) as picture:
            return np.packbits(imagehash.phash(picture).hash.ravel()).view(np.uint64)[0]

    known = np.array([code(file) for file in files])
    return lambda path: bool((np.bitwise_count(known ^ code(path)) <= bits).any())


def alarms_of_pictures(name: str, files: list[Path], *, protected: int, rows: list[Row]) -> dict[str, Any]:
    """Nothing is planted: how many of the pool are said to look like a protected picture, and how many of these are
    not the same at full resolution.
    """
    known = [picture_problem(f"protected {i}", file) for i, file in enumerate(files[:protected])]
    pool = [picture_problem(f"pool {i}", file) for i, file in enumerate(files[protected:])]
    paths = {p.id: Path(p.images[0].path) for p in (*known, *pool)}
    hits = {p: other for p, (kind, other) in found(pool, known).items() if kind == "perceptual"}
    same = sum(really_same(paths[p], paths[other]) for p, other in hits.items())
    rival = load_rival(files[:protected])
    extra = f"{sum(map(rival, files[protected:])) / len(pool):.3f}" if rival else ""
    entry = share(f"false alarms, {name}", len(hits) - same, len(pool) - same, rows, f"{same} are copies", extra)
    return {**entry, "alarms": len(hits), "real_copies": same}


def alarms_of_the_world(folder: Path, *, count: int, rows: list[Row]) -> dict[str, Any]:
    """The embedded world: by default its pictures are told apart by their scenes; with looks compared, by looks."""
    world = generate_world(folder, seed=3, sizes=WorldSizes(pool=count, diagnosis=50, gate=50, test=count)).folder
    pool, test = (read_problems(world / f"{s}.jsonl", split=s, format="errata").problems for s in ("pool", "test"))  # type: ignore[arg-type]
    result = {}
    for name, options in (("as set", {}), ("looks compared", {"drawn": ()})):
        hits = found(pool, test, **options)
        result[name] = share(f"false alarms, embedded world, {name}", len(hits), len(pool), rows, "")
    return result


def recall_of_words(data: Path, *, rows: list[Row]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Recall of rewordings of ScienceQA's test questions without a picture; alarms in its training questions."""
    sqa = {s: read_real(data, s, images="any") for s in ("test", "train")}
    test, pool = ([p for p in sqa[s] if not p.images] for s in ("test", "train"))
    recall = {}
    for name, change in WORDS.items():
        planted = [change(p, random.Random(seed_of(name, i))) for i, p in enumerate(test)]
        planted = [p.model_copy(update={"id": f"copy {i}"}) for i, p in enumerate(planted)]
        recall[name] = share(name, len(found(planted, test)), len(test), rows, "")
    hits = found(pool, test)
    alarms = {
        "scienceqa_near": share("near questions, ScienceQA train in test", len(hits), len(pool), rows, "see note")
    }
    vsr = read_real(data, "pool", images="any")
    vsr = [p for p in vsr if p.metadata.get("source") == "VSR" and not p.images]
    random.Random(1).shuffle(vsr)
    for name, options in (("as set", {}), ("words alone decide", {"question": "text"})):
        hits = {p: kind for p, (kind, _) in found(vsr[1000:], vsr[:1000], **options).items() if kind == "near-question"}
        title = f"near questions, VSR statements without their pictures, {name}"
        alarms[f"vsr_near, {name}"] = share(title, len(hits), len(vsr) - 1000, rows, "see note")
    return recall, alarms


def many_texts(base: Sequence[Problem], *, count: int) -> Iterator[Problem]:
    """Real questions with one word changed, made as they are asked for."""
    draw = random.Random(11)
    words = sorted({word for p in base for word in p.question.split()})
    for i in range(count):
        origin = base[i % len(base)]
        parts = origin.question.split()
        parts[draw.randrange(len(parts))] = words[draw.randrange(len(words))]
        fields = {**origin.__dict__, "id": f"t{i}", "question": " ".join(parts), "images": ()}
        yield Problem.model_construct(**fields)


def time_texts(data: Path, *, count: int) -> dict[str, float]:
    """Seconds for a pool of texts against 2,000 questions; making the pool is timed alone and taken off."""
    test = read_real(data, "test", images="any")[:PROTECTED]
    base = read_real(data, "train", images="any")
    made, making, making_cpu = timed(lambda: sum(1 for _ in many_texts(base, count=count)))
    hits, seconds, cpu = timed(
        lambda: sum(1 for _ in find_overlaps(many_texts(base, count=made), against={"test": test}))
    )
    return {"seconds": seconds - making, "cpu": cpu - making_cpu, "making": making, "overlaps": hits}


def time_pictures(files: list[Path], *, protected: int) -> dict[str, float]:
    """Seconds for the looks of real pictures alone, and how many there were."""
    known = [picture_problem(f"protected {i}", file) for i, file in enumerate(files[:protected])]
    pool = [picture_problem(f"pool {i}", file) for i, file in enumerate(files[protected:])]
    hits, seconds, cpu = timed(lambda: len(found(pool, known)))
    return {"seconds": seconds, "cpu": cpu, "pictures": len(pool), "overlaps": hits}


def timed(act: Callable[[], int]) -> tuple[int, float, float]:
    """What `act` gives, its seconds by the clock and by the processor."""
    start, cpu = time.monotonic(), time.process_time()
    value = act()
    return value, time.monotonic() - start, time.process_time() - cpu


def main() -> None:
    """All of it; `--quick` takes fewer of everything."""
    quick = parse_arguments(__doc__ or "").quick
    if "ERRATA_DATA" not in os.environ:
        raise SystemExit("benchmarks.firewall: set ERRATA_DATA to the folder that holds scienceqa and puzzlevqa")
    data = Path(os.environ["ERRATA_DATA"])
    sqa, puzzles, matrices = (picture_files(data, name) for name in ("scienceqa", "puzzlevqa", "iraven"))
    for files in (sqa, puzzles, matrices):
        random.Random(3).shuffle(files)
    rows: list[Row] = []
    alarms: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        planted = unseen(picture_files(data, "scienceqa"))[: 40 if quick else 400]
        recall = recall_of_pictures(planted, folder=folder, rows=rows)
        alarms["scienceqa"] = alarms_of_pictures(
            "ScienceQA", sqa[: 400 if quick else None], protected=100 if quick else 500, rows=rows
        )
        alarms["puzzlevqa"] = alarms_of_pictures(
            "PuzzleVQA", puzzles[: 200 if quick else 1500], protected=100 if quick else 300, rows=rows
        )
        alarms["iraven"] = alarms_of_pictures("I-RAVEN", matrices, protected=300, rows=rows)
        alarms["world"] = alarms_of_the_world(folder / "world", count=50 if quick else 400, rows=rows)
    words, near = recall_of_words(data, rows=rows)
    texts = time_texts(data, count=20_000 if quick else TEXTS)
    mixed = [*sqa, *puzzles]
    random.Random(4).shuffle(mixed)
    looks = time_pictures(mixed[:900] if quick else mixed, protected=200 if quick else PROTECTED)
    full = looks["seconds"] / looks["pictures"] * IMAGES
    report(rows, {**recall, **words}, {**alarms, **near}, texts, looks, full=full, quick=quick)


def report(
    rows: list[Row],
    recall: dict[str, Any],
    alarms: dict[str, Any],
    texts: dict[str, float],
    looks: dict[str, float],
    *,
    full: float,
    quick: bool,
) -> None:
    """Write the table."""
    result = {
        "recall": {name: entry["value"] for name, entry in recall.items()},
        "recall_intervals": recall,
        "false_alarms": alarms,
        "texts_s": round(texts["seconds"], 1),
        "texts_cpu_s": round(texts["cpu"], 1),
        "images_s": round(full, 1),
        "images_cpu_s": round(looks["cpu"] / looks["pictures"] * IMAGES, 1),
        "images_extrapolated": True,
        "images_measured": int(looks["pictures"]),
        "images_measured_s": round(looks["seconds"], 1),
    }
    count = f"{20_000 if quick else TEXTS:,}"
    notes = [
        f"{count} texts against {PROTECTED:,} questions: {texts['seconds']:.0f} s, without {texts['making']:.0f} s for",
        f"making them ({texts['cpu']:.0f} s of processor time); {texts['overlaps']:,.0f} overlaps.",
        f"{looks['pictures']:,.0f} pictures: {looks['seconds']:.0f} s ({looks['cpu']:.0f} s of processor time),",
        f"{looks['overlaps']:,.0f} overlaps; EXTRAPOLATED to {IMAGES:,} pictures: {full:.0f} s.",
        "The pHash column: share with a protected picture within 10 of 64 bits by imagehash.phash; beside false alarms",
        "it is a share of the whole pool, copies among it.",
        "The limits were set with ScienceQA's and PuzzleVQA's pictures in view, but not those of the recall rows;",
        "I-RAVEN's were not looked at. An alarm is a real copy when, at full resolution, no 4 x 4 block differs by",
        "more than 24 levels. Near questions have no such check: see docs/decisions/0006-overlap-rules.md.",
    ]
    padded = [[*row, *[""] * (7 - len(row))] for row in rows]
    write_table(
        "firewall",
        title="Overlaps found, and false alarms",
        columns=("what", "found", "of", "share", "95 % (Wilson)", "right one named", "pHash alone"),
        rows=padded,
        result=result,
        notes=notes,
        quick=quick,
    )


if __name__ == "__main__":
    main()
