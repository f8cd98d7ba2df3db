"""The pool's required skills, asked for at once or lazily, and the search over them."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from errata.agent.run.context import IndexFor
from errata.agent.run.folder import RunFolder
from errata.agent.run.receipts import Receipts
from errata.agent.run.teacher.recorded import RecordingTeacher
from errata.agent.settings.tree import Settings
from errata.tools.errors import BudgetSpent, OperatorError
from errata.tools.records import MissingSkill, Problem, digest
from errata.tools.retrieve.lazy import LazyPool, own_words
from errata.tools.retrieve.lexical import SearchIndex, SkillIndex
from errata.tools.tag import RequiredSkills, tag_required_skills

if TYPE_CHECKING:
    from errata.tools.teacher.embedding import EndpointEmbedding


class Indexed(NamedTuple):
    """The search over the pool, and the skills in it."""

    index_for: IndexFor
    skill_names: Sequence[str]
    """Distinct required skills that are known from the start, most frequent first, then by text."""
    summary: str


class _Tagger:
    """Asks for required skills of the pool, whole or in part; one thread at a time, since a store has one writer."""

    def __init__(self, settings: Settings, *, folder: RunFolder, teacher: RecordingTeacher) -> None:
        own, cap = settings.skills.store, settings.budget.index_calls
        self.store = folder.path / "index" / "required_skills" if own is None else Path(own)
        self._teacher, self._cap, self._source = teacher, cap, settings.skills.source
        self._ledger, self._lock = folder.ledger, threading.Lock()

    def tag_all(self, pool: Mapping[str, Problem]) -> RequiredSkills:
        """Raises OperatorError before anything is asked if the cap is too low."""
        teacher = self._teacher.scoped("index", iteration=0, allowance=None)
        try:
            return tag_required_skills(
                pool.values(), teacher=teacher, store=self.store, source=self._source, most=self._cap
            )
        except BudgetSpent as error:
            cap = getattr(error, "cap", "budget.index_calls")
            remedy = f"the pool has {len(pool)} samples: raise {cap}, or lower data.pool.limit"
            if self._source == "teacher":
                remedy += ", or set skills.tag=candidates"
            raise OperatorError(str(error), where=cap, remedy=remedy) from None

    def tag_some(self, problems: Sequence[Problem]) -> Mapping[str, Sequence[str]]:
        """Raises BudgetSpent if the cap is too low."""
        with self._lock:
            paid = sum(int(e.get("paid") or 0) for e in self._ledger() if e["stage"] == "index")
            most = None if self._cap is None else max(0, self._cap - paid)
            teacher = self._teacher.scoped("index", iteration=0, allowance=None)
            try:
                return tag_required_skills(
                    problems, teacher=teacher, store=self.store, source=self._source, most=most
                ).by_problem
            except BudgetSpent as error:
                raise BudgetSpent(f"{getattr(error, 'cap', 'budget.index_calls')}: {error}") from None


def index_pool(
    pool: Mapping[str, Problem],
    *,
    settings: Settings,
    folder: RunFolder,
    teacher: RecordingTeacher,
    receipts: Receipts,
    embedding: EndpointEmbedding | None = None,
) -> Indexed:
    """Ask for the required skills of the pool (once, resumable) and build the search over them, or prepare to ask.

    The distinct skills of a pool that is tagged whole also go into a local Chroma collection, in whatever mode
    (methods, section 4). A control that searches for no skills asks for nothing. `embedding`: the paid one, where an
    endpoint embeds.
    """
    if not settings.diagnosed:
        return Indexed(_always(SkillIndex.build({})), (), "0 distinct skills")
    tagger = _Tagger(settings, folder=folder, teacher=teacher)
    if settings.skills.tag == "candidates":
        return _index_lazily(pool, settings=settings, folder=folder, tagger=tagger)
    found = tagger.tag_all(pool)
    names = _names(found.by_problem.values())
    if not names:
        remedy = "give a pool with skills, or another skills.source"
        raise OperatorError(
            "no sample of the pool has a skill", where="skills.source", value=settings.skills.source, remedy=remedy
        )
    lexical = _open_lexical(folder.path / "index" / "lexical", found.by_problem)
    mode, summary = settings.retrieve.mode, f"{len(names)} distinct skills"
    inputs = [digest(found.by_problem), settings.retrieve.embedding]

    def build() -> bool:
        _open_dense(folder, lexical, settings, embedding)
        return True

    with _within_caps(len(pool)):
        if mode == "bm25":
            receipts.once("index", inputs, build)
            return Indexed(_always(lexical), names, summary)
        dense = _open_dense(folder, lexical, settings, embedding)
    if mode == "dense":
        return Indexed(_always(dense), names, summary)
    from errata.tools.retrieve.select import HybridIndex

    return Indexed(_always(HybridIndex(lexical, dense)), names, summary)


@contextlib.contextmanager
def _within_caps(samples: int) -> Iterator[None]:
    """Turn a cap that stops the embedding of the pool into an OperatorError."""
    try:
        yield
    except BudgetSpent as error:
        cap = getattr(error, "cap", "teacher.chat.caps")
        remedy = f"the pool has {samples} samples: raise {cap}, or lower data.pool.limit"
        raise OperatorError(str(error), where=cap, remedy=remedy) from None


def _index_lazily(pool: Mapping[str, Problem], *, settings: Settings, folder: RunFolder, tagger: _Tagger) -> Indexed:
    words = _open_lexical(folder.path / "index" / "words", {name: (own_words(p),) for name, p in pool.items()})
    options = settings.skills
    lazy = LazyPool(pool, words=words, tag=tagger.tag_some, candidates=options.candidates)
    names = _names(problem.skills for problem in pool.values()) if options.source == "both" else ()
    return Indexed(lazy.index_for, names, f"{len(pool)} samples, tagged when they become candidates")


def _names(lists: Iterable[Sequence[str]]) -> tuple[str, ...]:
    counts = Counter(skill for skills in lists for skill in skills)
    return tuple(sorted(counts, key=lambda skill: (-counts[skill], skill)))


def _always(index: SearchIndex) -> IndexFor:
    def index_for(
        skills: Sequence[MissingSkill], *, problems: Mapping[str, Problem], taken: AbstractSet[str]
    ) -> SearchIndex:
        del skills, problems, taken
        return index

    return index_for


def _open_lexical(place: Path, samples: Mapping[str, Sequence[str]]) -> SkillIndex:
    """The index on disk; it is built if it is missing or was built from other texts."""
    from errata.tools.retrieve.index_files import build_index, open_index, read_manifest
    from errata.tools.retrieve.index_source import Source

    sha256 = digest("samples", sorted(samples.items()), length=64)
    made = read_manifest(place)
    if made is None or [source.sha256 for source in made.sources] != [sha256]:
        source = Source(path="", sha256=sha256, samples=len(samples))
        build_index(place, ((name, own, ()) for name, own in samples.items()), source=lambda: source)
    return open_index(place, expected=sha256)


def _open_dense(
    folder: RunFolder, samples: SkillIndex, settings: Settings, paid: EndpointEmbedding | None
) -> SearchIndex:
    from errata.tools.retrieve.chroma import SkillCollection
    from errata.tools.retrieve.dense import DenseIndex
    from errata.tools.retrieve.embeddings import make_embedding

    embedding = paid.scoped("index") if paid else make_embedding(settings.embedding_options)
    server = settings.retrieve.chroma_server
    collection = SkillCollection(folder.path / "index" / "chroma", embedding=embedding, server=server)
    collection.build(samples.count_skills())
    if paid is not None:
        collection.embedding = paid.scoped("investigate")
    return DenseIndex(collection, samples)
