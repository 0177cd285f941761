"""CSV files of any size, compressed or not, row by row: a bad row is reported and the others are read."""

import codecs
import csv
import io
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from Utils.command.cli import UserError, WorkError
from Utils.command.text import NO_UTF8
from Utils.files import compressed, csv_tables, damage
from Utils.files.atomic import AnyPath

_MOST_CELL = 2**24  # characters; descriptions of posts have some ten thousand
_FAULT = "cannot be read to its end"
_STATED_DELIMITER = re.compile(r'"?sep=([,;\t|])"?\s*', re.IGNORECASE)
_STRAY = "a quotation mark in a wrong place"
_NO_TEXT = "\udcff"  # stands for bytes that are no text; none can be read as it
codecs.register_error("no_text", lambda error: (_NO_TEXT, error.end))  # pyright: ignore[reportAttributeAccessIssue]


def delimiter_of(header: str) -> str:
    """Return what separates the columns that a first line names: a comma, else a tab or a semicolon."""
    return next((mark for mark in ",\t;" if mark in header), ",")


def stated_delimiter(line: str) -> str | None:
    """Return what a line before the header says to separate columns (Excel's ``sep=;``); None for others."""
    match = _STATED_DELIMITER.fullmatch(line)
    return match[1] if match else None


def _rows_or_stray(reader: Any) -> Iterator[tuple[int, list[str] | str]]:
    """Yield ``(line, cells)`` of a strict reader, _STRAY for a line that it refuses; raises csv.Error."""
    while True:
        before = reader.line_num
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if "field limit" in str(error):
                raise
            if reader.line_num > before + 1:
                raise csv.Error(
                    f"lines {before + 1:,} to {reader.line_num:,} are in one pair of quotation marks, of "
                    f"which one is missing or too many ({error})"
                ) from error
            cells = _STRAY
        yield reader.line_num, cells


class CsvStream:
    """A CSV in UTF-8 whose first row names the columns, with commas, tabs or semicolons between them.

    A line before them may name another mark, as Excel's ``sep=|``.

    Columns are known by their names in small letters: ``ID,Tags`` of a spreadsheet are ``id`` and ``tags``.

    Args:
        path: of the file.
        error_type: raised, with the file's name, where its end cannot be reached.
    """

    def __init__(self, path: AnyPath, error_type: type[Exception] = WorkError) -> None:
        self.path, self._error_type = path, error_type
        self.ends_in_line_break = True  # known once all rows are read; without one a file may be cut off
        header = next(self._rows(), None)
        if header is None:
            raise UserError(f"{path} is empty; the first line of a CSV names its columns")
        if isinstance(header[1], str):
            raise UserError(f"{path} begins with {header[1]}; the first line of a CSV names its columns")
        self.columns = [name.strip().lower() for name in header[1]]
        csv_tables.require_header(path, self.columns)

    def _rows(self) -> Iterator[tuple[int, list[str] | str]]:
        """Yield ``(line, cells)`` of every row that is not empty; bytes that are no text become _NO_TEXT.

        Instead of cells comes _STRAY for a line with a quotation mark in a wrong place; where it hides other
        lines, up to the next mark or the end, the file is not read on.
        """
        before = csv.field_size_limit(_MOST_CELL)
        try:
            with compressed.opened(self.path, self._error_type) as stream:
                is_utf16 = stream.peek(2)[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
                encoding = "utf-16" if is_utf16 else "utf-8-sig"
                text = io.TextIOWrapper(stream, encoding, errors="no_text", newline="")
                lines = self._lines(text)
                first, before_header = next(lines, ""), []
                if stated := stated_delimiter(first):
                    first, before_header = next(lines, ""), ["\n"]  # which counts as a line, and is no row
                reader = csv.reader(
                    itertools.chain(before_header, [first], lines),
                    delimiter=stated or delimiter_of(first),
                    strict=True,
                )
                rows = damage.iterate(_rows_or_stray(reader), self.path, _FAULT, self._error_type)
                yield from ((line, cells) for line, cells in rows if cells)
        finally:
            csv.field_size_limit(before)

    def _lines(self, text: Iterable[str]) -> Iterator[str]:
        """Yield the lines; the last one says whether the file ends in a line break."""
        line = "\n"
        for line in text:
            yield line.replace("\0", "")  # csv refuses it
        self.ends_in_line_break = line.endswith(("\n", "\r"))

    def rows(self, columns: Sequence[str]) -> Iterator[tuple[int, list[str] | str]]:
        """Yield ``(line, cells of these columns)``, with the reason for a row that cannot be read.

        That is one of more or fewer cells than columns, with a quotation mark in a wrong place, or with bytes
        that are no UTF-8 in these cells: they would be names that nothing has. The line is the row's last.
        Columns that the file lacks give empty cells.
        """
        places = [self.columns.index(name) if name in self.columns else -1 for name in columns]
        size = len(self.columns)
        rows = self._rows()
        next(rows)
        for line, cells in rows:
            if isinstance(cells, str):
                yield line, cells
                continue
            if len(cells) != size:
                yield line, "another number of cells than the first line"
                continue
            chosen = [cells[place] if place >= 0 else "" for place in places]
            yield line, NO_UTF8 if _NO_TEXT in "".join(chosen) else chosen

    def require(self, columns: Sequence[str]) -> None:
        """Raise UserError where the file lacks one of the columns."""
        missing = [name for name in columns if name not in self.columns]
        if missing:
            raise UserError(
                f"{self.path} lacks the column {' and '.join(missing)}; "
                f"it has {', '.join(self.columns)[:500]}"
            )
