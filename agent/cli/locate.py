"""`errata locate calibrate LABELS`: delta and lambda on annotated errors, with pictures and a table of statuses."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from errata.agent.run.disk import write_atomically
from errata.agent.settings.file import load_settings
from errata.tools.locate.calibrate import Calibration, calibrate, label_curves, read_labels
from errata.tools.locate.plots import gap_plot, heat_map


def run_calibrate(arguments: argparse.Namespace) -> int:
    """Reads labels, asks the teacher for curves where they have none, writes four files; returns the exit code."""
    labels = read_labels(arguments.labels)
    settings = load_settings(arguments.config, arguments.overrides)
    teacher = None
    if any(not label.gaps for label in labels):
        from errata.agent.loop.parts import build_teacher

        teacher = build_teacher(settings)
    curves = label_curves(labels, teacher=teacher, prior=settings.locate.prior)
    found = calibrate(labels, curves=curves, folds=arguments.folds, strict=arguments.strict)
    out: Path = arguments.out or arguments.labels.with_suffix(".calibration")
    out.mkdir(parents=True, exist_ok=True)
    gold = [label.step for label in labels]
    kind = "strict" if found.strict else "truncated"
    files = {
        "calibration.json": found.model_dump_json(indent=1) + "\n",
        "calibration.md": render_calibration(found),
        "grid.svg": heat_map(found.cells, title=f"Step accuracy in %, {found.labels} labels, {kind} windows"),
        "gaps.svg": gap_plot(curves, gold=gold, delta=found.delta, title="p(wrong) - p(gold) around the labelled step"),
    }
    for name, text in files.items():
        write_atomically(out / name, text)
    if arguments.json:
        summary = found.model_dump(exclude={"cells"}) | {"folder": str(out)}
        print(json.dumps(summary))
    else:
        sys.stdout.write(files["calibration.md"] + f"\nFiles: {out}\n")
    return 0


def render_calibration(found: Calibration) -> str:
    """The tables as Markdown."""
    rows = [
        ("tuned on all labels (optimistic)", f"{found.delta:.1f}", str(found.window), found.tuned),
        (f"held out, {found.folds} folds", "per fold", "per fold", found.held_out),
        ("defaults", "0.2", "12", found.default),
    ]
    lines = ["# Calibration of step location", "", "| setting | delta | lambda | accuracy |", "|---|---|---|---|"]
    lines += [f"| {n} | {d} | {w} | {a.value:.3f} ({a.low:.3f} to {a.high:.3f}) |" for n, d, w, a in rows]
    names = sorted(found.statuses_default.keys() | found.statuses_tuned.keys())
    lines += ["", "| status | defaults | tuned |", "|---|---|---|"]
    lines += [f"| {n} | {found.statuses_default.get(n, 0)} | {found.statuses_tuned.get(n, 0)} |" for n in names]
    return "\n".join(lines) + "\n"
