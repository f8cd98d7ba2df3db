"""From raw text to the best samples: Errata's index beside bm25s, tantivy and rank_bm25, in one run.

Every contender works in a process of its own, with one thread, on the same corpus: lists of skills per sample
(the peers get them joined). The curve is Errata's at three sizes: built from a file of JSON lines, opened and
queried in a fresh process. The exact results are those of a plain Python BM25 that shares no code with the index.
Seconds are CPU seconds of the process, so that what else the machine does counts little. The peers are in the extra
`bench`.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import pickle
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.retrieval_data import Corpus, make_corpus
from benchmarks.tables import ROOT, need, write_table

K = 300
ADDED = 10_000
CHECKED = 40
PATTERN = r"(?u)\w+"
RANKED = 100_000
"""Samples that rank_bm25 gets; it needs seconds a query for more."""


def work_errata(corpus: Corpus, folder: Path) -> dict[str, Any]:
    """Build on disk, open, query; then the same queries without compiled code, and what compiling costs once."""
    began = time.process_time()
    from errata.tools.retrieve.index_files import build_index, open_index
    from errata.tools.retrieve.index_source import Source
    from errata.tools.retrieve.kernel import load_kernel
    from errata.tools.retrieve.lexical import SkillIndex

    samples = ((name, skills, ()) for name, skills in zip(corpus.ids, corpus.samples, strict=True))
    build_index(folder / "timed", samples, source=lambda: Source(path="", sha256="timed"))
    index = open_index(folder / "timed")
    built = time.process_time() - began
    timed = time_queries(lambda: index.search_all(corpus.queries, K))
    plain = SkillIndex(index.segments, compiled=False)
    without = time_queries(lambda: plain.search_all(corpus.queries, K), rounds=2)["query_s"]
    equal = plain.search_all(corpus.queries, K) == index.search_all(corpus.queries, K)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    compiled = load_kernel(folder / f"kernel-{os.getpid()}") is not None
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "build_s": built,
        **timed,
        "numpy_s": without,
        "numpy_equal": equal,
        "compiled": compiled,
        "compile_s": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
    }


def work_bm25s(corpus: Corpus, folder: Path) -> dict[str, Any]:
    """bm25s with numba; its first round of queries compiles."""
    import bm25s

    began = time.process_time()
    texts = [" ".join(skills) for skills in corpus.samples]
    tokens = bm25s.tokenize(texts, token_pattern=PATTERN, stopwords=None, show_progress=False)
    index = bm25s.BM25(method="lucene", k1=1.5, b=0.75, backend="numba")
    index.index(tokens, show_progress=False)
    built = time.process_time() - began

    def ask() -> object:
        asked = bm25s.tokenize(
            corpus.queries, token_pattern=PATTERN, stopwords=None, show_progress=False, return_ids=False
        )
        return index.retrieve(asked, k=min(K, len(texts)), show_progress=False)

    index.save(str(folder / "bm25s"))
    return {"build_s": built, **time_queries(ask), "disk_mb": megabytes(folder / "bm25s")}


def work_tantivy(corpus: Corpus, folder: Path) -> dict[str, Any]:
    """Tantivy, on disk, one indexing thread; scores are float32 over rounded lengths."""
    import tantivy

    began = time.process_time()
    builder = tantivy.SchemaBuilder()
    builder.add_text_field("id", stored=True, tokenizer_name="raw")
    builder.add_text_field("skills", tokenizer_name="default")
    (folder / "tantivy").mkdir()
    index = tantivy.Index(builder.build(), path=str(folder / "tantivy"))
    writer = index.writer(heap_size=256_000_000, num_threads=1)
    for name, skills in zip(corpus.ids, corpus.samples, strict=True):
        writer.add_document(tantivy.Document(id=name, skills=" ".join(skills)))
    writer.commit()
    writer.wait_merging_threads()
    index.reload()
    built = time.process_time() - began
    searcher = index.searcher()
    timed = time_queries(
        lambda: [searcher.search(index.parse_query(query, ["skills"]), K).hits for query in corpus.queries]
    )
    return {"build_s": built, **timed, "disk_mb": megabytes(folder / "tantivy")}


def work_rank_bm25(corpus: Corpus, folder: Path) -> dict[str, Any]:
    """rank_bm25 on the first samples and a tenth of the queries; the query time is scaled to all."""
    import numpy as np
    from rank_bm25 import BM25Okapi

    began = time.process_time()
    index = BM25Okapi([re.findall(PATTERN, " ".join(skills)) for skills in corpus.samples])
    built = time.process_time() - began
    began = time.process_time()
    part = corpus.queries[::10]
    for query in part:
        np.argsort(-index.get_scores(query.split()))[:K]
    seconds = (time.process_time() - began) * len(corpus.queries) / len(part)
    return {"build_s": built, "first_s": seconds, "query_s": seconds, "folder": folder.name}


def work_exact(corpus: Corpus, folder: Path) -> dict[str, Any]:
    """Share of queries for which the index gives the very list of a plain float64 BM25: ids, order and scores."""
    from errata.tools.retrieve.index_files import open_index

    index = open_index(folder / "timed")
    queries = [re.findall(PATTERN, query.lower()) for query in corpus.queries[:CHECKED]]
    wanted = {word for query in queries for word in query}
    holding: dict[str, list[tuple[int, int]]] = {word: [] for word in wanted}
    lengths = []
    for row, skills in enumerate(corpus.samples):
        words = re.findall(PATTERN, " ".join(skills).lower())
        lengths.append(len(words))
        for word, times in Counter(w for w in words if w in wanted).items():
            holding[word].append((row, times))
    mean = sum(lengths) / len(lengths)
    same = 0
    for answer, query in zip(index.search_all(corpus.queries[:CHECKED], K), queries, strict=True):
        scores: dict[int, float] = {}
        for word in query:
            found = len(holding[word])
            idf = math.log(1 + (len(lengths) - found + 0.5) / (found + 0.5))
            for row, times in holding[word]:
                share = times * 2.5 / (times + 1.5 * (0.25 + 0.75 * lengths[row] / mean))
                scores[row] = scores.get(row, 0.0) + idf * share
        ranked = sorted((-round(score, 9), corpus.ids[row]) for row, score in scores.items())[:K]
        same += [(hit.sample_id, hit.score) for hit in answer] == [(i, -s) for s, i in ranked]
    return {"agreement": same / len(queries), "checked": len(queries)}


def work_build(corpus: Path, folder: Path) -> dict[str, Any]:
    """Build from JSON lines, as `errata index build` does; what matters is the memory."""
    from errata.tools.retrieve.index_files import build_index
    from errata.tools.retrieve.index_source import describe_source
    from errata.tools.retrieve.sources import SampleFile

    began = time.process_time()
    place, file = folder / "curve", SampleFile(corpus)
    build_index(place, file.read(), source=lambda: describe_source(corpus, folder=place))
    return {"build_s": time.process_time() - began, "disk_mb": megabytes(place)}


def work_cold(queries: Path, folder: Path) -> dict[str, Any]:
    """Open, and answer every query; the caller times the whole process."""
    from errata.tools.retrieve.index_files import open_index

    index = open_index(folder / "curve")
    asked = json.loads(queries.read_text(encoding="utf-8"))
    return time_queries(lambda: index.search_all(asked, K), rounds=1)


def work_add(corpus: Path, folder: Path) -> dict[str, Any]:
    """Add samples to what is there."""
    from errata.tools.retrieve.index_files import add_samples
    from errata.tools.retrieve.index_source import describe_source
    from errata.tools.retrieve.sources import SampleFile

    began = time.process_time()
    place = folder / "curve"
    made = add_samples(place, SampleFile(corpus).read(), source=lambda: describe_source(corpus, folder=place))
    return {"add_s": time.process_time() - began, "segments": len(made.parts)}


WORK: dict[str, Callable[[Corpus, Path], dict[str, Any]]] = {
    "errata": work_errata,
    "bm25s[numba]": work_bm25s,
    "tantivy": work_tantivy,
    "rank_bm25": work_rank_bm25,
    "exact": work_exact,
}
WORK_ON_FILES = {"build": work_build, "cold": work_cold, "add": work_add}


def time_queries(ask: Callable[[], object], *, rounds: int = 3) -> dict[str, float]:
    """Seconds of the first round, and of the best of the others."""
    seconds = []
    for _ in range(rounds):
        began = time.process_time()
        ask()
        seconds.append(time.process_time() - began)
    return {"first_s": seconds[0], "query_s": min(seconds[1:] or seconds)}


def megabytes(folder: Path) -> float:
    """Size of all files."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6


def run_worker(name: str, given: Path, folder: Path) -> dict[str, Any]:
    """One contender in a process of its own; `process_s` is all of its time, the start of Python included."""
    command = [sys.executable, "-m", "benchmarks.retrieval", "--worker", name, str(given), str(folder)]
    threads = dict.fromkeys(("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env={**os.environ, **threads})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    if done.returncode:
        raise RuntimeError(f"{name}: {done.stderr[-2000:]}")
    found = {**json.loads(done.stdout.strip().splitlines()[-1]), "process_s": seconds}
    print(name, found, file=sys.stderr, flush=True)
    return found


def work(name: str, given: Path, folder: Path) -> None:
    """In the worker: print what was measured, and the peak of this process."""
    if name in WORK_ON_FILES:
        found = WORK_ON_FILES[name](given, folder)
    else:
        with given.open("rb") as file:
            corpus = Corpus(*pickle.load(file))
        found = WORK[name](corpus, folder)
    print(json.dumps({**found, "peak_mb": peak_memory()}))


def peak_memory() -> float:
    """Of this process since its program was loaded; ru_maxrss would begin with what the parent had."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def write_lines(path: Path, corpus: Corpus, *, prefix: str = "") -> Path:
    """The corpus as JSON lines."""
    with path.open("w", encoding="utf-8") as file:
        for name, skills in zip(corpus.ids, corpus.samples, strict=True):
            file.write(json.dumps({"id": prefix + name, "skills": skills}) + "\n")
    return path


def run_curve(sizes: list[int], *, skills: int, folder: Path) -> list[list[object]]:
    """Errata alone, from JSON lines, at each size."""
    rows: list[list[object]] = []
    for size in sizes:
        place = folder / f"curve-{size}"
        place.mkdir()
        corpus = make_corpus(size, skills=min(skills, size))
        added = make_corpus(ADDED, skills=min(skills, ADDED), seed=1)
        lines, more = write_lines(place / "samples.jsonl", corpus), write_lines(place / "more.jsonl", added, prefix="m")
        (place / "queries.json").write_text(json.dumps(corpus.queries), encoding="utf-8")
        del corpus, added
        built = run_worker("build", lines, place)
        cold = [run_worker("cold", place / "queries.json", place) for _ in range(3)]
        extra = run_worker("add", more, place)
        best = min(one["process_s"] for one in cold)
        rows.append(
            [size, built["build_s"], cold[0]["first_s"], best, built["peak_mb"], built["disk_mb"], extra["add_s"]]
        )
    return rows


def run_peers(size: int, *, skills: int, folder: Path) -> tuple[dict[str, dict[str, Any]], float]:
    """Every contender on one corpus; Errata before and after bm25s, the slower of the two counts."""
    given, small = folder / "corpus.pickle", folder / "small.pickle"
    corpus = make_corpus(size, skills=skills)
    with given.open("wb") as file:
        pickle.dump(tuple(corpus), file)
    part = min(size, RANKED)
    with small.open("wb") as file:
        pickle.dump((corpus.ids[:part], corpus.samples[:part], corpus.queries), file)
    del corpus
    first = run_worker("errata", given, folder)
    found = {"bm25s[numba]": run_worker("bm25s[numba]", given, folder)}
    second = run_worker("errata", given, folder)
    found["errata"] = max(first, second, key=lambda one: one["build_s"] + one["query_s"])
    found["tantivy"] = run_worker("tantivy", given, folder)
    found["rank_bm25"] = run_worker("rank_bm25", small, folder)
    exact = run_worker("exact", given, folder)
    return found, float(exact["agreement"])


def main() -> None:
    """Run everything and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="20,000 samples; same steps")
    parser.add_argument("--worker", nargs=3, metavar=("NAME", "GIVEN", "FOLDER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        name, given, place = arguments.worker
        work(name, Path(given), Path(place))
        return
    need("bm25s", "numba", "rank_bm25", "tantivy", extra="bench")
    size, skills = (20_000, 5_000) if arguments.quick else (1_550_000, 95_000)
    sizes = [2_000, size] if arguments.quick else [10_000, 100_000, size]
    with tempfile.TemporaryDirectory() as folder:
        curve = run_curve(sizes, skills=skills, folder=Path(folder))
        found, agreement = run_peers(size, skills=skills, folder=Path(folder))
    report(curve, found, agreement, size=size, skills=skills, quick=arguments.quick)


def report(
    curve: list[list[object]],
    found: dict[str, dict[str, Any]],
    agreement: float,
    *,
    size: int,
    skills: int,
    quick: bool,
) -> None:
    """One table: the contenders, then the curve in the notes."""
    errata, peer = found["errata"], found["bm25s[numba]"]
    whole = {name: one["build_s"] + one["query_s"] for name, one in found.items()}
    _, _, _, cold, peak, disk, add = curve[-1]
    result = {
        "speedup_vs_bm25s": whole["bm25s[numba]"] / whole["errata"],
        "query_ratio": errata["query_s"] / peer["query_s"],
        "cold_start_s": cold,
        "peak_mb": peak,
        "disk_mb": disk,
        "agreement": agreement,
        "add_10k_s": add,
        "query_ratio_numpy": errata["numpy_s"] / peer["query_s"],
        "compile_s": errata["compile_s"],
        "compiled": errata["compiled"],
        "numpy_equal": errata["numpy_equal"],
        "samples": size,
    }
    names = ["samples", "build s", "350 queries s", "cold start s", "peak MB", "disk MB", "add 10K s"]
    lines = ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
    lines += ["| " + " | ".join(f"{v:.2f}" if isinstance(v, float) else str(v) for v in row) + " |" for row in curve]
    write_table(
        "retrieval",
        title=f"From raw text to the best {K} of {size} samples, {skills} skills, 350 queries",
        columns=["index", "build s", "350 queries s", "first round s", "raw text to top-k s", "peak MB"],
        rows=[
            [name, one["build_s"], one["query_s"], one["first_s"], whole[name], one["peak_mb"]]
            for name, one in found.items()
        ],
        result=result,
        quick=quick,
        notes=[
            "CPU seconds, one thread each.",
            f"rank_bm25: the first {min(size, RANKED)} samples, a tenth of the queries, scaled.",
            f"Errata without a C compiler: {errata['numpy_s']:.2f} s for the 350 queries, the same results:"
            f" {errata['numpy_equal']}. Compiling, once a machine: {errata['compile_s']:.2f} s.",
            "The first round of bm25s compiles; the speed-up counts its query time after that. Peaks hold the corpus.",
            f"Lists equal those of a plain float64 BM25, ties included, on {agreement:.0%} of {CHECKED} queries.",
            "",
            "Errata from a file of JSON lines; queries and cold start (start of Python included) in a fresh process:",
            "",
            *lines,
        ],
    )


if __name__ == "__main__":
    main()
