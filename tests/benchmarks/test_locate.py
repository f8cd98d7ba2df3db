"""The comparison of location methods on a few errors: every method has its rows, and the lines count what is there."""

import pytest

from benchmarks.counting import CountingTeacher
from benchmarks.fault_diagnosis import make_errors
from benchmarks.locate import COLUMNS, EXACT_NAME, FIRST, FULL, LOCAL, OURS, measure, summarise, tell
from benchmarks.locate_notes import ORDER
from errata.tools.locate.rivals import METHODS
from errata.tools.teacher.protocol import OptionRequest
from errata.tools.teacher.world import WorldTeacher

ERRORS = 12


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    attempts, problems = make_errors(ERRORS, seed=1)
    folder = tmp_path_factory.mktemp("locate")
    return folder, measure(attempts, problems=problems, folder=folder, quick=True, tables=folder)


def test_every_teacher_has_a_row_for_every_method(measured):
    _, found = measured
    assert set(found.compared) == {FIRST, EXACT_NAME, "symbolic, default noise"}
    for compared in found.compared.values():
        assert {*METHODS, FULL} <= set(compared.scores)
        assert all(len(row) == len(COLUMNS) for row in compared.rows)
        assert compared.scores["random_step"]["calls"] == 0
        assert compared.scores[OURS]["calls"] <= compared.scores[FULL]["calls"]


def test_the_summary_holds_what_readers_of_the_table_look_for(measured):
    folder, found = measured
    result = summarise(found)
    assert (result["errors"], result["skip_equals_full"]) == (ERRORS, True)
    assert result["lead"] == min(lead["value"] for lead in result["leads"].values())
    assert set(result["rates_picture_shown"]) == set(result["rates"]) == set(found.compared)
    assert result["rates_picture_shown"][EXACT_NAME]["starts_without"] > result["rates"][EXACT_NAME]["starts_without"]
    assert {"truncated all", "strict all"} <= set(result["grid"])
    assert len(list(folder.glob("locate.quick-grid-*.svg"))) == len(result["grid"])


def test_the_lines_name_the_order_and_what_was_not_measured(measured):
    _, found = measured
    lines = tell(found, summarise(found))
    assert all(any(name in line for line in lines) for name in ORDER)
    assert "The local language model was not trained: no rows." in lines
    assert LOCAL not in found.compared
    assert sum("| shown |" in line for line in lines) == 3


def test_the_counting_teacher_counts_rounds_requests_and_words():
    attempts, problems = make_errors(1, seed=1)
    counted = CountingTeacher(WorldTeacher())
    problem = problems[attempts[0].problem]
    request = OptionRequest(problem="p", question=problem.question, options=problem.choices, prior=(), steps=())
    counted.option_probabilities([request, request])
    assert (counted.rounds, counted.calls, len(counted.requests)) == (1, 2, 2)
    assert counted.words > 0
