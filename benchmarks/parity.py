"""Parity: a real vLLM on a CPU against transformers, for the embedded student with an adapter; three planted faults.

vLLM lies in an environment of its own (`make teacher-test` and this script share it). Planted are an adapter whose
layers have other names, a changed chat template, and output words that are no longer tied to the input words, which
vLLM answers with garbage and says nothing. Ends with code 1 when a sound student fails or a fault is not caught.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from safetensors.torch import load_file, save_file

from benchmarks.evaluate import place_pictures
from benchmarks.tables import ROOT, parse_arguments, write_table
from benchmarks.train import train_ours, write_job
from errata.tools.errors import OperatorError
from errata.tools.evaluate.backends.options import ParityOptions, VllmOptions
from errata.tools.evaluate.backends.parity import Parity, certify_vllm
from errata.tools.evaluate.student import GenerateOptions
from errata.tools.records import Problem, from_jsonl
from errata.tools.student.source import StudentSource
from errata.tools.world.generate import WorldSizes, generate_world
from tests.teacher_server.install import CannotInstall, find_python

BASE = ROOT / "tools" / "world" / "student"


def rename_layers(source: StudentSource, folder: Path) -> StudentSource:
    """An adapter whose layers are named as in no version of the model."""
    assert source.adapter is not None
    shutil.copytree(source.adapter, folder)
    weights = folder / "adapter_model.safetensors"
    save_file({name.replace("text_model", "texts_model"): value for name, value in load_file(weights).items()}, weights)
    return source.model_copy(update={"adapter": str(folder)})


def change_template(source: StudentSource, folder: Path) -> StudentSource:
    """A base whose chat template puts a word before the answer."""
    shutil.copytree(source.base, folder)
    path = folder / "chat_template.jinja"
    path.write_text(path.read_text(encoding="utf-8").replace("<assistant>{% endif %}", "<assistant>So{% endif %}"))
    return source.model_copy(update={"base": str(folder)})


def untie_words(source: StudentSource, folder: Path) -> StudentSource:
    """A base whose configuration says that output words have weights of their own, which its files lack."""
    shutil.copytree(source.base, folder)
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["tie_word_embeddings"] = config["text_config"]["tie_word_embeddings"] = False
    path.write_text(json.dumps(config))
    return source.model_copy(update={"base": str(folder)})


FAULTS: dict[str, Callable[[StudentSource, Path], StudentSource]] = {
    "adapter of other names": rename_layers,
    "other chat template": change_template,
    "untied output words": untie_words,
}


def say(parity: Parity | None, error: OperatorError | None) -> str:
    """What was found, in one cell."""
    if parity is None:
        return f"stopped: {str(error).partition(': ')[2][:160]}"
    return "; ".join(parity.faults) or "passed"


def describe(name: str, parity: Parity | None, error: OperatorError | None) -> list[object]:
    """A row of the table."""
    if parity is None:
        return [name, *["-"] * 4, say(parity, error)]
    changed = f"{parity.changed:.2f} / {parity.backend_changed:.2f}"
    prompts = f"{parity.prompts_equal}/{parity.questions}"
    return [name, prompts, f"{parity.agreement:.2f}", f"{parity.first_token:.1e}", changed, say(parity, error)]


def main() -> int:
    """Compare and write the table."""
    arguments = parse_arguments(__doc__ or "")
    kept = ROOT / ".teacher-test"
    kept.mkdir(exist_ok=True)
    try:
        python = find_python(kept / "venv")
    except CannotInstall as reason:
        print(f"vllm-test skipped: {reason}")
        return 0
    questions = 24 if arguments.quick else 64
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        world = generate_world(work / "world", seed=6, sizes=WorldSizes(pool=160, diagnosis=200, gate=50, test=50))

        def read(split: str) -> list[Problem]:
            rows = (world.folder / f"{split}.jsonl").read_text(encoding="utf-8")
            return [place_pictures(problem, world.folder) for problem in from_jsonl(rows, Problem)]

        adapter = write_job(work / "c1", read("pool"), base=str(BASE), prompt="student_brief", learning_rate=2e-3)
        train_ours(adapter)
        source = StudentSource(
            base=str(BASE), adapter=str(adapter), checkpoint="c1", prompt="student_brief", image_first=False
        )
        problems = read("diagnosis")

        def compare(served: StudentSource, *, merged: bool = False) -> tuple[Parity | None, OperatorError | None]:
            vllm = VllmOptions(python=str(python), max_tokens=512, merged=merged)
            options = GenerateOptions(
                max_new_tokens=96, device="cpu", backend="vllm", vllm=vllm, parity=ParityOptions(questions=questions)
            )
            try:
                return certify_vllm(problems, model=source, options=options, folder=work / "p", served=served), None
            except OperatorError as error:
                return None, error

        sound = {"adapter beside the base": compare(source), "merged weights": compare(source, merged=True)}
        planted = {name: compare(plant(source, work / name)) for name, plant in FAULTS.items()}
    rows = [describe(name, *found) for name, found in (sound | planted).items()]
    passed = sum(parity is not None and parity.passed for parity, _ in sound.values())
    caught = sum(parity is None or not parity.passed for parity, _ in planted.values())
    write_table(
        "parity",
        title="Parity of vLLM and transformers",
        columns=["student", "same prompts", "same answers", "first token", "answers that the adapter changes", "said"],
        rows=rows,
        result={"sound": len(sound), "passed": passed, "planted": len(planted), "caught": caught},
        notes=[
            "vLLM 0.32 on a CPU, float32, the embedded student with an adapter of rank 16. First token: largest "
            "difference of a probability. Changed answers: in transformers / in vLLM.",
        ],
        quick=arguments.quick,
    )
    return 0 if (passed, caught) == (len(sound), len(planted)) else 1


if __name__ == "__main__":
    sys.exit(main())
