"""The families of students, in one table: what differs between them, and nothing else.

Everything that a family shares with the others (loading, chat template, batches, training, answering) is one code
for all. Module names are those of transformers 5; `model.` stands before each in the loaded student.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from errata.tools.errors import OperatorError


class Family(NamedTuple):
    """One family of vision-language models."""

    name: str
    vision: str = "vision_tower"
    """Module of the picture encoder."""
    connector: str = "multi_modal_projector"
    """Module between picture encoder and language model."""
    text: str = "language_model"
    """Module of the language model."""
    first_position: int = 0
    """Position of the first token."""
    answer_type: int = 0
    """What the processor's `token_type_ids` hold where the answer stands."""
    own_template: bool = True
    """Whether its processors carry a chat template; without one the prompt is pictures, then the question."""
    needs_picture: bool = False
    """Whether its processor refuses a question without a picture."""
    packs: bool = True
    """Whether several samples may share one row: not where the prompt is attended to in both directions."""
    causal: bool = True
    """Whether no token sees a later one, pictures aside: padding behind a sample then needs no mask."""
    axes: int = 1
    """Axes of a position: 1, or 3 (time, height, width)."""
    note: str = ""
    """What a user should know, for the table of families."""


_QWEN = Family("", vision="visual", connector="visual.merger", axes=3)
_IDEFICS = Family("", vision="vision_model", connector="connector", text="text_model")

FAMILIES: dict[str, Family] = {
    "llava": Family("LLaVA-1.5"),
    "llava_next": Family("LLaVA-NeXT"),
    "llava_onevision": Family("LLaVA-OneVision"),
    "qwen2_vl": _QWEN._replace(name="Qwen2-VL"),
    "qwen2_5_vl": _QWEN._replace(name="Qwen2.5-VL"),
    "qwen3_vl": _QWEN._replace(name="Qwen3-VL"),
    "internvl": Family("InternVL"),
    "idefics3": _IDEFICS._replace(name="Idefics3"),
    "smolvlm": _IDEFICS._replace(name="SmolVLM"),
    "paligemma": Family(
        "PaliGemma 2",
        first_position=1,
        answer_type=1,
        own_template=False,
        needs_picture=True,
        packs=False,
        causal=False,
        note="attends to the prompt in both directions; no chat template; every question needs a picture",
    ),
    "gemma3": Family("Gemma 3", note="attends to a picture in both directions"),
}
"""By `model_type` of the configuration."""


def find_family(model: Any) -> Family:
    """The family of a loaded model; for one that the table lacks, its parts by the usual module names.

    Raises `OperatorError` when no part of the model can be told to be the language model.
    """
    kind = str(model.config.model_type)
    if kind in FAMILIES:
        return FAMILIES[kind]
    children = {name for name, _ in model.model.named_children()}

    def pick(part: str, names: tuple[str, ...]) -> str:
        found = next((name for name in names if name in children), None)
        if found is None:
            raise OperatorError(
                f"cannot tell which part of the model is its {part}",
                where="student base",
                value=f"{kind}: {', '.join(sorted(children))}",
                remedy=f"choose a family of docs/families.md: {', '.join(FAMILIES)}",
            )
        return found

    return Family(
        kind,
        vision=pick("picture encoder", ("vision_tower", "vision_model", "visual", "vision_encoder")),
        connector=pick("connector", ("multi_modal_projector", "connector", "mlp1", "aligner", "visual")),
        text=pick("language model", ("language_model", "text_model")),
        packs=False,
        causal=False,
        axes=3 if hasattr(model.model, "get_rope_index") else 1,
        note="not in the table of families; its parts are told by their names",
    )


def part_of(name: str, family: Family) -> str:
    """Which part a module belongs to: `text`, `connector`, `vision`, `head` (words from states) or `other`."""
    inner = name.removeprefix("model.")
    if inner.split(".")[0] == "lm_head":
        return "head"
    for part in ("connector", "vision", "text"):
        module = str(getattr(family, part))
        if inner == module or inner.startswith((f"{module}.", f"{module}_")):
            return part
    return "other"
