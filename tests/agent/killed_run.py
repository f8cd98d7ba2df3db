"""A run that is killed in the middle, in a process of its own: SIGKILL when student or teacher have no more to give.

python -m tests.agent.killed_run RUN_FOLDER SETTINGS_FILE ANSWERS CALLS
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from errata.agent.loop.driver import run_loop
from errata.agent.loop.parts import Parts
from errata.agent.run.folder import RunFolder
from errata.agent.settings.file import load_settings
from errata.tools.records import Problem
from tests.agent.loop_fakes import ScriptedTeacher, TableStudent


class MortalStudent(TableStudent):
    """Dies instead of giving one answer too many."""

    def answer(self, problem: Problem, learned: dict[str, int]) -> str:
        if self.lives == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().answer(problem, learned)


class MortalTeacher(ScriptedTeacher):
    """Dies instead of giving one reply too many."""

    def _spend(self, keys: Sequence[str]) -> None:
        if self.lives < len(keys):
            os.kill(os.getpid(), signal.SIGKILL)
        super()._spend(keys)


if __name__ == "__main__":
    path, file, answers, calls = sys.argv[1:]
    parts = Parts(student=MortalStudent(lives=int(answers)), teacher=MortalTeacher(lives=int(calls)))
    run_loop(load_settings(Path(file)), folder=RunFolder(Path(path)), parts=parts)
