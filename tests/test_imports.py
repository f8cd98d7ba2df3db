"""What importing costs, and which way imports go."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HOUSE = Path(__file__).resolve().parent.parent
HEAVY = ("torch", "transformers", "peft", "chromadb", "diffusers", "datasets", "ray", "vllm")
OWNERS = {
    "tools/evaluate/worker.py",
    "tools/retrieve/chroma.py",
    "tools/train/collate.py",
    "tools/train/load.py",
    "tools/train/worker.py",
}
"""Modules that may import what is heavy at their top, because only processes of their own import them."""
RANK = {"prompts": 0, "tools": 1, "agent": 2}


def modules(*rooms: str) -> list[Path]:
    """Python files of the rooms, relative to the house."""
    return sorted(p.relative_to(HOUSE) for room in rooms for p in (HOUSE / room).rglob("*.py"))


def run_python(code: str) -> str:
    """Standard output of a fresh interpreter in the house."""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=HOUSE, capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def loaded(code: str, names: tuple[str, ...]) -> list[str]:
    """Which of `names` a fresh interpreter has loaded after `code`."""
    return run_python(f"import sys\n{code}\nprint(*[n for n in {names!r} if n in sys.modules])").split()


def top_imports(path: Path, *, everywhere: bool) -> Iterator[str]:
    """Names of imported modules, at the top level or anywhere; those for type checkers alone left out."""
    tree = ast.parse((HOUSE / path).read_text(encoding="utf-8"))
    nodes = ast.walk(tree) if everywhere else iter(tree.body)
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def test_importing_agent_and_tools_loads_nothing_heavy() -> None:
    names = [
        ".".join(p.with_suffix("").parts).removesuffix(".__init__")
        for p in modules("agent", "tools", "prompts")
        if p.as_posix() not in OWNERS and p.name != "__main__.py"
    ]
    code = "\n".join(f"import {name}" for name in names)
    assert len(names) > 40
    assert loaded(code, HEAVY) == []


def test_help_loads_argparse_and_little_else() -> None:
    code = (
        "import contextlib, io, agent.cli.main\n"
        "with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):\n"
        "    agent.cli.main.main(['--help'])"
    )
    assert loaded(code, (*HEAVY, "numpy", "scipy", "pydantic", "langgraph", "rich", "yaml", "jinja2")) == []


@pytest.mark.parametrize("path", modules("agent", "tools", "prompts"), ids=str)
def test_imports_go_one_way(path: Path) -> None:
    room = path.parts[0]
    for name in top_imports(path, everywhere=True):
        other = name.partition(".")[0]
        assert RANK.get(other, -1) <= RANK[room], f"{path} imports {name}"


@pytest.mark.parametrize("path", modules("agent", "tools"), ids=str)
def test_only_owners_import_heavy_modules_at_the_top(path: Path) -> None:
    if path.as_posix() not in OWNERS:
        heavy = [n for n in top_imports(path, everywhere=False) if n.partition(".")[0] in HEAVY]
        assert heavy == []


def test_owners_exist() -> None:
    assert all((HOUSE / path).is_file() for path in OWNERS)
