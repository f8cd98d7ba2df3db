"""Errata as an installed package: build, install where one may not write, use, compare, uninstall.

From the tracked files an sdist and a wheel are built. The wheel is installed with the versions of constraints.txt into
an empty environment, which is then made read-only and used by another user, in a folder whose path has a space and
which holds folders called agent, tools and prompts. Each step is a check; the environment's files are hashed before
and after. With `--quick` (what continuous integration runs, `make package-test`) no table is written and the signals
of `benchmarks.signals` are left out.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.signals import MOMENTS, SIGNALS, try_all
from benchmarks.tables import ROOT, parse_arguments, write_table

NAME = "errata-vlm"
SMALL = (
    "data.world.sizes={pool: 300, diagnosis: 40, gate: 20, test: 20}",
    "train.epochs=1",
    "train.processes=1",
    "budget.iterations=1",
    "budget.iteration.samples=30",
)
NOBODY = "65534"
NO_RIGHTS = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")
OTHER_USER = (*NO_RIGHTS, "--reuid", NOBODY, "--regid", NOBODY, "--clear-groups")
QUESTIONS = """
import json
from PIL import Image
rows = []
for number in range(20):
    Image.new("RGB", (24, 24), (12 * number, 90, 200)).save(f"picture {number}.png")
    asked = f"<image>\\nWhich colour has tile {number}?\\nA. red\\nB. blue\\nC. grey"
    turns = [{"from": "human", "value": asked}, {"from": "gpt", "value": "ABC"[number % 3]}]
    rows.append({"id": str(number), "image": f"picture {number}.png", "conversations": turns})
json.dump(rows, open("questions.json", "w"))
"""
NOTEBOOK = """
from jupyter_client.manager import start_new_kernel
manager, client = start_new_kernel(kernel_name="python3", cwd="notebooks")
def show(message):
    text = message["content"].get("text") or ""
    print(text, end="")
    print("\\n".join(message["content"].get("traceback") or []))
reply = client.execute_interactive(%r, output_hook=show, timeout=300)
client.stop_channels()
manager.shutdown_kernel(now=True)
raise SystemExit(reply["content"]["status"] != "ok")
"""
CELL = """
from errata import improve, open_run
outcome = improve(None, %s, runs="from a notebook")
print(outcome.stop_reason, open_run(outcome.run, runs="from a notebook").outcome.state)
"""


class Check(NamedTuple):
    """One thing that must work."""

    name: str
    passed: bool
    said: str
    """The last line of what was printed."""


class Installed:
    """An environment with the wheel in it, and the folder of a user who may not write there."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.checks = folder, list[Check]()
        self.source, self.dist = folder / "source", folder / "dist"
        self.environment, self.home = folder / "environment", folder / "home"
        self.project = self.home / "my project"
        self.python = self.environment / "bin" / "python"
        self.errata = self.environment / "bin" / "errata"
        self.rights: Sequence[str] = ()
        """Words before a command that take its rights."""

    def take_rights(self) -> None:
        """Make the environment read-only; for root, whom no mode binds, choose how its rights are dropped.

        Another user where that user may start this Python, else the same one without capabilities.
        """
        subprocess.run(["chmod", "-R", "a-w,a+rX", self.environment], check=True)
        if os.geteuid() != 0:
            return
        try_start = "import subprocess, sys; subprocess.run([sys.executable, '-c', ''], check=True)"
        for rights in (OTHER_USER, NO_RIGHTS):
            self.rights = rights
            done = subprocess.run([*rights, self.python, "-c", try_start], capture_output=True, check=False)
            if done.returncode == 0:
                break
        if self.rights == OTHER_USER:
            for path in (self.home, *self.home.rglob("*")):
                os.chown(path, int(NOBODY), int(NOBODY))
        done = subprocess.run([*self.rights, "touch", self.environment / "written"], capture_output=True, check=False)
        self.checks.append(Check("the user may not write there", done.returncode != 0, " ".join(self.rights[:3])))

    def run(
        self, name: str, command: Sequence[object], *, expect: Callable[[str], bool] = bool, user: bool = True
    ) -> None:
        """Run one check, without rights to the environment where `user`; `expect` judges the output of both streams."""
        words = [*(self.rights if user else ()), *map(str, command)]
        keep = {key: value for key, value in os.environ.items() if key.startswith(("PIP_", "LANG", "LC_"))}
        path = f"{self.environment / 'bin'}:{os.environ['PATH']}"
        mine = {"HOME": str(self.home), "PATH": path, "OMP_WAIT_POLICY": "PASSIVE"} if user else dict(os.environ)
        where = self.project if user else self.folder
        done = subprocess.run(words, cwd=where, env=keep | mine, capture_output=True, text=True, check=False)
        said = (done.stdout + done.stderr).strip()
        passed = done.returncode == 0 and expect(said)
        self.checks.append(Check(name, passed, said.splitlines()[-1][:160] if said else ""))
        print(self.checks[-1] if passed else f"{self.checks[-1]}\n{said[-3000:]}", flush=True)


def copy_source(folder: Path) -> None:
    """The tracked files, and nothing else of this folder."""
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in names.split("\0"):
        if name and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)


def hash_tree(folder: Path) -> dict[str, str]:
    """Files by their content, links by their target."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            found[str(path.relative_to(folder))] = os.readlink(path)
        elif path.is_file():
            found[str(path.relative_to(folder))] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def install(place: Installed) -> None:
    """Build both distributions, and put the wheel with a notebook kernel into an empty environment."""
    copy_source(place.source)
    place.run("build", [sys.executable, "-m", "build", "-o", place.dist, place.source], user=False)
    place.run("environment", [sys.executable, "-m", "venv", place.environment], expect=lambda _: True, user=False)
    wheel = next(place.dist.glob("*.whl"))
    pip = [place.python, "-m", "pip", "install", "-q", "-c", ROOT / "constraints.txt"]
    place.run("install", [*pip, wheel, "ipykernel", "jupyter_client"], expect=lambda _: True, user=False)


def use(place: Installed) -> int:
    """What a user does, without rights to the environment; files of the environment that changed."""
    for name in ("agent", "tools", "prompts"):
        (place.project / name).mkdir(parents=True)
    (place.project / "notebooks").mkdir()
    (place.project / "prompts" / "__init__.py").write_text("raise ImportError('these are the user\\'s own prompts')\n")
    place.take_rights()
    before = hash_tree(place.environment)
    place.run("doctor", [place.errata, "doctor"], expect=lambda said: "everything that the demo needs is here" in said)
    place.run("demo", [place.errata, "demo", *SMALL], expect=lambda said: "more:     errata show demo-1" in said)
    place.run("runs lie here", ["ls", "runs/demo-1/report.html"])
    place.run("show", [place.errata, "show", "last", "lessons"], expect=lambda said: "bm25" in said)
    place.run("questions", [place.python, "-c", QUESTIONS], expect=lambda _: True)
    place.run("init", [place.errata, "init", "--data", "questions.json"], expect=lambda said: "20 questions" in said)
    place.run("dry run", [place.errata, "run", "--dry-run"], expect=lambda said: "questions.json" in said)
    place.run("errors as JSON", ["sh", "-c", "errata show nothing --json; test $? = 2"], expect=reads_as_error)
    cell = CELL % ", ".join(map(repr, SMALL))
    place.run("notebook", [place.python, "-c", NOTEBOOK % cell], expect=lambda said: "iteration_limit finished" in said)
    after = hash_tree(place.environment)
    return sum(before.get(name) != after.get(name) for name in {*before, *after})


def reads_as_error(said: str) -> bool:
    """Whether the last line is an error with all its parts."""
    found: dict[str, Any] = json.loads(said.splitlines()[-1])
    return found["exit_code"] == 2 and {"error", "where", "value", "remedy"} <= found.keys()


def uninstall(place: Installed) -> bool:
    """Whether pip would download torch beside one that is there already; then take the package out again."""
    subprocess.run(["chmod", "-R", "u+w", place.environment], check=True)
    wheel = next(place.dist.glob("*.whl"))
    pip = [place.python, "-m", "pip"]
    place.run("uninstall", [*pip, "uninstall", "-q", "-y", NAME], expect=lambda _: True, user=False)
    rest = [path.name for path in place.environment.rglob("*errata*")]
    place.checks.append(Check("nothing is left", not rest, ", ".join(rest)[:160]))
    print(place.checks[-1], flush=True)
    report = place.folder / "report.json"
    asked = [*pip, "install", "-q", "--dry-run", "--report", report, wheel]
    place.run("beside another torch", asked, expect=lambda _: True, user=False)
    names = [item["metadata"]["name"].lower() for item in json.loads(report.read_text())["install"]]
    return "torch" in names


def main() -> int:
    """Run the checks, write the table unless `--quick`; 1 where one failed."""
    arguments = parse_arguments(__doc__ or "")
    with tempfile.TemporaryDirectory(prefix="errata-package-") as folder:
        place = Installed(Path(folder))
        Path(folder).chmod(0o755)
        install(place)
        changed = use(place)
        torch_downloaded = uninstall(place)
    passed = sum(check.passed for check in place.checks)
    good = passed == len(place.checks) and not changed and not torch_downloaded
    if arguments.quick:
        print(f"{passed} of {len(place.checks)} checks; {changed} files changed; torch downloaded: {torch_downloaded}")
        return 0 if good else 1
    stopped = try_all(arguments.runs_dir / "signals", signals=SIGNALS, moments=MOMENTS)
    result = {
        "checks": len(place.checks),
        "passed": passed,
        "files_changed_in_environment": changed,
        "torch_downloaded": torch_downloaded,
        "signals": len(stopped),
        "same": sum(one.good for one in stopped),
    }
    rows: list[list[object]] = [[check.name, "yes" if check.passed else "NO"] for check in place.checks]
    for one in stopped:
        name = f"{one.signal} in {one.moment}: exit {one.code}, resumed to the same records"
        rows.append([name, "yes" if one.good else "NO"])
    write_table(
        "package",
        title="Errata installed from its wheel, and under signals",
        columns=["check", "passed"],
        rows=rows,
        result=result,
        notes=[f"Files of the environment that changed: {changed}. Torch downloaded beside one that was there: no."]
        if not torch_downloaded
        else [f"Files of the environment that changed: {changed}. TORCH WAS DOWNLOADED."],
        quick=False,
    )
    return 0 if good and result["same"] == result["signals"] else 1


if __name__ == "__main__":
    sys.exit(main())
