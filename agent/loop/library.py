"""Errata from Python: start a run, and look into one. The command line does the same with a report at the end."""

from __future__ import annotations

import os
from pathlib import Path

from errata.agent.loop.checks import check_parts, find_parts
from errata.agent.loop.driver import resume_loop, run_loop
from errata.agent.run.find import find_run, make_run
from errata.agent.run.folder import RunFolder
from errata.agent.run.lineage import Archive, Node
from errata.agent.run.outcome import Outcome, read_outcome, read_settings
from errata.agent.run.questions import validation_problems
from errata.agent.run.reporter import Reporter
from errata.agent.settings.file import DATA_VARIABLE, load_settings
from errata.agent.settings.places import CONFIGS, OWN_SETTINGS, find_runs
from errata.agent.settings.tree import Settings
from errata.tools.errors import StopRequested


class Run:
    """One run in its folder; everything is read anew when it is asked for."""

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r}, {self.outcome.state})"

    @property
    def path(self) -> Path:
        """The folder of the run."""
        return self._folder.path

    @property
    def settings(self) -> Settings:
        """The settings that the run was started with."""
        return read_settings(self._folder)

    @property
    def outcome(self) -> Outcome:
        """What the run came to so far: checkpoints, scorecards, comparisons, decisions, lessons."""
        return read_outcome(self._folder)

    def trace(self, name: str) -> Node:
        """A record and all that it came from; the beginning of an id is enough. Raises OperatorError."""
        archive = Archive(self._folder, problems=validation_problems(self._folder))
        return archive.trace(*archive.find(name))

    def resume(self, *, reporter: Reporter | None = None) -> Outcome:
        """Go on where the run stopped; nothing is done or paid twice. Raises OperatorError."""
        settings = load_settings(self.path / "settings.yaml", saved=True)
        check_parts(settings)
        parts = find_parts(settings)
        try:
            resume_loop(self._folder, reporter=reporter, parts=parts)
        except StopRequested:
            return self.outcome
        return self.outcome


def improve(
    settings: str | Path | None = None,
    *overrides: str,
    runs: str | Path | None = None,
    reporter: Reporter | None = None,
) -> Outcome:
    """Run the loop by a settings file until it ends, and return what came of it.

    `settings` None is errata.yaml of the current folder, and the embedded world's settings where there is none.
    `overrides` are `key.path=value`; `runs` is the folder of runs. A run that was stopped in order has the state
    `stopped`, and `open_run(outcome.run).resume()` goes on. Raises OperatorError for what a person has to mend.
    """
    own = OWN_SETTINGS if OWN_SETTINGS.is_file() else CONFIGS / "demo.yaml"
    loaded = load_settings(Path(settings or own), overrides, data_root=os.environ.get(DATA_VARIABLE))
    check_parts(loaded)
    parts = find_parts(loaded)
    folder = make_run(Path(runs) if runs else find_runs(), loaded.run.name)
    try:
        run_loop(loaded, folder=folder, reporter=reporter, parts=parts)
    except StopRequested:
        return read_outcome(folder)
    return read_outcome(folder)


def open_run(name: str = "last", *, runs: str | Path | None = None) -> Run:
    """The run of that name, at that path, or the newest. Raises OperatorError."""
    return Run(find_run(Path(runs) if runs else find_runs(), name))
