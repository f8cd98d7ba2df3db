"""Wrong attempts of the base student on a world of its own, kept so that several scripts read the same ones."""

from __future__ import annotations

from pathlib import Path

from benchmarks.tables import ROOT
from errata.agent.settings.file import load_settings
from errata.tools.evaluate.student import evaluate_student
from errata.tools.records import Attempt, Problem, digest, from_jsonl, to_jsonl
from errata.tools.student.source import StudentSource
from errata.tools.world.generate import WorldSizes, generate_world

CONFIG = ROOT / "runs" / "configs" / "demo.yaml"


def collect_errors(
    folder: Path, *, questions: int, seed: int = 99, workers: int = 2
) -> tuple[list[Attempt], dict[str, Problem]]:
    """Wrong attempts with a parsed answer on the diagnosis split, and all its problems by id."""
    folder.mkdir(parents=True, exist_ok=True)
    student = load_settings(CONFIG, []).student
    sizes = WorldSizes(pool=1, diagnosis=questions, gate=1, test=1)
    world = generate_world(folder / f"locate-world-{seed}-{questions}", seed=seed, sizes=sizes).folder
    problems = [
        p.model_copy(update={"images": tuple(i.model_copy(update={"path": str(world / i.path)}) for i in p.images)})
        for p in from_jsonl((world / "diagnosis.jsonl").read_text(encoding="utf-8"), Problem)
    ]
    weights = digest((Path(student.base) / "model.safetensors").read_bytes().hex())
    kept = folder / f"locate-attempts-{seed}-{questions}-{weights}.jsonl"
    if not kept.exists():
        source = StudentSource(
            base=student.base, checkpoint="base", prompt=student.prompt, image_first=student.image_first
        )
        attempts = evaluate_student(problems, model=source, options=student.generate, workers=workers)
        kept.write_text(to_jsonl(attempts), encoding="utf-8")
    found = from_jsonl(kept.read_text(encoding="utf-8"), Attempt)
    return [a for a in found if not a.correct and not a.format_error], {p.id: p for p in problems}
