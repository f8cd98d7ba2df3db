"""What the benchmark scripts share: arguments, runs of the command line, intervals, and the table in docs/."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
TABLES = ROOT / "docs" / "tables"


def parse_arguments(text: str) -> argparse.Namespace:
    """`--quick` (a smaller run of the same thing) and `--runs-dir` (where the runs go)."""
    parser = argparse.ArgumentParser(description=text)
    parser.add_argument("--quick", action="store_true", help="fewer seeds, kills or errors; same steps")
    parser.add_argument("--runs-dir", type=Path, default=ROOT / "runs" / "benchmarks", help="where the runs go")
    return parser.parse_args()


def need(*modules: str, extra: str) -> None:
    """End with one line when a package that this script compares with, or reads by, is not installed."""
    missing = [name for name in modules if find_spec(name) is None]
    if missing:
        remedy = f"{sys.executable} -m pip install -c constraints.txt -e '.[{extra}]'"
        print(f"benchmarks: {', '.join(missing)} not installed; to install: {remedy}", file=sys.stderr)
        raise SystemExit(2)


def errata(*words: object) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own."""
    command = [sys.executable, "-m", "errata.agent", *map(str, words)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def last_object(output: str) -> dict[str, Any]:
    """The JSON object on the last line."""
    found: dict[str, Any] = json.loads(output.strip().splitlines()[-1])
    return found


def write_table(
    name: str,
    *,
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[object]],
    result: dict[str, Any],
    notes: Sequence[str],
    quick: bool,
) -> None:
    """Write docs/tables/NAME.md and NAME.json (with `--quick`: NAME.quick.*) and print the object last."""
    stem = f"{name}.quick" if quick else name
    TABLES.mkdir(parents=True, exist_ok=True)
    lines = [f"# {title}", "", "| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(format_cell(c) for c in row) + " |" for row in rows]
    lines += ["", *notes, "", f"Written by `python -m benchmarks.{name}{' --quick' if quick else ''}`."]
    (TABLES / f"{stem}.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (TABLES / f"{stem}.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print("\n".join(lines))
    print(json.dumps(result), flush=True)


def format_cell(value: object) -> str:
    """Three decimals for a fraction, the rest as it is."""
    return f"{value:.3f}" if isinstance(value, float) else str(value)
