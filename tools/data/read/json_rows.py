"""Rows of JSON: one object per line, or one document that holds a list or an object of rows.

Nothing is lost on the way: a key that stands twice, a number that overflows, half a character and a list that
breaks off are errors, not the last value, infinity, a replacement character and a shorter list.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from errata.tools.data.check import RowError
from errata.tools.data.read.layout import RawRow
from errata.tools.errors import OperatorError

MAX_DEPTH = 32
MAX_DIGITS = 300
_SPACE = re.compile(r"[ \t\r\n]*")
_FAULTS = (EOFError, zlib.error, gzip.BadGzipFile)


def open_bytes(file: Path) -> IO[bytes]:
    """The file, unpacked where its name ends in .gz; raises OperatorError for one that cannot be opened."""
    try:
        if file.suffix == ".gz":
            return gzip.open(file, "rb")  # type: ignore[return-value]
        return file.open("rb")
    except FileNotFoundError:
        raise OperatorError("no such file", where=str(file), remedy="check the path of the data") from None
    except OSError as error:
        raise _unreadable(file, error) from error


def _unreadable(file: Path, error: Exception) -> OperatorError:
    if isinstance(error, _FAULTS):
        return OperatorError(f"broken gzip file ({error})", where=str(file), remedy="fetch it again")
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return OperatorError(f"cannot be read ({reason})", where=str(file), remedy="check path and permissions")


def read_bytes(file: Path) -> bytes:
    """All of a file; raises OperatorError."""
    with open_bytes(file) as handle:
        try:
            return handle.read()
        except (*_FAULTS, OSError) as error:
            raise _unreadable(file, error) from error


def read_lines(file: Path) -> Iterator[RawRow]:
    """One row per line that is not blank, the number being that of the line."""
    number = 0
    with open_bytes(file) as handle:
        while True:
            try:
                data = handle.readline()
            except (*_FAULTS, OSError) as error:
                raise _unreadable(file, error) from error
            if not data:
                return
            number += 1
            if data.strip():
                yield read_line(data.removeprefix(b"\xef\xbb\xbf") if number == 1 else data, number=number)


def read_line(data: bytes, *, number: int) -> RawRow:
    """One line; what is not UTF-8 is fatal, because the file is then of another kind."""
    try:
        line = data.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError as error:
        return RawRow(number, None, not_utf8(data[error.start : error.start + 4]), fatal=True)
    try:
        return RawRow(number, parse_line(line))
    except RowError as error:
        return RawRow(number, None, error)


def not_utf8(value: bytes) -> RowError:
    """The complaint about bytes that are no text."""
    return RowError("row", "not UTF-8", value=value, remedy="save it as UTF-8")


class _Faulty(ValueError):
    """Valid JSON that would lose something; its text says what."""

    def __init__(self, what: str) -> None:
        super().__init__(f"not JSON that keeps its meaning: {what}")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise _Faulty(f"the key {twice[:60]!r} stands twice")
    return found


def _finite(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise _Faulty(f"the number {text[:40]} is too large")
    return value


def _no_constant(text: str) -> float:
    raise _Faulty(f"{text} is not JSON")


def _short_integer(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise _Faulty(f"a number of {len(text)} digits")
    return int(text)


DECODER = json.JSONDecoder(
    object_pairs_hook=_unique, parse_float=_finite, parse_int=_short_integer, parse_constant=_no_constant
)
LENIENT = json.JSONDecoder(parse_int=float)
"""Finds where a row ends that DECODER refuses."""


def parse_line(line: str) -> dict[str, Any]:
    """One JSON object; raises RowError."""
    try:
        row = DECODER.decode(line)
    except _Faulty as error:
        raise RowError("row", str(error), value=line[:40], remedy="mend the row") from None
    except (ValueError, RecursionError) as error:
        remedy = "one whole JSON object per line"
        raise RowError("row", "not JSON, or cut off", value=line[-40:], remedy=remedy) from error
    return check_row(row, line)


def check_row(row: object, text: str) -> dict[str, Any]:
    """The row if it is an object of ordinary depth made of whole characters; raises RowError."""
    if not isinstance(row, dict):
        raise RowError("row", "not a JSON object", value=text[:40], remedy="one JSON object per line")
    if text.count("[") + text.count("{") > MAX_DEPTH and _depth(row) > MAX_DEPTH:
        raise RowError("row", f"nested more than {MAX_DEPTH} deep", value=text[:40], remedy="mend the row")
    if "\\u" in text and not is_whole(row):
        raise RowError("row", "half a character (a lone surrogate)", value=text[:40], remedy="save it as UTF-8")
    return row


def is_whole(value: object) -> bool:
    """Whether every text within can be written as UTF-8."""
    try:
        json.dumps(value, ensure_ascii=False, default=str).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _depth(value: object, limit: int = MAX_DEPTH + 1) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max((_depth(v, limit - 1) for v in inner), default=0) if limit > 0 else 1


def read_document(file: Path) -> Iterator[RawRow]:
    """Rows of a JSON document: the items of a list, or the values of an object, whose keys become their ids.

    A document that begins like an object but holds one object per line is read as lines. Where the text
    breaks off, the rows before it are given, then one fatal row.
    """
    data = read_bytes(file)
    try:
        text = data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        yield RawRow(line, None, not_utf8(data[error.start : error.start + 4]), fatal=True)
        return
    start = _skip(text, 0)
    if text[start : start + 1] == "{" and _holds_lines(text[start:]):
        for number, raw in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
            if raw.strip():
                yield read_line(raw, number=number)
    elif text[start : start + 1] in ("[", "{"):
        yield from _read_members(text, start)
    elif text[start:]:
        fault = RowError("row", "not JSON", value=text[start : start + 40], remedy="a list of rows")
        yield RawRow(1, None, fault, fatal=True)


def _holds_lines(text: str) -> bool:
    first, _, rest = text.partition("\n")
    try:
        return isinstance(json.loads(first), dict) and bool(rest.strip())
    except (ValueError, RecursionError):
        return False


def _skip(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at


def _read_members(text: str, start: int) -> Iterator[RawRow]:
    """Each member of the list or object that begins at `start`, decoded by itself."""
    keyed, number = text[start] == "{", 0
    closing, at = "}" if keyed else "]", _skip(text, start + 1)
    if text[at : at + 1] == closing:
        yield from _after_the_end(text, at + 1, number)
        return
    while True:
        number += 1
        begin = at
        try:
            key, at = _key(text, at) if keyed else ("", at)
            value, at = _decode_member(text, at)
            at = _skip(text, at)
            if text[at : at + 1] not in (",", closing):
                raise ValueError("no comma")
        except (ValueError, RecursionError) as error:
            yield RawRow(number, None, _broken(text, begin, at, error), fatal=True)
            return
        yield _member(value, text[begin:at], key=key, number=number)
        if text[at] == closing:
            yield from _after_the_end(text, at + 1, number)
            return
        at = _skip(text, at + 1)


def _decode_member(text: str, at: int) -> tuple[object, int]:
    """The value, or the fault of a value whose end is known; and where it ends."""
    try:
        return DECODER.raw_decode(text, at)
    except _Faulty as error:
        return RowError("row", str(error), value=text[at : at + 40], remedy="mend the row"), (
            LENIENT.raw_decode(text, at)[1]
        )


def _key(text: str, at: int) -> tuple[str, int]:
    key, at = json.JSONDecoder().raw_decode(text, at)
    at = _skip(text, at)
    if not isinstance(key, str) or text[at : at + 1] != ":":
        raise ValueError("no key")
    return key, _skip(text, at + 1)


def _member(value: object, source: str, *, key: str, number: int) -> RawRow:
    try:
        if isinstance(value, RowError):
            raise value
        row = check_row(value, source)
    except RowError as error:
        return RawRow(number, None, error)
    return RawRow(number, {"id": key, **row} if key else row)


def _broken(text: str, begin: int, at: int, error: Exception) -> RowError:
    place = error.pos if isinstance(error, json.JSONDecodeError) else at
    line, column = text.count("\n", 0, place) + 1, place - text.rfind("\n", 0, place)
    what = f"not JSON, or cut off, at line {line} column {column}"
    remedy = "mend it: this row and all after it cannot be read"
    return RowError("row", what, value=text[max(begin, place - 20) : place + 20], remedy=remedy)


def _after_the_end(text: str, at: int, number: int) -> Iterator[RawRow]:
    rest = text[at:].strip()
    if rest:
        error = RowError("row", "text after the end of the list", value=rest[:40], remedy="one list per file")
        yield RawRow(number + 1, None, error, fatal=True)
