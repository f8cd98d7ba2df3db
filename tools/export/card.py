"""The model card of an exported checkpoint: what it is, what it was trained on, what was measured, how to load it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from errata.tools.export.base import BaseModel
from errata.tools.records import Interval, Record

CARD = "README.md"
SHOWN = 30
"""Rows of a table of skills or sources; the rest is summed in one row."""
NOT_STATED = "not stated"
LICENCES = frozenset(
    [
        *("apache-2.0", "mit", "bsd-2-clause", "bsd-3-clause", "gpl-3.0", "lgpl-3.0", "openrail"),
        *("odc-by", "odbl", "pddl"),
        *("cc0-1.0", "cc-by-2.0", "cc-by-3.0", "cc-by-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0", "cc-by-nd-4.0"),
        *("cc-by-nc-4.0", "cc-by-nc-sa-4.0", "cc-by-nc-nd-4.0"),
        *("llama2", "llama3", "llama3.1", "llama3.2", "llama3.3", "gemma"),
    ]
)
"""Licences that the hub knows by these ids; it refuses a card with another one, which is written as `other`."""
Form = Literal["adapter", "merged"]


class Count(Record):
    """How often something occurs."""

    name: str
    count: int


class Figure(Record):
    """Accuracy of the base and of this checkpoint on the same questions."""

    split: str
    before: Interval
    after: Interval
    total: int
    gain: Interval | None
    """Paired difference in fractions; None where the two were not compared."""


class RunFigure(Record):
    """The same figure of another run: a control, which spent its samples without a diagnosis."""

    run: str
    control: str
    samples: int
    kept: bool
    """Whether its gate accepted the checkpoint; else it is the last one that was rejected."""
    figure: Figure


class SkillFigure(Record):
    """Right answers of one skill, before and after."""

    skill: str
    before: int
    after: int
    total: int


class Lineage(Record):
    """What the checkpoint was trained on."""

    lessons: int
    """As the training counted them."""
    traced: int
    """As the run's records tell; the counts below are of these."""
    routes: tuple[Count, ...]
    skills: tuple[Count, ...]
    iterations: tuple[Count, ...]
    sources: tuple[Count, ...]
    """By the field `source` of the samples."""
    replay: int | None
    """General samples against forgetting; None where the training's list of samples is gone."""
    licences: tuple[Count, ...]
    """Of lessons and replay; those that state none are counted as NOT_STATED."""
    skipped: tuple[Count, ...]
    """Rows that were not used, by reason."""
    datasets: tuple[str, ...]
    """Names on the hub of the datasets that the samples were read from."""


class ModelCard(Record):
    """Everything that the card says."""

    title: str
    run: str
    checkpoint: str
    control: str
    """`none`, or the method that chose the samples without a diagnosis."""
    gate: str
    """What the gate said of this checkpoint."""
    sentences: tuple[str, ...]
    """The result in words, bad news included."""
    base: BaseModel
    figures: tuple[Figure, ...]
    controls: tuple[RunFigure, ...]
    by_skill: tuple[SkillFigure, ...]
    skill_split: str
    lineage: Lineage
    recipe: tuple[tuple[str, str], ...]
    """Every value of the training recipe by its dotted key."""
    training: tuple[tuple[str, str], ...]
    """What the training reported at its end."""
    parity: tuple[tuple[str, str], ...] | None
    """The parity certificate by dotted key; None where none was made."""
    prompt: str
    """Name of the prompt file that the student was asked with."""
    example: str
    """A made-up question as the student is asked."""
    image_first: bool
    made_with: tuple[tuple[str, str], ...]
    """Versions of what exported it."""


def flatten_values(value: Any, *, prefix: str = "") -> tuple[tuple[str, str], ...]:
    """A nested JSON object as (dotted key, text) pairs, in its order; an empty branch is a pair too."""
    if isinstance(value, dict) and value:
        start = f"{prefix}." if prefix else ""
        return tuple(pair for key, inner in value.items() for pair in flatten_values(inner, prefix=f"{start}{key}"))
    if isinstance(value, list | tuple):
        return ((prefix, ", ".join(map(_text, value)) or "none"),)
    return ((prefix, _text(value)),)


def _text(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def top_counts(counts: tuple[Count, ...]) -> tuple[Count, ...]:
    """The first `SHOWN` of the counts, and one that sums the others."""
    rest = counts[SHOWN:]
    if not rest:
        return counts
    return (*counts[:SHOWN], Count(name=f"{len(rest)} others", count=sum(c.count for c in rest)))


def front_matter(card: ModelCard, *, form: Form) -> str:
    """The card's metadata as the Hub reads it (YAML). A base that only this machine knows is not named."""
    import yaml

    matter: dict[str, Any] = {"library_name": "peft" if form == "adapter" else "transformers"}
    if card.base.hub is not None:
        matter["base_model"] = card.base.hub
        matter["base_model_relation"] = "adapter" if form == "adapter" else "finetune"
    matter |= {"pipeline_tag": "image-text-to-text", "tags": ["errata", "lora", "vision-language", card.base.family]}
    if card.lineage.datasets:
        matter["datasets"] = list(card.lineage.datasets)
    return str(yaml.safe_dump(matter | _licence_keys(card), sort_keys=False, allow_unicode=True)).strip()


def _licence_keys(card: ModelCard) -> dict[str, str]:
    """The one licence that base and data share; else `other`, and the card lists what was seen."""
    seen = {count.name.lower() for count in card.lineage.licences} | {(card.base.licence or NOT_STATED).lower()}
    if len(seen) == 1 and (only := next(iter(seen))) in LICENCES:
        return {"license": only}
    return {"license": "other", "license_name": "see-the-card", "license_link": CARD}


def render_card(card: ModelCard, *, form: Form, place: str) -> str:
    """The card as Markdown with front matter. `place` is what the code to load names: a repository or a folder."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        autoescape=False,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"cell": _cell, "spread": _spread, "points": _points, "top": top_counts}
    template = environment.get_template("model_card.md.j2")
    return template.render(
        card=card,
        form=form,
        place=place,
        front=front_matter(card, form=form),
        opening=describe_model(card, form=form),
        not_stated=NOT_STATED,
    )


def describe_model(card: ModelCard, *, form: Form) -> str:
    """The first sentences: what the folder holds, of which base, and why its samples were chosen."""
    base = card.base
    if base.hub is not None:
        name = f"[{base.hub}](https://huggingface.co/{base.hub})"
        name += f" at commit `{base.revision}`" if base.revision else ""
    else:
        name = f"a base of the family `{base.family}` that is known by its folder on the training's machine only"
    what = f"A LoRA adapter for {name}."
    if form == "merged":
        what = f"Whole weights: an adapter was added into those of {name}."
    chosen = "for the mistakes that the base made"
    if card.control != "none":
        chosen = f"**by the control `{card.control}`, without a diagnosis**"
    return f"{what} Errata trained it on samples that were chosen {chosen}."


def _cell(text: object) -> str:
    """Text that stays inside one cell of a Markdown table."""
    return " ".join(str(text).split()).replace("|", "\\|").replace("<", "&lt;")


def _spread(interval: Interval) -> str:
    return f"{100 * interval.value:.1f} % ({100 * interval.low:.1f} to {100 * interval.high:.1f})"


def _points(interval: Interval | None) -> str:
    if interval is None:
        return "not compared"
    return f"{100 * interval.value:+.1f} ({100 * interval.low:+.1f} to {100 * interval.high:+.1f})"
