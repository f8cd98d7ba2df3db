"""`errata doctor`: what this machine has, and whether the settings files are sound."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import sys
from importlib import metadata
from pathlib import Path

from errata.agent.cli.doctor.findings import Check, report_checks
from errata.agent.settings.places import CONFIGS, find_runs, in_clone
from errata.tools.errors import OperatorError

NEEDED = (
    "torch",
    "transformers",
    "peft",
    "chromadb",
    "langgraph",
    "langgraph-checkpoint-sqlite",
    "langchain-core",
    "langchain-openai",
    "pydantic",
    "pyyaml",
    "numpy",
    "scipy",
    "pillow",
    "jinja2",
    "jsonschema",
    "tenacity",
    "rich",
)
OPTIONAL = {"vllm": "serve", "diffusers": "synth", "ray": "scale", "datasets": "scale", "pytest": "dev"}
INSTALL = "run: make setup" if in_clone() else "run: pip install --upgrade errata-vlm"
GIB = 2**30
MIN_DISK, MIN_MEMORY = 2 * GIB, 3 * GIB
"""What the demo needs: free disk for pictures and checkpoints, memory for two students and the pool."""


def run_doctor(arguments: argparse.Namespace) -> int:
    """Print the findings; returns 1 if one of them prevents the demo, or the teacher that was asked about."""
    if arguments.teacher is not None:
        from errata.agent.cli.doctor.teacher import probe_teacher

        return report_checks(probe_teacher(arguments.teacher), json_lines=arguments.json, about="the teacher")
    if arguments.student is not None:
        from errata.agent.cli.doctor.student import probe_model

        found = probe_model(arguments.student, prompt=arguments.prompt, image_first=arguments.image_first)
        return report_checks(found, json_lines=arguments.json, about="the student")
    checks = [
        *check_python(),
        *check_packages(),
        check_device(),
        check_memory(),
        *check_disk(),
        *check_settings(),
    ]
    return report_checks(checks, json_lines=arguments.json, about="the demo")


def check_python() -> list[Check]:
    """Interpreter and processors."""
    version = ".".join(map(str, sys.version_info[:3]))
    return [
        Check("python", sys.version_info >= (3, 11), version, "install Python 3.11 or later"),
        Check("system", None, f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors"),
    ]


def check_packages() -> list[Check]:
    """Versions of what is needed, and which extras are installed."""
    checks = []
    for name in NEEDED:
        version = _version(name)
        checks.append(Check(name, version is not None, version or "not installed", INSTALL))
    for name, extra in OPTIONAL.items():
        checks.append(Check(name, None, _version(name) or f"not installed (extra `{extra}`)"))
    return checks


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def check_device() -> Check:
    """The device that torch would use."""
    try:
        import torch
    except ImportError as error:
        return Check("device", False, f"torch cannot be loaded ({error})", INSTALL)
    if torch.cuda.is_available():
        name, memory = torch.cuda.get_device_name(0), torch.cuda.get_device_properties(0).total_memory
        return Check("device", True, f"{torch.cuda.device_count()} x {name}, {memory / GIB:.0f} GiB each")
    return Check("device", True, f"processor, {torch.get_num_threads()} threads (the demo needs no GPU)")


def check_memory() -> Check:
    """Free memory, if the system reports it."""
    try:
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        whole = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return Check("memory", None, "the system does not tell")
    return Check(
        "memory",
        whole >= MIN_MEMORY,
        f"{whole / GIB:.1f} GiB, {free / GIB:.1f} GiB unused",
        f"the demo needs {MIN_MEMORY / GIB:.0f} GiB",
    )


def check_disk() -> list[Check]:
    """Room for runs, and whether they can be written."""
    runs = find_runs().absolute()
    folder = next(path for path in (runs, *runs.parents) if path.exists())
    free = shutil.disk_usage(folder).free
    return [
        Check(
            "disk",
            free >= MIN_DISK,
            f"{free / GIB:.1f} GiB free for {folder}",
            f"make {MIN_DISK / GIB:.0f} GiB free",
        ),
        Check(
            "runs",
            os.access(folder, os.W_OK),
            f"{folder} can be written" if os.access(folder, os.W_OK) else f"{folder} cannot be written",
            "give --runs-dir FOLDER",
        ),
    ]


def check_settings() -> list[Check]:
    """Every file in runs/configs/: read, validated, and its files looked for."""
    return [_check_config(path) for path in sorted(CONFIGS.glob("*.yaml"))]


def _check_config(path: Path) -> Check:
    from errata.agent.settings.file import DATA_VARIABLE, load_settings

    try:
        load_settings(path, data_root=os.environ.get(DATA_VARIABLE))
    except OperatorError as error:
        blocking = False if path.stem == "demo" else None
        return Check(path.name, blocking, str(error).removeprefix(f"{path}:"))
    return Check(path.name, True, "sound")
