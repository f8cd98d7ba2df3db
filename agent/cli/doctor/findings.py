"""Findings of `errata doctor`, and how they are printed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple


class Check(NamedTuple):
    """One finding; `ok` is None if it is information only."""

    name: str
    ok: bool | None
    found: str
    remedy: str = ""


def report_checks(checks: Sequence[Check], *, json_lines: bool, about: str) -> int:
    """Print them, as lines or as one JSON object; 1 when one failed."""
    failed = [check for check in checks if check.ok is False]
    if json_lines:
        print(json.dumps({"ok": not failed, "checks": [check._asdict() for check in checks]}))
    else:
        for check in checks:
            mark = {True: "ok  ", False: "FAIL", None: "    "}[check.ok]
            remedy = f"; {check.remedy}" if check.ok is False and check.remedy else ""
            print(f"{mark} {check.name}: {check.found}{remedy}")
        print(f"everything that {about} needs is here" if not failed else f"{len(failed)} to mend")
    return 1 if failed else 0
