"""Rows of tables: CSV and TSV with quotes, and Parquet."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from errata.tools.data.check import RowError
from errata.tools.data.read.json_rows import is_whole, read_bytes, read_document, read_lines
from errata.tools.data.read.layout import RawRow, SourceOptions
from errata.tools.errors import OperatorError
from errata.tools.records import Split

DELIMITERS = {".csv": ",", ".tsv": "\t"}
INSTALL = "install the extra: pip install 'errata-vlm[scale]'"


def read_rows(file: Path, options: SourceOptions, split: Split | None) -> Iterator[RawRow]:
    """Rows by the ending of the file: .json, .csv, .tsv, .parquet; lines of JSON for any other. `.gz` may follow."""
    del options, split
    ending = _ending(file)
    if ending in DELIMITERS:
        return read_delimited(file, delimiter=DELIMITERS[ending])
    if ending == ".parquet":
        return read_parquet(file)
    return read_document(file) if ending == ".json" else read_lines(file)


def is_table(file: Path) -> bool:
    """Whether the ending says that the rows are no lines of JSON."""
    return _ending(file) in (*DELIMITERS, ".parquet", ".json")


def _ending(file: Path) -> str:
    name = file.name.removesuffix(".gz").lower()
    return name[name.rfind(".") :] if "." in name else ""


class _Table(NamedTuple):
    lines: list[str]
    header: list[str]
    delimiter: str


def read_delimited(file: Path, *, delimiter: str) -> Iterator[RawRow]:
    """Rows under a header line; the number is that of the row's first line.

    A quote that is not closed would swallow the rows after it: such a row is reported, and reading goes on at
    the next line.
    """
    csv.field_size_limit(sys.maxsize)
    data = read_bytes(file)
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise OperatorError("not UTF-8", where=f"{file}:1", value=data[:4], remedy="save it as UTF-8")
    text = data.decode("utf-8", errors="surrogateescape").removeprefix("\ufeff")
    lines = text.replace("\r\n", "\n").split("\n")
    lines = [line + "\n" for line in lines[:-1]] + lines[-1:]
    header, at = _next_record(_Table(lines, [], delimiter), 0)
    if not header:
        return
    _check_header(header, file=file)
    table = _Table(lines, header, delimiter)
    while at < len(lines):
        if not lines[at].strip():
            at += 1
            continue
        number = at + 1
        cells, after = _next_record(table, at)
        try:
            row, at = _make_row(table, cells, begin=at, after=after), after
        except RowError as error:
            at = at + 1 if error.field == "row" else after
            yield RawRow(number, None, error)
        else:
            yield RawRow(number, row)


def _check_header(header: list[str], *, file: Path) -> None:
    twice = [name for i, name in enumerate(header) if name in header[:i]]
    if twice:
        remedy = "give each column a name of its own"
        raise OperatorError("two columns have one name", where=f"{file}:1", value=twice[0], remedy=remedy)
    if not is_whole(header):
        raise OperatorError("not UTF-8", where=f"{file}:1", remedy="save it as UTF-8")


def _next_record(table: _Table, at: int) -> tuple[list[str] | None, int]:
    """The cells of the record that begins at line `at`, None where its quotes are broken, and the line after."""
    reader = csv.reader(iter(table.lines[at : at + MAX_LINES]), delimiter=table.delimiter, strict=True)
    try:
        cells = next(reader)
    except (csv.Error, StopIteration):
        return None, at + 1
    return cells, at + reader.line_num


MAX_LINES = 1000
"""Lines of one row; more are a quote that is not closed."""


def _make_row(table: _Table, cells: list[str] | None, *, begin: int, after: int) -> dict[str, Any]:
    if cells is None:
        value = table.lines[begin][:60]
        raise RowError("row", "broken quotes or line ends", value=value, remedy='write a quote in a cell as ""')
    if len(cells) != len(table.header):
        what = f"{len(cells)} columns under a header of {len(table.header)}"
        raise RowError("row", what, value=table.lines[begin][:60], remedy="quote cells that hold a delimiter")
    columns = max(1, len(table.header) - 1)
    swallowed = range(begin + 1, after - 1)
    if any(table.lines[i].count(table.delimiter) >= columns for i in swallowed):
        what = f"a quote is not closed: lines {begin + 1} to {after} run together"
        raise RowError("row", what, value=table.lines[begin][:60], remedy='write a quote in a cell as ""')
    row = dict(zip(table.header, cells, strict=True))
    if not is_whole(row):
        raise RowError("encoding", "not UTF-8", value=ascii(table.lines[begin][:40]), remedy="save it as UTF-8")
    return row


def read_parquet(file: Path) -> Iterator[RawRow]:
    """Rows of a Parquet file; needs pyarrow, which comes with the extra `scale`."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise OperatorError("Parquet needs pyarrow", where=str(file), remedy=INSTALL) from None
    if not file.is_file():
        raise OperatorError("no such file", where=str(file), remedy="check the path of the data")
    number = 0
    try:
        with pq.ParquetFile(file) as table:
            for batch in table.iter_batches(batch_size=256):
                yield from _rows_of_batch(batch, number)
                number += batch.num_rows
    except (pa.ArrowException, OSError) as error:
        what = f"not a whole Parquet file ({' '.join(str(error).split())[:120]})"
        raise OperatorError(what, where=str(file), remedy="write it again") from error


def _rows_of_batch(batch: Any, before: int) -> Iterator[RawRow]:
    for i in range(batch.num_rows):
        try:
            (row,) = batch.slice(i, 1).to_pylist()
        except (UnicodeDecodeError, ValueError, OverflowError) as error:
            fault = RowError("row", f"a value cannot be read ({error})", remedy="write the row again")
            yield RawRow(before + i + 1, None, fault)
        else:
            yield RawRow(before + i + 1, row)
