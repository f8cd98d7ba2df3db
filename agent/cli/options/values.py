"""Values that options take."""

from __future__ import annotations

import argparse


def positive(text: str) -> int:
    """A whole number of at least 1; argparse prints what is wrong."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return value
