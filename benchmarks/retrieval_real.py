"""What is found in a real supporting dataset for the skills of 100 ScienceQA validation questions.

Needs ERRATA_DATA. The questions themselves are left out of the index. No pretrained encoder is used: `hashing` is
Errata's own (letter n-grams), `lsa` is made here from the corpus (tf-idf of the words of questions and skills that
stand together, 128 singular vectors), and knows no more than the corpus. A hit is right when it carries the
question's skill or, less strictly, its topic. Since the dataset's skills are few and worded alike, the second half asks
what is found when no sample carries the very skill: those are left out, and the topic counts.
"""

from __future__ import annotations

import gzip
import json
import os
import random
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.linalg import svds

from benchmarks.tables import parse_arguments, write_table
from errata.tools.retrieve.chroma import SkillCollection
from errata.tools.retrieve.dense import DenseIndex, FilteredIndex
from errata.tools.retrieve.embeddings import HashingEmbedding
from errata.tools.retrieve.lexical import SearchIndex, SkillIndex
from errata.tools.retrieve.segment import make_segment, split_words
from errata.tools.retrieve.select import HybridIndex
from errata.tools.vectors import Embedding, Vectors, make_unit

K = 10
DRAWS = 2000


class LsaEmbedding:
    """Latent semantic analysis of the corpus: words that stand in the same texts are near."""

    name = "lsa"

    def __init__(self, texts: Sequence[str], *, size: int) -> None:
        counts = [split_words(text) for text in texts]
        self._words = {word: i for i, word in enumerate(sorted({w for words in counts for w in words}))}
        table = self._count(texts)
        held = np.bincount(table.indices, minlength=len(self._words))
        self._idf = np.log(len(texts) / held)
        _, strengths, rows = svds(table * self._idf, k=size, random_state=0)
        self._turn = (rows / strengths[:, None]).T

    def __call__(self, texts: Sequence[str]) -> Vectors:
        """The vectors, in the order of the texts."""
        return make_unit(np.asarray((self._count(texts) * self._idf) @ self._turn, dtype=np.float32))

    def _count(self, texts: Sequence[str]) -> Any:
        pairs = [(row, self._words[w]) for row, t in enumerate(texts) for w in split_words(t) if w in self._words]
        rows, columns = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
        table = csr_array((np.ones(len(rows)), (rows, columns)), shape=(len(texts), len(self._words)))
        table.sum_duplicates()
        return table


class Question(NamedTuple):
    """What is asked for, and what counts as right."""

    id: str
    skill: str
    topic: str


def read_rows(data: Path) -> list[dict[str, Any]]:
    """The supporting dataset."""
    with gzip.open(data / "support_corpus" / "support_corpus.jsonl.gz", "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def draw_questions(rows: Sequence[dict[str, Any]], count: int) -> list[Question]:
    """ScienceQA validation questions with a skill of the dataset's own, no more than two of one skill."""
    found = [r for r in rows if r["source"] == "ScienceQA" and r["split"] == "val" and r["skill_source"] == "gold"]
    random.Random(0).shuffle(found)
    drawn: list[Question] = []
    for row in found:
        question = Question(row["id"], row["skills"][0], row["topic"])
        if sum(other.skill == question.skill for other in drawn) < 2:
            drawn.append(question)
    return drawn[:count]


def measure(
    index: SearchIndex, questions: Sequence[Question], known: dict[str, dict[str, Any]]
) -> dict[str, list[float]]:
    """Per question, precision at K by skill and by topic, and by topic where no sample carries the very skill."""
    found: dict[str, list[float]] = {"skill": [], "topic": [], "other": []}
    for question in questions:
        hits = [known[hit.sample_id] for hit in index.search(question.skill, K)]
        found["skill"].append(sum(question.skill in row["skills"] for row in hits) / K)
        found["topic"].append(sum(row["topic"] == question.topic for row in hits) / K)
        deep = (known[hit.sample_id] for hit in index.search(question.skill, 1000))
        others = [row for row in deep if question.skill not in row["skills"]][:K]
        found["other"].append(sum(row["topic"] == question.topic for row in others) / K)
    return found


def spread(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean, and 95 % bootstrap over questions."""
    rng = np.random.default_rng(0)
    array = np.array(values)
    means = array[rng.integers(len(array), size=(DRAWS, len(array)))].mean(axis=1)
    return float(array.mean()), float(np.quantile(means, 0.025)), float(np.quantile(means, 0.975))


def make_indexes(rows: Sequence[dict[str, Any]], folder: Path) -> dict[str, SearchIndex]:
    """bm25, and dense and hybrid with both embeddings."""
    lexical = SkillIndex(
        [make_segment(((row["id"], row["skills"], [row["topic"] or ""]) for row in rows), fields=["topic"])]
    )
    texts = [f"{row['question'] or ''} {' '.join(row['skills'])} {row['topic'] or ''}" for row in rows]
    embeddings: list[Embedding] = [HashingEmbedding(), LsaEmbedding(texts, size=128)]
    indexes: dict[str, SearchIndex] = {"bm25": FilteredIndex(lexical, {})}
    for embedding in embeddings:
        collection = SkillCollection(folder / embedding.name, embedding=embedding)
        collection.build(lexical.count_skills())
        dense = DenseIndex(collection, lexical)
        indexes[f"dense ({embedding.name})"] = FilteredIndex(dense, {})
        indexes[f"hybrid ({embedding.name})"] = HybridIndex(lexical, dense)
    return indexes


def main() -> None:
    """Run everything and write the table."""
    arguments = parse_arguments(__doc__ or "")
    if "ERRATA_DATA" not in os.environ:
        raise SystemExit("set ERRATA_DATA to the folder that holds support_corpus/")
    rows = read_rows(Path(os.environ["ERRATA_DATA"]))
    questions = draw_questions(rows, 20 if arguments.quick else 100)
    asked = {question.id for question in questions}
    rows = [row for row in rows if row["id"] not in asked]
    known = {row["id"]: row for row in rows}
    with tempfile.TemporaryDirectory() as folder:
        indexes = make_indexes(rows, Path(folder))
        found = {name: measure(index, questions, known) for name, index in indexes.items()}
        examples = list_examples(indexes, questions, known)
    table = [[name, *(cell for by in values.values() for cell in spread(by))] for name, values in found.items()]
    result = {
        name: {by: dict(zip(("value", "low", "high"), spread(v), strict=True)) for by, v in values.items()}
        for name, values in found.items()
    }
    carried = Counter(skill for row in rows for skill in set(row["skills"]))
    best = sum(min(carried[question.skill], K) for question in questions) / (K * len(questions))
    names = [f"{by}{end}" for by in ("same skill", "same topic", "topic, other skill") for end in ("", " low", " high")]
    write_table(
        "retrieval_real",
        title=f"Precision of the first {K} of {len(rows)} real samples for {len(questions)} skills",
        columns=["index", *names],
        rows=table,
        result={"questions": len(questions), "samples": len(rows), "best_by_skill": best, "precision": result},
        quick=arguments.quick,
        notes=[
            "Low and high: 95 % bootstrap over questions. `lsa` is made from this very corpus, `hashing` knows only",
            "spelling; neither is a pretrained encoder. `topic, other skill`: those with the very skill are left out.",
            f"Same skill can be {best:.3f} at most: some skills have fewer than {K} samples.",
            "",
            "Twenty to read: the first sample with another skill than the one that was looked for.",
            "",
            *examples,
        ],
    )


def list_examples(
    indexes: dict[str, SearchIndex], questions: Sequence[Question], known: dict[str, dict[str, Any]]
) -> list[str]:
    """What each kind of index finds first when the very skill is left out, for the first questions."""
    kinds = ["bm25", "dense (hashing)", "dense (lsa)", "hybrid (lsa)"]
    lines = []
    for question in questions[: 20 // len(kinds)]:
        lines.append(f"- {question.skill!r} ({question.topic})")
        for kind in kinds:
            hits = [known[hit.sample_id] for hit in indexes[kind].search(question.skill, 1000)]
            first = next((row for row in hits if question.skill not in row["skills"]), None)
            summary = "nothing" if first is None else f"{'; '.join(first['skills'])} ({first['topic']}, {first['id']})"
            lines.append(f"  - {kind}: {summary}")
    return lines


if __name__ == "__main__":
    main()
