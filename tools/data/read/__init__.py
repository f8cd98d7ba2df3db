"""Readers: any of the formats of docs/data.md becomes `Problem` records, with a verdict for every row."""

from errata.tools.data.read.formats import FORMATS, FormatName
from errata.tools.data.read.layout import Format, Images, RowContext, SkipRow, SourceOptions
from errata.tools.data.read.reading import ReadResult, Verdict, count_reasons, read_problems, scan_rows

__all__ = [
    "FORMATS",
    "Format",
    "FormatName",
    "Images",
    "ReadResult",
    "RowContext",
    "SkipRow",
    "SourceOptions",
    "Verdict",
    "count_reasons",
    "read_problems",
    "scan_rows",
]
