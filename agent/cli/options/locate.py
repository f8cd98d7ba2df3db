"""Options of `errata locate`."""

from __future__ import annotations

import argparse
from pathlib import Path

from errata.agent.cli.options.values import positive
from errata.agent.settings.places import CONFIGS


def add_locate(sub: argparse.ArgumentParser) -> None:
    """Labels, and the settings whose teacher is asked."""
    actions = sub.add_subparsers(dest="action", metavar="ACTION", required=True)
    text = "delta and lambda on annotated errors"
    calibrate = actions.add_parser("calibrate", help=text, description=text[0].upper() + text[1:] + ".")
    calibrate.add_argument("labels", type=Path, metavar="LABELS", help="JSONL of labelled errors (docs/locate.md)")
    calibrate.add_argument(
        "--config",
        type=Path,
        default=CONFIGS / "demo.yaml",
        metavar="CONFIG",
        help="settings file whose teacher is asked for labels without gaps (default: the demo's)",
    )
    calibrate.add_argument(
        "overrides", nargs="*", metavar="key=value", help="changes to the settings, e.g. teacher.kind=local"
    )
    calibrate.add_argument("--folds", type=positive, default=5, metavar="N", help="of the split (default: 5)")
    calibrate.add_argument("--strict", action="store_true", help="whole windows only")
    calibrate.add_argument("--out", type=Path, metavar="FOLDER", help="default: LABELS.calibration")
    calibrate.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="result on stdout as JSON")
