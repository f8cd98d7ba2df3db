"""What importing costs, and which way imports go."""

from __future__ import annotations

import ast
import graphlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HOUSE = Path(__file__).resolve().parent.parent
HEAVY = ("torch", "transformers", "peft", "chromadb", "diffusers", "datasets", "ray", "vllm")
OWNERS = {
    *("tools/evaluate/backends/" + name for name in ("parity.py", "server_answers.py", "server_parity.py", "sides.py")),
    "tools/evaluate/backends/vllm_answers.py",
    "tools/evaluate/generate.py",
    "tools/evaluate/worker.py",
    "tools/retrieve/chroma.py",
    *("tools/student/" + name for name in ("checks.py", "collate.py", "encode.py", "features.py", "load.py")),
    *("tools/student/" + name for name in ("loss.py", "positions.py")),
    *("tools/train/" + name for name in ("attach.py", "checks.py", "feature_store.py", "fit.py", "ranks.py")),
    *("tools/train/" + name for name in ("probe.py", "stream.py", "training.py", "worker.py")),
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
        ".".join(("errata", *p.with_suffix("").parts)).removesuffix(".__init__")
        for p in modules("agent", "tools", "prompts")
        if p.as_posix() not in OWNERS and p.name != "__main__.py"
    ]
    code = "\n".join(f"import {name}" for name in names)
    assert len(names) > 40
    assert loaded(code, HEAVY) == []


def test_help_loads_argparse_and_little_else() -> None:
    code = (
        "import contextlib, io, errata.agent.cli.main\n"
        "with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):\n"
        "    errata.agent.cli.main.main(['--help'])"
    )
    assert loaded(code, (*HEAVY, "numpy", "scipy", "pydantic", "langgraph", "rich", "yaml", "jinja2")) == []


@pytest.mark.parametrize("path", modules("agent", "tools", "prompts"), ids=str)
def test_imports_go_one_way(path: Path) -> None:
    room = path.parts[0]
    for name in top_imports(path, everywhere=True):
        assert name.partition(".")[0] not in RANK, f"{path} imports {name} without the root"
        other = name.removeprefix("errata.").partition(".")[0]
        assert RANK.get(other, -1) <= RANK[room], f"{path} imports {name}"


@pytest.mark.parametrize("path", modules("agent", "tools"), ids=str)
def test_only_owners_import_heavy_modules_at_the_top(path: Path) -> None:
    if path.as_posix() not in OWNERS:
        heavy = [n for n in top_imports(path, everywhere=False) if n.partition(".")[0] in HEAVY]
        assert heavy == []


def test_owners_exist() -> None:
    assert all((HOUSE / path).is_file() for path in OWNERS)


ROOMS = ("settings", "run", "show", "decide", "loop", "cli")
"""Rooms of agent/ in their order: each may import those before it and no other."""


def module_files(*packages: str) -> dict[str, Path]:
    """Every module by its dotted name."""
    names = {p: ".".join(("errata", *p.with_suffix("").parts)) for p in modules(*packages)}
    return {name.removesuffix(".__init__"): path for path, name in names.items()}


def import_edges(files: dict[str, Path]) -> dict[str, set[str]]:
    """Which module imports which, at the top, inside functions and for type checkers alike."""
    edges: dict[str, set[str]] = {name: set() for name in files}
    for name, path in files.items():
        for node in ast.walk(ast.parse((HOUSE / path).read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                edges[name] |= {alias.name for alias in node.names if alias.name in files}
            elif isinstance(node, ast.ImportFrom) and node.module:
                inner = {f"{node.module}.{alias.name}" for alias in node.names}
                edges[name] |= (inner & files.keys()) or ({node.module} & files.keys())
    return edges


def find_circles(edges: dict[str, set[str]]) -> list[list[str]]:
    """Chains of imports that come back to where they began."""
    sorter = graphlib.TopologicalSorter(edges)
    try:
        sorter.prepare()
    except graphlib.CycleError as error:
        return [list(error.args[1])]
    return []


def test_no_file_imports_itself_through_others() -> None:
    edges = import_edges(module_files("agent", "tools", "prompts"))
    assert sum(map(len, edges.values())) > 500
    assert find_circles(edges) == []


def test_a_circle_inside_functions_is_found(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("def f():\n    from b import g\n")
    (tmp_path / "b.py").write_text("def g():\n    import a\n")
    edges = import_edges({"a": tmp_path / "a.py", "b": tmp_path / "b.py"})
    assert [sorted(set(circle)) for circle in find_circles(edges)] == [["a", "b"]]


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_of_agent_import_one_way(room: str) -> None:
    files = module_files("agent")
    allowed = {f"errata.agent.{other}" for other in ROOMS[: ROOMS.index(room) + 1]}
    mine = {name: edges for name, edges in import_edges(files).items() if name.startswith(f"errata.agent.{room}.")}
    assert mine
    climbing = [(a, b) for a, others in mine.items() for b in others if ".".join(b.split(".")[:3]) not in allowed]
    assert climbing == []


def test_every_file_of_agent_is_in_a_room() -> None:
    assert {p.parts[1] for p in modules("agent")} == {*ROOMS, "__init__.py", "__main__.py"}
