"""Write an exported checkpoint: a folder that is complete or not there."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from errata.tools.errors import OperatorError
from errata.tools.export.adapter import copy_adapter
from errata.tools.export.card import CARD, Form, ModelCard, render_card
from errata.tools.export.merged import check_merge, write_merged

MERGED, PARITY = "merged", "parity.json"


def check_folder(out: Path) -> None:
    """Raise OperatorError unless `out` is a new or an empty folder."""
    above = next(p for p in (out.absolute(), *out.absolute().parents) if p.exists() or p.is_symlink())
    if not above.is_dir():
        what = "a file stands where a folder is needed"
        raise OperatorError(what, where="--out", value=str(above), remedy="name a new folder")
    if above == out.absolute() and any(out.iterdir()):
        remedy = "name a new folder, or take this one away"
        raise OperatorError("the folder is not empty", where="--out", value=str(out), remedy=remedy)


def write_export(card: ModelCard, *, adapter: Path, out: Path, merged: bool, place: str | None = None) -> list[Path]:
    """Adapter, card and, if `merged`, the merged model below `out`; returns the files.

    `place` is the repository that the card's code names; None names the folders themselves. Everything is written
    beside `out` and takes its place at the end. Raises OperatorError.
    """
    check_folder(out)
    if merged:
        check_merge(adapter, to=out, base=card.base)
    with _complete_or_not_there(out) as draft:
        copy_adapter(adapter, to=draft, base=card.base)
        _write_card(card, draft, form="adapter", place=place or str(out.resolve()))
        if (adapter / PARITY).is_file():
            shutil.copyfile(adapter / PARITY, draft / PARITY)
        if merged:
            write_merged(adapter, to=draft / MERGED, base=card.base)
            inner = f"{place}-{MERGED}" if place else str(out.resolve() / MERGED)
            _write_card(card, draft / MERGED, form="merged", place=inner)
    return sorted(p for p in out.rglob("*") if p.is_file())


def _write_card(card: ModelCard, folder: Path, *, form: Form, place: str) -> None:
    (folder / CARD).write_text(render_card(card, form=form, place=place), encoding="utf-8")


@contextlib.contextmanager
def _complete_or_not_there(out: Path) -> Iterator[Path]:
    """A folder beside `out` that takes its place; it is removed when anything fails."""
    draft = out.resolve().with_name(f".{out.resolve().name}.{os.getpid()}.part")
    try:
        draft.mkdir(parents=True)
        yield draft
        if out.is_dir():
            for path in draft.iterdir():
                path.replace(out / path.name)
        else:
            draft.replace(out)
    except OSError as error:
        remedy = "make room, or choose another folder; nothing was left behind"
        what = f"cannot write the export ({error.strerror or error})"
        raise OperatorError(what, where=str(error.filename or out), remedy=remedy) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
