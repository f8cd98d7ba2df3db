"""What is said while a run goes on."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator

import pytest

from agent.run.reporter import BudgetView
from agent.show.json_lines import JsonReporter
from agent.show.live import LiveReporter
from agent.show.plain_lines import PlainReporter
from agent.show.progress import ClosableReporter, make_reporter
from agent.show.stage_progress import StageProgress
from tests.agent.made_run import make_comparison, make_scorecard
from tools.records import Cost, Decision


class Clock:
    """Gives the times it was given, and runs out."""

    def __init__(self, *times: float) -> None:
        self._times: Iterator[float] = iter(times)

    def __call__(self) -> float:
        return next(self._times)


def tell_all(reporter: ClosableReporter) -> None:
    """Everything that the loop can tell."""
    reporter.stage_started("evaluate", iteration=1, total=4)
    reporter.stage_advanced("evaluate", iteration=1, done=2, total=4, correct=1)
    reporter.stage_ended("evaluate", iteration=1, seconds=1.5, summary="gate 3 of 4")
    reporter.scored(make_scorecard("base", "gate", correct=(8, 8)))
    decision = Decision(
        id="d", iteration=1, batch="1-1", step=0, tool="locate_mistakes", arguments={}, reason="to know [why]",
        cost=Cost(), outcome="4 of 4 located",
    )  # fmt: skip
    reporter.decision_made(decision)
    reporter.compared(make_comparison("a", "b", "gate", gain=0.25, low=0.1, accepted=True))
    reporter.budget_changed(BudgetView(5, 900, 61.0, None, 8, 100, 1, 3))
    reporter.run_ended("no_gain_twice", resume=False)
    reporter.close()


def test_plain_lines() -> None:
    stream = io.StringIO()
    tell_all(PlainReporter(stream, clock=lambda: 0.0))
    lines = stream.getvalue().splitlines()
    assert lines[0] == "[1] evaluate: 4 to do"
    assert lines[-1] == "ended: no gain twice"
    text = stream.getvalue()
    for part in (
        "gate accuracy 40.0 % (26.0 to 54.0) of 40",
        "1-1: locate_mistakes, to know [why] -> 4 of 4 located",
        "gate: accepted: the gain is beyond noise",
        "samples 5/900 · teacher calls 8/100 · seconds 61",
    ):
        assert part in text


def test_plain_progress_is_not_said_too_often() -> None:
    stream, now = io.StringIO(), [0.0]
    reporter = PlainReporter(stream, clock=lambda: now[0])
    reporter.stage_started("train", iteration=1, total=100)
    for step in range(1, 101):
        now[0] += 1.0
        reporter.stage_advanced("train", iteration=1, done=step, total=100, correct=None)
    lines = stream.getvalue().splitlines()
    assert len(lines) == 11
    assert lines[1] == "[1]   train 10/100, 1:30 left"


def test_time_left_does_not_count_what_was_there_before_a_resume() -> None:
    tracker = StageProgress(Clock(0.0, 0.0, 100.0, 110.0, 110.0))
    tracker.start("evaluate", iteration=1, total=400)
    tracker.advance(done=300, total=400, correct=150)
    tracker.advance(done=350, total=400, correct=170)
    assert tracker.eta() == pytest.approx(10.0)


def test_branches_of_a_stage_are_counted_together() -> None:
    stream = io.StringIO()
    reporter = PlainReporter(stream, clock=lambda: 0.0)
    for _ in range(2):
        reporter.stage_started("investigate", iteration=1, total=2)
    reporter.stage_ended("investigate", iteration=1, seconds=1.0, summary="batch 1-1")
    assert stream.getvalue().count("to do") == 1
    tracker = StageProgress(lambda: 0.0)
    assert tracker.start("investigate", iteration=1, total=2)
    tracker.end()
    assert not tracker.start("investigate", iteration=1, total=2)
    tracker.end()
    assert tracker.text() == "investigate 2/2"


def test_json_lines_carry_whole_records() -> None:
    stream = io.StringIO()
    tell_all(JsonReporter(stream))
    events = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [e["event"] for e in events] == [
        "stage_started", "stage_advanced", "stage_ended", "scored", "decision_made", "compared", "budget_changed",
        "run_ended",
    ]  # fmt: skip
    assert events[3]["scorecard"]["correct"] == 16
    assert events[6]["teacher_calls_limit"] == 100


def test_the_live_display_gives_the_terminal_back(capsys: pytest.CaptureFixture[str]) -> None:
    reporter = LiveReporter()
    tell_all(reporter)
    out, err = capsys.readouterr()
    assert out == ""
    assert "to know [why]" in err
    assert "ended: no gain twice" in err


def test_the_reporter_fits_the_stream() -> None:
    assert isinstance(make_reporter(json_lines=True), JsonReporter)
    assert isinstance(make_reporter(json_lines=False, stream=io.StringIO()), PlainReporter)
