"""`errata doctor --student MODEL`: whether a model's parts belong together, how fast it trains, what will not fit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from errata.agent.cli.doctor.findings import Check
from errata.tools.errors import OperatorError
from errata.tools.student.source import find_base
from errata.tools.train.recipe import Recipe

if TYPE_CHECKING:
    from errata.tools.train.probe import StudentProbe

HEADROOM = 0.9


def probe_model(folder: Path, *, prompt: str, image_first: bool) -> list[Check]:
    """One finding for each thing that was looked at. Raises OperatorError for a folder that is no student."""
    folder = Path(find_base(str(folder), where="--student"))
    if not folder.is_dir():
        raise OperatorError("no such folder", where="--student", value=str(folder), remedy="give the model's folder")
    from errata.tools.train.probe import probe_student

    recipe = Recipe()
    found = probe_student(str(folder), prompt=prompt, image_first=image_first, recipe=recipe)
    note = f" ({found.note})" if found.note else ""
    checks = [
        Check("family", None, f"{found.family}{note}"),
        Check("size", None, f"{found.parameters:,} parameters, {found.dtype} on {found.device}"),
        *[Check("parts", False, fault) for fault in found.faults],
    ]
    if not found.faults:
        seen = "pictures reach the model, the mask is the answer, training and answering see the same"
        checks.append(Check("parts", True, seen))
    speed = (
        f"{found.tokens} tokens: forward {found.forward_s * 1000:.0f} ms, backward {found.backward_s * 1000:.0f} ms, "
        f"{100 * found.share:.0f} % of this device's rate in a large matrix product"
    )
    checks.append(Check("one sample", None, speed))
    checks += [
        Check(
            "slow layer",
            None,
            f"{layer.name} ({layer.kind}) takes {100 * layer.time_share:.0f} % of a forward pass "
            f"for {100 * layer.work_share:.1f} % of its work: another version of torch may help",
        )
        for layer in found.slow
    ]
    return [*checks, check_fit(found, recipe)]


def check_fit(found: StudentProbe, recipe: Recipe) -> Check:
    """Whether one sample fits beside the model, and how many would."""
    held = f"model and {found.trained:,} trained weights with their optimiser take about {found.held_gib:.2f} GiB"
    if found.sample_gib is None or found.free_gib is None:
        return Check("memory", None, f"{held}; samples a pass are measured on a GPU only")
    room = HEADROOM * (found.free_gib + found.held_gib) - found.held_gib
    fitting = int(room // max(found.sample_gib, 1e-6))
    if fitting < 1:
        remedy = "set train.checkpointing: on, train.method: qlora, or a lower train.lora_rank"
        return Check("memory", False, f"{held}; a sample takes {found.sample_gib:.2f} GiB and does not fit", remedy)
    share = min(fitting, recipe.batch_size)
    return Check("memory", True, f"{held}; a sample {found.sample_gib:.2f} GiB: about {share} fit a pass")
