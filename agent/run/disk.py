"""Atomic files, logs that grow by whole lines, and disk faults as one line for the operator."""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from errata.tools.errors import OperatorError

DISK_FAULTS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "a file may not grow so large",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "the folder may not be written to",
    errno.EPERM: "the folder may not be written to",
    errno.ENOTDIR: "a file stands where a folder is needed",
    errno.EEXIST: "a file stands where a folder is needed",
}


@contextlib.contextmanager
def disk_faults(path: Path) -> Iterator[None]:
    """Turn a full disk or a missing permission into an OperatorError; other errors pass unchanged."""
    try:
        yield
    except OSError as error:
        what = DISK_FAULTS.get(error.errno or 0)
        if what is None:
            raise
        remedy = "make room or choose another folder, then resume; nothing was half-written"
        raise OperatorError(what, where=str(error.filename or path), remedy=remedy) from None


def write_atomically(path: Path, text: str) -> None:
    """Write, sync and rename. After an error the old file is unchanged and the temporary file is removed."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with disk_faults(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except OSError:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise


def append_line(path: Path, entry: dict[str, Any]) -> None:
    """Append one JSON line in one write; a torn line before it is closed first."""
    line = json.dumps(entry, ensure_ascii=False, separators=(",", ":")) + "\n"
    with disk_faults(path), path.open("ab+") as file:
        end = file.seek(0, os.SEEK_END)
        if end:
            file.seek(end - 1)
            if file.read(1) != b"\n":
                line = "\n" + line
        file.write(line.encode("utf-8"))


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The entries of an append-only log; lines torn by a kill are left out. A missing log is empty."""
    entries = []
    with contextlib.suppress(FileNotFoundError):
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            with contextlib.suppress(json.JSONDecodeError):
                entry = json.loads(line)
                if isinstance(entry, dict):
                    entries.append(entry)
    return entries
