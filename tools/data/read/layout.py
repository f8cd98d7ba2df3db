"""What the readers of all formats share: a raw row, what a parser is given, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import Field

from errata.tools.data.check import RowError
from errata.tools.errors import ErrataError
from errata.tools.records import Record, Split

Images = Literal["required", "present", "any"]
"""`required`: only questions with a picture. `present`: text questions too, but none whose picture is
absent. `any`: all; where the picture is absent the metadata say `picture_absent`.
"""
Fields = dict[str, Any]
"""Fields of a Problem; `images` is a list of pictures in any of the forms of `pictures.PictureStore`."""


class SourceOptions(Record):
    """How the rows of one source are to be understood; what is not given is the format's own way."""

    image_root: str | None = None
    """Folder that the paths of pictures start from; None is the folder of the file."""
    fields: dict[str, str | tuple[str, ...]] = Field(default_factory=dict)
    """Columns of the formats `table` and `huggingface` by the field that they are: id, question, choices, target,
    rationale, images, skills, context, metadata, elsewhere. A dot goes into a nested row. `a|b` is the first of these
    columns that says something, `a?` a column that a row may lack. A list names several columns: choices or pictures in
    order, answers that must agree. `elsewhere` names columns which say that there is a picture that is not given here.
    """
    leave_out: dict[str, bool | int | float | str | tuple[int | float | str, ...]] = Field(default_factory=dict)
    """For the same formats: rows to leave out by the value of a column. `true` is any value but none, 0 and false."""
    first_index: Literal[0, 1] = 0
    """What a numeric answer counts from in `table` and `huggingface`."""
    part: str | None = None
    """Part of the dataset, e.g. `validation`: for `scienceqa_json`, `mmbench` and `huggingface`."""
    subset: str | None = None
    """Configuration of a Hugging Face dataset, where it has several."""


class SkipRow(ErrataError):
    """The format says that this row is not for us; its text is the reason."""


class RawRow(NamedTuple):
    """A row as it lies in the file: either fields or what is wrong with it."""

    number: int
    """From 1: the line of the file, or the place in a JSON list, a table or a dataset."""
    row: dict[str, Any] | None
    error: RowError | None = None
    fatal: bool = False
    """The file itself is broken here: a run stops whatever share of bad rows it tolerates."""


@dataclass(frozen=True)
class RowContext:
    """What a parser may know beside the row."""

    images: Images = "any"
    options: SourceOptions = field(default_factory=SourceOptions)
    split: Split | None = None
    """None keeps what the row says."""
    folder: str = "."
    """Where the file lies."""
    name: str = "row1"
    """Id of a row that has none."""
    earlier: dict[str, Any] = field(default_factory=dict)
    """What rows of the same file left for later ones."""


class Format(NamedTuple):
    """How one format lies on disk and what it tolerates."""

    parse: Callable[[dict[str, Any], RowContext], list[Fields]]
    """From a raw row to the fields of its problems; raises RowError or SkipRow."""
    file: Mapping[Split, str]
    """The file of each split, when a folder is given."""
    levels_up: int | None
    """How many folders above the file the image paths begin; None: anywhere, in records that Errata wrote."""
    images: Images
    max_bad_share: float
    rows: Callable[[Path, SourceOptions, Split | None], Iterator[RawRow]]
    keeps_folders: bool = False
    """A folder is the dataset itself, not a place where a file lies."""
    options: tuple[str, ...] = ()
    """Which of the source's options it reads beside `image_root`."""
