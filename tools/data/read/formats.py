"""All formats by name: how each lies on disk, how its rows are parsed, and what share of bad rows it bears."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

from errata.tools.data.read.conversations import parse_llava, parse_messages, parse_sharegpt
from errata.tools.data.read.hub import read_dataset
from errata.tools.data.read.layout import Format, SourceOptions
from errata.tools.data.read.mapped import USUAL, parse_dataset, parse_mapped
from errata.tools.data.read.questions import (
    parse_errata,
    parse_lesson,
    parse_mmbench,
    parse_scienceqa_json,
)
from errata.tools.data.read.tables import read_rows
from errata.tools.errors import OperatorError
from errata.tools.records import Split

FormatName = Literal[
    "errata",
    "scienceqa_json",
    "llava",
    "sharegpt",
    "messages",
    "mmbench",
    "table",
    "huggingface",
    "lessons",
]
SHARE = 0.02
"""Bad rows that other people's formats may have before a run refuses them."""


def _each_split(name: str) -> dict[Split, str]:
    return {split: name.format(split=split) for split in get_args(Split)}


MAP, PART = ("fields", "first_index", "leave_out"), ("part",)
FORMATS: dict[str, Format] = {
    "errata": Format(parse_errata, _each_split("{split}.jsonl"), 0, "any", 0.0, read_rows),
    "scienceqa_json": Format(
        parse_scienceqa_json, _each_split("problems.json"), 0, "any", SHARE, read_rows, options=PART
    ),
    "llava": Format(parse_llava, _each_split("{split}.json"), 0, "any", SHARE, read_rows),
    "sharegpt": Format(parse_sharegpt, _each_split("{split}.json"), 0, "any", SHARE, read_rows),
    "messages": Format(parse_messages, _each_split("{split}.jsonl"), 0, "any", SHARE, read_rows),
    "mmbench": Format(parse_mmbench, _each_split("{split}.tsv"), 0, "any", SHARE, read_rows, options=PART),
    "table": Format(parse_mapped, _each_split("{split}.jsonl"), 0, "any", SHARE, read_rows, options=MAP),
    "huggingface": Format(
        parse_dataset, {}, 0, "any", SHARE, read_dataset, keeps_folders=True, options=(*MAP, *PART, "subset")
    ),
    "lessons": Format(parse_lesson, _each_split("lessons.jsonl"), None, "any", 0.0, read_rows),
}


def check_options(options: SourceOptions, *, format: str) -> None:
    """Raise OperatorError for an option that the format does not read, and for a folder that is not there."""
    given = [name for name in ("fields", "first_index", "leave_out", "part", "subset") if getattr(options, name)]
    idle = next((name for name in given if name not in FORMATS[format].options), None)
    if idle is not None:
        fitting = ", ".join(name for name, form in FORMATS.items() if idle in form.options)
        what, remedy = f"the format {format} does not read this option", f"leave it out; {fitting} read it"
        raise OperatorError(what, where=idle, value=getattr(options, idle), remedy=remedy)
    unknown = next((name for name in options.fields if name not in USUAL), None)
    if unknown is not None:
        raise OperatorError("no field of a problem", where="fields", value=unknown, remedy=f"use {', '.join(USUAL)}")
    if options.image_root is not None and not Path(options.image_root).is_dir():
        remedy = "name the folder that the pictures lie in"
        raise OperatorError("no such folder", where="image_root", value=options.image_root, remedy=remedy)
