"""What is said while a run goes on."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator

import pytest

from errata.agent.run.reporter import BudgetView
from errata.agent.show.progress.batch_lines import BatchLines
from errata.agent.show.progress.json_lines import JsonReporter
from errata.agent.show.progress.plain_lines import PlainReporter
from errata.agent.show.progress.reporters import ClosableReporter, make_reporter
from errata.agent.show.progress.stage_progress import StageProgress
from errata.agent.show.progress.terminal import LiveReporter
from errata.tools.records import Cost, Decision
from tests.agent.made_run import make_comparison, make_scorecard


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


def decision(batch: str, tool: str, outcome: str, *, samples: int = 0, **arguments: object) -> Decision:
    return Decision(
        id=f"{batch}{tool}", iteration=1, batch=batch, step=0, tool=tool, arguments=arguments, reason="why",
        cost=Cost(samples=samples), outcome=outcome,
    )  # fmt: skip


def test_plain_lines() -> None:
    stream = io.StringIO()
    tell_all(PlainReporter(stream, clock=lambda: 0.0))
    assert stream.getvalue().splitlines() == [
        "[1] evaluate, 1.5 s: gate 3 of 4",
        "[1] gate: accepted: the gain is beyond noise",
        "[1] iteration 1/3 · samples 5/900 · teacher calls 8/100 · seconds 61",
        "[1] batch 1-1, locate_mistakes: 4 of 4 located",
        "ended: no gain twice",
    ]


def test_a_batch_is_told_in_one_line_for_each_tool() -> None:
    stream = io.StringIO()
    reporter = PlainReporter(stream, clock=lambda: 0.0)
    told = [
        decision("1-1", "locate_mistakes", "9 errors: 8 found, 1 none"),
        decision("1-2", "locate_mistakes", "9 errors: 9 found"),
        decision("1-1", "retrieve_samples", "found 3 of 4", samples=3, skill="a", budget=4),
        decision("1-1", "retrieve_samples", "found 2 of 2", samples=2, skill="b", budget=2),
        decision("1-1", "retrieve_samples", "refused: no missing skill 'c'", skill="c", budget=9),
    ]
    for one in told:
        reporter.decision_made(one)
    assert stream.getvalue() == ""
    reporter.decision_made(decision("1-1", "finish_batch", "refused: no reason"))
    assert stream.getvalue() == ""
    reporter.decision_made(decision("1-1", "finish_batch", "finished"))
    assert stream.getvalue().splitlines() == [
        "[1] batch 1-1, locate_mistakes: 9 errors: 8 found, 1 none",
        "[1] batch 1-1, retrieve_samples: 3 calls, 5 of 6 samples for 3 skills, 1 calls refused",
    ]
    reporter.run_ended("stopped_by_user", resume=True)
    assert stream.getvalue().splitlines()[2:] == [
        "[0] batch 1-2, locate_mistakes: 9 errors: 9 found",
        "stopped: stopped by user",
    ]


def test_a_batch_that_did_not_end_itself_says_why() -> None:
    lines = BatchLines().add(decision("1-1", "finish_batch", "ended by the limit of 5 steps"))
    assert lines == ["batch 1-1: ended by the limit of 5 steps"]


def test_plain_progress_comes_less_often_the_longer_a_stage_lasts() -> None:
    stream, now = io.StringIO(), [0.0]
    reporter = PlainReporter(stream, clock=lambda: now[0])
    reporter.stage_started("train", iteration=1, total=1000)
    for step in range(1, 1001):
        now[0] += 1.0
        reporter.stage_advanced("train", iteration=1, done=step, total=1000, correct=None)
    lines = stream.getvalue().splitlines()
    assert [line.split("/")[0] for line in lines] == [f"[1] train {done}" for done in (60, 180, 420, 720)]
    assert lines[0] == "[1] train 60/1,000, 15:40 left"


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
    assert stream.getvalue() == ""
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
    assert "batch 1-1, locate_mistakes: 4 of 4 located" in err
    assert "ended: no gain twice" in err


def test_the_reporter_fits_the_stream() -> None:
    assert isinstance(make_reporter(json_lines=True), JsonReporter)
    assert isinstance(make_reporter(json_lines=False, stream=io.StringIO()), PlainReporter)
