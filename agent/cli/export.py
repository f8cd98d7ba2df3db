"""`errata export RUN`: a checkpoint as a folder that transformers and PEFT open, with its model card."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from errata.agent.run.export import choose_checkpoint, describe_checkpoint, trained_digest
from errata.agent.run.find import find_run
from errata.agent.run.outcome import read_outcome
from errata.tools.disk_space import say_bytes
from errata.tools.errors import OperatorError
from errata.tools.export.adapter import check_weights
from errata.tools.export.card import ModelCard
from errata.tools.export.folder import MERGED, check_folder, write_export
from errata.tools.export.push import check_repository, push_folder


def run_export(arguments: argparse.Namespace) -> int:
    """Write the folder, upload it where asked, and say what lies where."""
    if arguments.push is not None:
        check_repository(arguments.push)
    elif arguments.public:
        raise OperatorError("nothing is uploaded without --push", where="--public", remedy="give --push OWNER/NAME")
    folder = find_run(arguments.runs_dir, arguments.run)
    checkpoint = choose_checkpoint(read_outcome(folder), arguments.checkpoint)
    out: Path = arguments.out or folder.path / "export" / checkpoint.id
    check_folder(out)
    adapter = folder.path / checkpoint.folder
    check_weights(adapter, digest=trained_digest(adapter))
    title = arguments.push.split("/")[1] if arguments.push else f"{folder.id}-{checkpoint.id}"
    card = describe_checkpoint(folder, checkpoint, base_name=arguments.base, title=title)
    notes = _check_base_name(card, pushed=arguments.push is not None)
    if not arguments.json:
        for note in [*notes, *(["merging the adapter into the base"] if arguments.merged else [])]:
            print(f"errata: {note}", file=sys.stderr, flush=True)
    files = write_export(card, adapter=adapter, out=out, merged=arguments.merged, place=arguments.push)
    addresses = _push(arguments, out)
    if arguments.json:
        found: dict[str, Any] = {"run": folder.id, "checkpoint": checkpoint.id, "base": card.base.name}
        found |= {"folder": str(out.resolve()), "files": [str(path.relative_to(out)) for path in files]}
        print(json.dumps({**found, "parity": card.parity is not None, "pushed": addresses, "notes": notes}))
        return 0
    for path in files:
        print(f"{say_bytes(path.stat().st_size):>9}  {path}")
    for address in addresses:
        print(f"uploaded to {address}")
    return 0


def _check_base_name(card: ModelCard, *, pushed: bool) -> list[str]:
    """What a person should know of the base's name; raises OperatorError for an upload that nobody could load."""
    if card.base.hub is not None:
        return []
    remedy = "give its name on the hub with --base OWNER/NAME"
    if pushed:
        raise OperatorError("the base has no name on the hub", where=card.base.folder, remedy=remedy)
    return [f"the base is named by its folder, {card.base.folder}; for other machines {remedy}"]


def _push(arguments: argparse.Namespace, out: Path) -> list[str]:
    """Addresses of what was uploaded: the adapter, and the merged model as a repository of its own."""
    if arguments.push is None:
        return []
    repository, public = arguments.push, arguments.public
    done = [push_folder(out, repository=repository, public=public, leave_out=f"{MERGED}/*")]
    if arguments.merged:
        done.append(push_folder(out / MERGED, repository=f"{repository}-{MERGED}", public=public))
    return done
