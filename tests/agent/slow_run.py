"""A run that takes its time, with lines on the terminal, in a process of its own.

python -m tests.agent.slow_run RUN_FOLDER SETTINGS_FILE
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from errata.agent.cli.run import run_to_end
from errata.agent.loop.driver import run_loop
from errata.agent.loop.parts import Parts
from errata.agent.run.folder import RunFolder
from errata.agent.settings.file import load_settings
from errata.agent.show.progress.reporters import ClosableReporter
from errata.tools.records import Problem
from tests.agent.loop_fakes import ScriptedTeacher, TableStudent


class SlowStudent(TableStudent):
    """Takes a moment for every answer."""

    def answer(self, problem: Problem, learned: dict[str, int]) -> str:
        time.sleep(0.05)
        return super().answer(problem, learned)


if __name__ == "__main__":
    folder, parts = RunFolder(Path(sys.argv[1])), Parts(student=SlowStudent(), teacher=ScriptedTeacher())

    def loop(reporter: ClosableReporter) -> object:
        """The loop with this reporter."""
        return run_loop(load_settings(Path(sys.argv[2])), folder=folder, reporter=reporter, parts=parts)

    sys.exit(run_to_end(folder, loop, json_lines=False))
