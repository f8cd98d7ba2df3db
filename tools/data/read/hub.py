"""Rows of datasets of the `datasets` library: saved folders, folders of files, and names on the hub."""

from __future__ import annotations

import re
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from errata.tools.data.read.layout import RawRow, SourceOptions
from errata.tools.data.read.tables import INSTALL
from errata.tools.errors import OperatorError
from errata.tools.records import Split

_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")
SECONDS = 5.0
"""How long the hub may take for its first answer; the library itself would try for minutes."""


def read_dataset(path: Path, options: SourceOptions, split: Split | None) -> Iterator[RawRow]:
    """Rows of a dataset by its name on the hub, or of a local folder (saved, or files of data)."""
    dataset = open_dataset(path, options=options, split=split)
    for number, row in enumerate(dataset, start=1):
        yield RawRow(number, dict(row))


PARTS: dict[Split | None, tuple[str, ...]] = {
    "pool": ("train",),
    "diagnosis": ("validation", "val", "dev"),
    "gate": ("validation", "val", "dev"),
    "test": ("test",),
    None: ("train",),
}


def open_dataset(path: Path, *, options: SourceOptions, split: Split | None) -> Any:
    """A `datasets.Dataset` whose pictures are not decoded; raises OperatorError."""
    try:
        import datasets
    except ImportError:
        raise OperatorError("this format needs datasets", where=str(path), remedy=INSTALL) from None
    where = str(path)
    try:
        if any((path / name).is_file() for name in ("state.json", "dataset_dict.json")):
            found = datasets.load_from_disk(where)
        else:
            if path.is_file():
                remedy = "give its own format: table for CSV, Parquet and JSON lines"
                raise OperatorError("a file, not a dataset", where=where, value="huggingface", remedy=remedy)
            if not path.exists():
                _check_hub(where)
            found = datasets.load_dataset(where, options.subset)
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        what = f"the dataset cannot be opened ({' '.join(str(error).split())[:200]})"
        remedy = "name a folder, or a dataset of the hub that this machine can reach"
        raise OperatorError(what, where=where, remedy=remedy) from error
    if isinstance(found, dict):
        found = found[_choose_part(list(found), options=options, split=split, where=where)]
    for name, feature in found.features.items():
        if isinstance(feature, datasets.Image):
            found = found.cast_column(name, datasets.Image(decode=False))
        elif isinstance(getattr(feature, "feature", None), datasets.Image):
            found = found.cast_column(name, datasets.List(datasets.Image(decode=False)))
    return found


def _check_hub(name: str) -> None:
    """Raise OperatorError for what can be no name of a dataset, and where the hub does not answer in time."""
    from huggingface_hub import constants

    if not _NAME.fullmatch(name):
        remedy = "name an existing folder, or a dataset of the hub as OWNER/NAME"
        raise OperatorError("no such folder, and no name of a dataset", where=name, remedy=remedy)
    if constants.is_offline_mode():
        return
    try:
        request = urllib.request.Request(constants.ENDPOINT, method="HEAD")
        with urllib.request.urlopen(request, timeout=SECONDS):
            return
    except urllib.error.HTTPError:
        return  # it answers
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        what = f"no such folder, and the hub at {constants.ENDPOINT} cannot be reached ({reason})"
        remedy = "name a folder (save_to_disk writes one), or set HF_HUB_OFFLINE=1 to use what was downloaded before"
        raise OperatorError(what, where=name, remedy=remedy) from error


def _choose_part(parts: Sequence[str], *, options: SourceOptions, split: Split | None, where: str) -> str:
    wanted = (options.part,) if options.part else PARTS[split]
    found = next((name for name in wanted if name in parts), parts[0] if len(parts) == 1 else None)
    if found is None or (options.part and found != options.part):
        what = f"no part {' or '.join(wanted)}"
        raise OperatorError(what, where=where, remedy=f"set part to one of {', '.join(parts)}")
    return found
