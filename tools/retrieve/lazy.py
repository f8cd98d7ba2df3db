"""Search in a pool whose required skills are asked for lazily (methods, section 3): candidates first.

A sample becomes a candidate when its own words, question and choices, are near those of an error: of its missing skill
and of the question that went wrong. Candidates alone are tagged by the teacher, and ranked by BM25 over the
required skills they turn out to have, as a pool that was tagged whole would be. benchmarks/lazy.py measures what is
missed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet

from errata.tools.records import MissingSkill, Problem
from errata.tools.retrieve.lexical import SkillIndex

Tag = Callable[[Sequence[Problem]], Mapping[str, Sequence[str]]]
"""Required skills by problem id. A sample that was tagged before costs nothing."""


class LazyPool:
    """Builds the index for the given errors; equal errors give an equal index."""

    def __init__(self, pool: Mapping[str, Problem], *, words: SkillIndex, tag: Tag, candidates: int) -> None:
        """`words`: an index of the pool by `own_words`. `candidates`: samples that are looked at for each error."""
        self._pool, self._words, self._tag, self._candidates = pool, words, tag, candidates

    def index_for(
        self, skills: Sequence[MissingSkill], *, problems: Mapping[str, Problem], taken: AbstractSet[str]
    ) -> SkillIndex:
        """The candidates of all these errors by their required skills; `problems` holds the errors' questions."""
        queries = dict.fromkeys(f"{skill.wording} {own_words(problems[skill.problem])}" for skill in skills)
        near = set()
        for hits in self._words.search_all(list(queries), self._candidates + len(taken)):
            near |= set([hit.sample_id for hit in hits if hit.sample_id not in taken][: self._candidates])
        return SkillIndex.build(self._tag([self._pool[name] for name in sorted(near)]))


def own_words(problem: Problem) -> str:
    """What a sample says before anybody has tagged it."""
    return " ".join((problem.question, *problem.choices))
