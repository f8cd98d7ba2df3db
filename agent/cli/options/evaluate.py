"""Options of `errata eval`."""

from __future__ import annotations

import argparse
from pathlib import Path

from errata.agent.cli.options.data import KNOWN, add_reading_options
from errata.agent.cli.options.values import positive


def add_eval(sub: argparse.ArgumentParser) -> None:
    """Questions, a model, and how it is asked."""
    sub.add_argument(
        "questions", type=Path, metavar="FILE", help="questions in any format (docs/data.md), or a folder of splits"
    )
    sub.add_argument("--model", type=Path, required=True, metavar="FOLDER", help="model with its processor")
    sub.add_argument("--adapter", type=Path, metavar="FOLDER", help="LoRA adapter, e.g. runs/NAME/checkpoints/ID")
    sub.description = f"{sub.description} {KNOWN}"
    add_reading_options(sub)
    sub.add_argument(
        "--split",
        default="test",
        choices=("pool", "diagnosis", "gate", "test"),
        help="part of a dataset folder (default: test)",
    )
    sub.add_argument("--prompt", default="student_cot", metavar="NAME", help="file in prompts/ (default: student_cot)")
    sub.add_argument("--image-first", action="store_true", help="pictures before the text of the question")
    sub.add_argument("--limit", type=positive, metavar="N", help="only the first N questions")
    sub.add_argument("--workers", type=positive, default=1, metavar="N", help="processes (default: 1)")
    sub.add_argument("--batch", type=positive, default=64, metavar="N", help="questions per batch (default: 64)")
    sub.add_argument("--max-new-tokens", type=positive, default=256, metavar="N", help="longest answer (default: 256)")
    sub.add_argument(
        "--out", type=Path, metavar="FILE", help="write every answer as JSONL; a second call goes on from it"
    )
