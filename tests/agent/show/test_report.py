"""The report says what the records say, needs nothing beside itself, and hides no bad news."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from errata.agent.run.folder import RunFolder
from errata.agent.run.outcome import changes_by_skill, cost_by_stage, read_outcome
from errata.agent.run.sentences import chance_of, chance_sentence, verdict
from errata.agent.show.charts import accuracy_chart, gap_curve
from errata.agent.show.report import render_report, write_report
from errata.tools.records import Comparison, Interval, Problem, Scorecard
from tests.agent.made_run import FIRST, make_problem, make_run, make_scorecard

Made = tuple[RunFolder, dict[str, Problem]]


@pytest.fixture
def page(made: Made) -> str:
    return write_report(made[0], problems=made[1]).read_text(encoding="utf-8")


def test_it_needs_nothing_beside_itself(page: str) -> None:
    sources = re.findall(r'(?:src|href)="([^"]{0,30})', page)
    assert sources
    assert all(source.startswith("data:image/") for source in sources)
    assert "<script" not in page
    assert "@import" not in page
    assert "url(" not in page


def test_it_shows_result_costs_and_gaps_in_the_data(page: str) -> None:
    text = " ".join(re.sub(r"<[^>]+>", " ", page.partition("<body>")[2]).split())
    for part in (
        "Accuracy rose from 45.0 % to 62.5 % on the 40 test questions (+17.5 points, 95 % interval +10.0 to +25.0).",
        "1 of 2",
        "accepted: the gain is beyond noise",
        "rejected: the gain is within noise",
        "pool.jsonl picture is missing 3",
        "The pool shares no picture and no question",
        "investigate 2.5 s 8 8 –",
        "1 min 01 s",
        "45 → 85 % of 20",
        "most errors lack one skill",
    ):
        assert part in text


def test_a_mistake_comes_with_its_step_its_skill_and_its_lessons(page: str) -> None:
    assert '<li class="wrong"><span>2</span><div> It is blue.</div></li>' in page
    assert "Which colour has square 0 &lt;in the picture&gt;?" in page
    assert "naming the colour" in page
    assert page.count('<article class="example">') == 2  # one per skill
    assert page.count('class="curve"') == 2


def test_no_test_question_is_shown(made: Made, page: str) -> None:
    secret = next(p for p in made[1].values() if p.split == "test")
    shown = render_report(
        made[0], problems={**made[1], secret.id: secret.model_copy(update={"question": "the secret question"})}
    )
    assert "the secret question" not in shown
    assert secret.id not in page


def test_a_gain_within_noise_is_called_so(tmp_path: Path) -> None:
    folder, problems = make_run(tmp_path, low=-0.05)
    assert "The gain is within noise" in render_report(folder, problems=problems)


def test_a_result_near_chance_is_called_so(made: Made) -> None:
    folder, problems = made
    cards = folder.read_records("scorecards.jsonl", Scorecard)
    poor = make_scorecard(FIRST, "test", correct=(6, 6))
    folder.write_records("scorecards.jsonl", [poor if c.id == poor.id else c for c in cards])
    sentences = verdict(read_outcome(folder), chance=chance_of(problems.values()))
    assert any("near chance" in sentence and "25.0 %" in sentence for sentence in sentences)


def test_a_result_below_chance_is_not_called_near_it() -> None:
    card = make_scorecard(FIRST, "test", correct=(0, 1)).model_copy(update={"format_errors": 9})
    said = chance_sentence(card, 0.9)
    assert said.startswith("This is below chance: guessing among the choices would give 90.0 %")
    assert f"9 of {card.total} answers could not be read" in said


def test_without_an_accepted_checkpoint_the_base_stands(made: Made) -> None:
    folder, problems = made
    pairs = folder.read_records("comparisons.jsonl", Comparison)
    refused = [c.model_copy(update={"accepted": False}) for c in pairs if c.split == "gate"]
    folder.write_records("comparisons.jsonl", refused)
    outcome = read_outcome(folder)
    assert outcome.best == outcome.base
    assert "No checkpoint was accepted" in render_report(folder, problems=problems)


def test_a_run_that_only_began_has_a_report(made: Made, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "began")
    folder.write_text("settings.yaml", (made[0].path / "settings.yaml").read_text())
    assert "Nothing has been measured yet." in render_report(folder, problems={})


def test_a_missing_picture_leaves_a_gap_and_no_fault(made: Made) -> None:
    for path in made[0].path.parent.glob("pictures-*/diagnosis-*.png"):
        path.unlink()
    assert "Which colour has square 0" in render_report(made[0], problems=made[1])


def test_skills_are_sorted_by_gain(made: Made) -> None:
    changes = changes_by_skill(read_outcome(made[0]))
    assert [(c.before, c.after, c.total) for c in changes] == [(9, 17, 20), (9, 8, 20)]


def test_unknown_cost_stays_unknown() -> None:
    ledger = [
        {"stage": "train", "seconds": 2.0},
        {"stage": "train", "seconds": 3.0, "samples": 4},
        {"stage": "gate", "seconds": None},
    ]
    train, gate = cost_by_stage(ledger)
    assert (train.seconds, train.asked, train.samples) == (5.0, None, 4)
    assert gate.seconds is None


def test_chance_counts_free_form_as_none(tmp_path: Path) -> None:
    choice = make_problem(0, split="gate", folder=tmp_path)
    free = choice.model_copy(update={"choices": (), "target": "red", "scoring": "exact"})
    assert chance_of([choice, free]) == pytest.approx(0.125)
    assert chance_of([]) is None


def test_a_curve_marks_the_step_and_what_was_not_asked() -> None:
    curve = gap_curve((-0.5, None, 0.2, 0.9), step=1, delta=0.2)
    assert curve.count('class="unprobed"') == 1
    assert curve.count('class="probe over"') == 2  # 0.2 counts as over 0.2
    assert 'class="found" x1="65.33%"' in curve
    assert 'class="found"' not in gap_curve((-0.5, 0.1), step=-1, delta=0.2)


def test_a_chart_of_one_measurement_is_drawn() -> None:
    value = Interval(value=0.5, low=0.4, high=0.6)
    from errata.agent.show.charts import Point

    assert 'cx="53.00%"' in accuracy_chart([Point(0, value, "kept")], labels=["base"], chance=None)
