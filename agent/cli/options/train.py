"""Options of `errata train`."""

from __future__ import annotations

import argparse
from pathlib import Path

from errata.agent.cli.options.data import KNOWN, add_reading_options


def add_train(sub: argparse.ArgumentParser) -> None:
    """Samples, a base, and the recipe as key=value pairs."""
    sub.add_argument(
        "samples", type=Path, metavar="SAMPLES", help="samples in any format (docs/data.md), or a run's folder"
    )
    sub.add_argument("--base", type=Path, required=True, metavar="FOLDER", help="model with its processor")
    sub.add_argument("--adapter", type=Path, metavar="FOLDER", help="checkpoint to go on from; it is merged first")
    sub.add_argument("--out", type=Path, metavar="FOLDER", help="folder of the checkpoint (default: ./trained)")
    sub.add_argument("--also", type=Path, action="append", default=[], metavar="SAMPLES", help="more samples")
    sub.add_argument(
        "--replay",
        type=Path,
        action="append",
        default=[],
        metavar="SAMPLES",
        help="general samples against forgetting: a tenth of what is trained on, or the share replay=N",
    )
    sub.add_argument(
        "--plan", choices=("p1", "p3"), help="stages of a paper: p3 trains perception first, then everything"
    )
    sub.add_argument("--explain", action="store_true", help="say what would be trained, and stop")
    sub.description = f"{sub.description} {KNOWN}"
    add_reading_options(sub)
    sub.add_argument("--prompt", default="student_cot", metavar="NAME", help="file in prompts/ (default: student_cot)")
    sub.add_argument("--image-first", action="store_true", help="pictures before the text of the question")
    sub.add_argument(
        "overrides", nargs="*", metavar="KEY=VALUE", help="values of the recipe, e.g. epochs=2 lora_rank=16"
    )
