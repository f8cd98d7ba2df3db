"""Selection methods: one signature, and what each of them chooses. Models are in test_rival_models.py."""

from __future__ import annotations

import inspect
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from errata.tools.errors import OperatorError
from errata.tools.records import Attempt, Mistake, Problem
from errata.tools.retrieve.rivals import METHODS, Means, Request, selection_method
from errata.tools.retrieve.rivals.ablations import steps_as_skills, validation_as_skills
from errata.tools.retrieve.rivals.less import subtask_directions
from errata.tools.retrieve.rivals.request import Exchange, Perplexity, question_text
from errata.tools.retrieve.rivals.scores import score_pool
from errata.tools.retrieve.rivals.superfiltering import UNHELPFUL, UNSCORED, ifd_of
from tests.tools.retrieve.test_select import INDEX, POOL, SKILLS, missing

VALIDATION = [
    Problem(id="v1", question="a c3? ", target="x", scoring="exact", split="diagnosis", skills=("count",)),
    Problem(id="v2", question="m", target="x", scoring="exact", split="diagnosis", skills=("mix",)),
]


class Letters:
    """Counts letters: a sentence encoder that can be checked by hand."""

    name = "letters"

    def __init__(self, *, lives: int = 10_000) -> None:
        self.lives = lives

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        assert self.lives >= len(texts), "more texts than it has lives for"
        self.lives -= len(texts)
        rows = np.array([[text.count(c) for c in "cmz0123456789"] for text in texts], np.float32)
        return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)


class Surprise:
    """Perplexities from a table by question; asked at most as often as it has lives."""

    name = "table"

    def __init__(self, table: dict[str, tuple[float, float] | None], *, lives: int = 10_000) -> None:
        self.table, self.lives = table, lives

    def __call__(self, exchanges: Sequence[Exchange]) -> list[Perplexity | None]:
        self.lives -= len(exchanges)
        assert self.lives >= 0, "more answers than it has lives for"
        found = [self.table.get(exchange.question, (5.0, 5.0)) for exchange in exchanges]
        return [None if pair is None else Perplexity(*pair, tokens=1) for pair in found]


class Arrows:
    """Gradients from a table by id."""

    def __init__(self, table: dict[str, tuple[float, float]]) -> None:
        self.table = table

    def __call__(self, problems: Sequence[Problem]) -> NDArray[np.float32]:
        return np.array([self.table.get(p.id, (-1.0, -1.0)) for p in problems], np.float32)


MEANS = Means(
    search=INDEX,
    bm25=INDEX,
    dense=INDEX,
    hybrid=INDEX,
    embed=Letters(),
    perplexity=Surprise({f"{name}?": (2.0 + 0.1 * i, 3.0) for i, name in enumerate(sorted(POOL))}),
    gradients=Arrows({"c0": (1.0, 0.1), "m0": (0.1, 1.0), "v1": (2.0, 0.0), "v2": (0.0, 3.0)}),
)
REQUEST = Request(
    pool=POOL,
    budget=4,
    taken={"c0"},
    skills=[missing("e1", "count circles"), missing("e2", "mix colours")],
    validation=VALIDATION,
    seed=1,
    iteration=2,
)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_has_one_signature_and_keeps_the_budget(name: str) -> None:
    assert str(inspect.signature(METHODS[name])) == "(request: 'Request', *, means: 'Means') -> 'Selection'"
    found = selection_method(name)(REQUEST, means=MEANS).candidates
    ids = [candidate.problem.id for candidate in found]
    assert len(set(ids)) == len(ids)
    assert "c0" not in ids
    assert len(ids) == {"full": len(POOL) - 1, "validation-only": 2}.get(name, 4)
    assert all(c.accepted and c.parents and c.reason for c in found)
    assert len({c.id for c in found}) == len(found)
    again = METHODS[name](REQUEST._replace(pool=dict(reversed(POOL.items()))), means=MEANS).candidates
    assert again == found


@pytest.mark.parametrize("name", ["errata-bm25", "dense", "hybrid", "uniform", "insta", "superfiltering", "less"])
def test_a_method_without_its_means_says_in_one_line_what_is_missing(name: str) -> None:
    with pytest.raises(OperatorError, match=rf"the method {name} needs") as raised:
        METHODS[name](REQUEST, means=Means())
    assert "\n" not in str(raised.value)
    assert ";" in str(raised.value)


@pytest.mark.parametrize("name", ["insta", "less", "validation-only"])
def test_validation_questions_are_needed_and_gate_and_test_stay_unseen(name: str) -> None:
    with pytest.raises(OperatorError, match="needs validation questions"):
        METHODS[name](REQUEST._replace(validation=()), means=MEANS)
    peek = [*VALIDATION, VALIDATION[0].model_copy(update={"id": "t", "split": "gate"})]
    with pytest.raises(OperatorError, match=r"problem t: .*may not see this split \(got 'gate'\)"):
        METHODS[name](REQUEST._replace(validation=peek), means=MEANS)


def test_an_unknown_method_names_those_that_there_are() -> None:
    with pytest.raises(OperatorError, match=r"got 'guess'\).*errata-bm25.*superfiltering"):
        selection_method("guess")


def test_uniform_gives_each_error_its_share_of_unique_samples() -> None:
    skills = [missing("e1", "count circles"), missing("e2", "count circles"), missing("e3", "mix colours")]
    found = METHODS["uniform"](REQUEST._replace(skills=skills, budget=7), means=MEANS).candidates
    assert [c.problem.id for c in found] == ["c1", "c2", "c3", "c4", "c5", "m0", "m1"]
    assert found[0].parents == ("skill-e1", "skill-e2")
    assert found[3].parents == ("skill-e2",)
    assert METHODS["uniform"](REQUEST._replace(skills=[]), means=MEANS).candidates == []


def test_random_is_seeded_and_leaves_out_what_was_taken() -> None:
    found = METHODS["random"](REQUEST, means=Means()).candidates
    assert {c.route for c in found} == {"random"}
    assert {c.parents for c in found} == {("iteration-2",)}
    assert found != METHODS["random"](REQUEST._replace(seed=2), means=Means()).candidates
    assert found != METHODS["random"](REQUEST._replace(iteration=3), means=Means()).candidates
    everything = METHODS["random"](REQUEST._replace(budget=99), means=Means()).candidates
    assert {c.problem.id for c in everything} == POOL.keys() - {"c0"}


def test_errata_fills_up_only_when_asked_and_marks_it() -> None:
    request = REQUEST._replace(skills=[missing("e2", "mix colours")], budget=5)
    assert [c.route for c in METHODS["errata-bm25"](request, means=MEANS).candidates] == ["bm25"] * 3
    filled = METHODS["errata-bm25"](request._replace(fill=True), means=MEANS).candidates
    assert [c.route for c in filled] == ["bm25"] * 3 + ["fill"] * 2


def test_validation_only_is_the_diagnosis_questions_and_what_is_left_comes_later() -> None:
    first = METHODS["validation-only"](REQUEST._replace(budget=1), means=Means()).candidates
    assert [(c.route, c.problem.split) for c in first] == [("validation", "diagnosis")]
    taken = {c.problem.id for c in first}
    second = METHODS["validation-only"](REQUEST._replace(taken=taken), means=Means()).candidates
    assert {c.problem.id for c in second} == {"v1", "v2"} - taken


def test_insta_takes_the_nearest_to_any_validation_question_ties_by_id() -> None:
    found = METHODS["insta"](REQUEST._replace(taken=frozenset()), means=MEANS).candidates
    assert [c.problem.id for c in found] == ["c3", "m0", "m1", "m2"]
    assert found[0].score == pytest.approx(1.0)
    assert found[1].score == found[3].score == pytest.approx(0.5**0.5, abs=1e-6)
    assert {c.route for c in found} == {"insta"}


def test_insta_reads_question_and_choices_and_no_answer() -> None:
    problem = Problem(id="p", question="Which?", choices=("red", "blue"), target="B", rationale="It is blue.")
    assert question_text(problem) == "Which? A) red B) blue"


def test_superfiltering_takes_the_hardest_below_one_and_counts_the_others() -> None:
    infinite = float("inf")
    table: dict[str, tuple[float, float] | None] = {
        "c0?": (3.0, 3.0),  # IFD 1: the question does not help
        "c1?": (2.7, 3.0),
        "c2?": (1.2, 3.0),
        "c3?": (9.0, 3.0),
        "c4?": None,  # no room for the answer
        "c5?": (infinite, infinite),
        "m0?": (2.7, 3.0),
    }
    selection = METHODS["superfiltering"](
        REQUEST._replace(budget=9, taken={"m0"}), means=Means(perplexity=Surprise(table))
    )
    assert [(c.problem.id, c.score) for c in selection.candidates] == [("c1", 0.9), ("c2", 0.4)]
    assert selection.left_out == {UNHELPFUL: 5, UNSCORED: 2}
    assert selection.candidates[0].reason == "IFD 0.900"


def test_ifd_is_a_ratio_of_perplexities() -> None:
    assert ifd_of(Perplexity(2.0, 8.0, 3)) == 0.25
    assert ifd_of(Perplexity(2.0, 0.0, 3)) is None
    assert ifd_of(Perplexity(float("nan"), 2.0, 3)) is None


def test_less_takes_what_points_where_any_one_subtask_does() -> None:
    found = METHODS["less"](REQUEST._replace(taken=frozenset(), budget=3), means=MEANS).candidates
    assert [c.problem.id for c in found] == ["c0", "m0", "c1"]
    assert found[0].score == found[1].score == pytest.approx(1 / 1.01**0.5, abs=1e-5)
    assert found[2].score < 0


def test_less_means_over_a_subtask_and_refuses_large_pools() -> None:
    twice = [*VALIDATION, VALIDATION[0].model_copy(update={"id": "v3"})]
    gradients = np.array([[1, 0], [0, 2], [0, 1]], np.float32)
    assert subtask_directions(twice, gradients=gradients) == pytest.approx(np.array([[0.5**0.5] * 2, [0, 1]]))
    pool = {str(i): VALIDATION[0] for i in range(20_001)}
    with pytest.raises(OperatorError, match=r"pool: the pool is too large for LESS \(got 20001\)"):
        METHODS["less"](REQUEST._replace(pool=pool), means=MEANS)


def test_scores_are_kept_and_a_cut_off_scoring_goes_on(tmp_path: Path) -> None:
    means = Means(embed=Letters(lives=12), store=tmp_path)
    first = METHODS["insta"](REQUEST, means=means).candidates
    tired = means._replace(embed=Letters(lives=2))  # enough for the two validation questions alone
    assert METHODS["insta"](REQUEST, means=tired).candidates == first
    store = tmp_path / "insta.jsonl"
    store.write_bytes(store.read_bytes()[:-5])
    assert METHODS["insta"](REQUEST, means=means._replace(embed=Letters())).candidates == first
    assert len(store.read_text().splitlines()) >= len(POOL)


def test_another_key_or_another_question_is_scored_anew(tmp_path: Path) -> None:
    def score(problems: Sequence[Problem]) -> list[float | None]:
        asked.extend(p.id for p in problems)
        return [None if p.id == "z" else float(len(p.question)) for p in problems]

    asked: list[str] = []
    store = tmp_path / "scores.jsonl"
    first = score_pool(POOL, score=score, key="k", store=store, chunk=4)
    assert (first["z"], first["c0"]) == (None, 3.0)
    assert asked == sorted(SKILLS)
    asked.clear()
    assert score_pool(POOL, score=score, key="k", store=store, chunk=4) == first
    assert asked == []
    changed = POOL | {"c5": POOL["c5"].model_copy(update={"question": "another?"})}
    assert score_pool(changed, score=score, key="k", store=store, chunk=4)["c5"] == 8.0
    assert asked == ["c4", "c5", "m0", "m1"]  # its whole chunk
    asked.clear()
    score_pool(POOL, score=score, key="other", store=store, chunk=4)
    assert len(asked) == len(POOL)


def test_a_broken_score_is_named_with_its_line(tmp_path: Path) -> None:
    store = tmp_path / "scores.jsonl"
    store.write_text(json.dumps(["a", 1.0]) + "\n{}\n")
    with pytest.raises(OperatorError, match=r"scores\.jsonl:2: broken line of stored scores; delete the line"):
        score_pool(POOL, score=lambda problems: [0.0] * len(problems), key="k", store=store)


def test_ablations_search_for_steps_or_for_what_all_questions_need() -> None:
    steps = ("Look at it. ", "There are two\ncircles.")
    attempts = {
        name: Attempt(
            id=name,
            problem=f"p-{name}",
            checkpoint="base",
            response="",
            steps=said,
            answer="B",
            correct=False,
            score=0.0,
            format_error=False,
        )
        for name, said in {"a": steps, "b": steps, "c": ()}.items()
    }
    mistakes = [
        Mistake(
            id=f"m-{name}",
            attempt=name,
            problem=f"p-{name}",
            iteration=3,
            method="answer_switch",
            status="found" if step >= 0 else "none",
            step=step,
        )
        for name, step in {"a": 1, "b": -1, "c": -1}.items()
    ]
    queries = steps_as_skills(mistakes, attempts=attempts)
    assert [(q.mistake, q.wording) for q in queries] == [
        ("m-a", "There are two circles."),
        ("m-b", "Look at it. There are two circles."),
    ]
    every = validation_as_skills(VALIDATION, required={"v1": ("count circles", "other")}, iteration=3)
    assert [(q.problem, q.wording, q.iteration) for q in every] == [("v1", "count circles other", 3)]
    found = METHODS["errata-bm25"](REQUEST._replace(skills=every, budget=99), means=MEANS).candidates
    assert {c.problem.id for c in found} == {"c1", "c2", "c3", "c4", "c5", "z"}
