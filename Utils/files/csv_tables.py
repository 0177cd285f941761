"""CSV files: read with errors that name file and column, written complete or not at all.

Written files are UTF-8 with ``\\n`` at the end of a line, so that the same rows give the same bytes.
"""

import collections
import csv
import io
import pathlib
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

import pandas as pd

from Utils.command.cli import UserError
from Utils.files import damage, text_files
from Utils.files.atomic import AnyPath, replacing, require_file

_Quoting = Literal[0, 2]  # csv.QUOTE_MINIMAL, csv.QUOTE_NONNUMERIC


_MOST_TEXT = 300  # characters of a header in an error
_MOST_COLUMNS = 1000  # pandas takes a second for 5,000
_reported: set[str] = set()  # paths whose missing line break was reported


def read(
    path: AnyPath, what: str, columns: Iterable[str], *, by_hand: bool = False, **options: Any
) -> pd.DataFrame:
    """Return a CSV that a user gives as a DataFrame.

    Args:
        path: of the file.
        what: what the file should be, for errors: "a results table (.csv)".
        columns: names that it must have; it may have others.
        by_hand: whether people write such files, too (`require_whole`).
        options: arguments of `pandas.read_csv`, for example dtype.

    Raises UserError where the file is missing, is no CSV, lacks a column, or is not whole.
    """
    path = require_file(path, what)
    with damage.named(path, f"is no CSV that holds {what}"):
        text = _read_text(path)
        require_whole(path, text, by_hand)
        frame = pd.read_csv(io.StringIO(text, newline=""), **options)
    _require_columns(path, frame.columns, columns)
    return frame


def _require_columns(path: AnyPath, present: Iterable[Any], needed: Iterable[str]) -> None:
    names = list(map(str, present))
    missing = [name for name in needed if name not in names]
    if missing:
        raise UserError(f"{path} lacks the column {' and '.join(missing)}; it has {shown_header(names)}")


def shown_header(names: Sequence[str]) -> str:
    """Return the columns of a table for an error, with what to do where other marks than commas part them."""
    text = ",".join(names)
    return f"{text if len(text) <= _MOST_TEXT else f'{text[:_MOST_TEXT]} ...'}{parted_otherwise(names)}"


def parted_otherwise(header: Sequence[str]) -> str:
    """Return what to do where other marks than commas part the cells of a first line, else nothing."""
    mark = next((mark for mark in (";", "\t", "|") if len(header) == 1 and mark in header[0]), None)
    return f" (cells are parted by {mark!r} there; save it with commas)" if mark else ""


def require_whole(path: AnyPath, text: str, by_hand: bool = False) -> None:
    """Raise UserError where a row has another number of cells than the first, or the last line has no end.

    pandas would fill missing cells, and take the last row of a file that was cut off for what it is not. We
    end every line, so that a file of ours without a last line break was cut off. Editors leave it out: of a
    file that people write ``by_hand``, a last row with all its cells is taken and reported, once.
    """
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header = next(reader, [])
    require_header(path, header)
    for row in reader:
        if row and len(row) != len(header):
            raise UserError(
                f"{path}, line {reader.line_num} has {len(row)} cells; the first line names {len(header)}"
                f"{parted_otherwise(header)}"
            )
    if text and not text.endswith(("\n", "\r")):
        if by_hand:
            report_missing_end(path, text)
            return
        last = text.splitlines()[-1]
        raise UserError(
            f"{path} does not end in a line break: was it cut off? Its last row is {last[:80]!r}; "
            "add a line break if that is whole"
        )


def require_header(path: AnyPath, header: Sequence[str]) -> None:
    """Raise UserError where there are too many columns, or one twice, of which readers take this or that."""
    if len(header) > _MOST_COLUMNS:
        raise UserError(f"{path} has {len(header):,} columns; a table of at most {_MOST_COLUMNS:,} is needed")
    repeated = [name for name, number in collections.Counter(header).items() if number > 1 and name.strip()]
    if repeated:
        raise UserError(f"{path} names the column {' and '.join(repeated)} more than once; take one away")


def report_missing_end(path: AnyPath, text: str) -> None:
    """Print, once for a path, that a CSV does not end in a line break, and its last row."""
    if text.endswith(("\n", "\r")) or not text or str(path) in _reported:
        return
    _reported.add(str(path))
    last = text.splitlines()[-1][:80]
    print(f"{path} does not end in a line break; its last row is taken as it is: {last!r}", file=sys.stderr)


def _read_text(path: pathlib.Path) -> str:
    return text_files.decoded(path.read_bytes())


def read_texts(path: AnyPath, what: str, columns: Iterable[str] = ()) -> list[dict[str, str]]:
    """Return the rows of a CSV as texts by column, as they stand in the file: "null" and "NA" stay texts.

    Raises UserError as `read` does.
    """
    path = require_file(path, what)
    with damage.named(path, f"is no CSV that holds {what}"):
        text = _read_text(path)
        require_whole(path, text)
        rows = csv.DictReader(io.StringIO(text, newline=""), strict=True)
        _require_columns(path, rows.fieldnames or [], columns)
        return list(rows)


def write_rows(path: AnyPath, header: Sequence[str], rows: Iterable[Iterable[Any]]) -> None:
    """Write a header and rows of cells, each written as ``str`` gives it."""
    rows = [list(row) for row in rows]

    def text(quoting: _Quoting) -> str:
        file = io.StringIO()
        csv.writer(file, lineterminator="\n", quoting=quoting).writerows([header, *rows])
        return file.getvalue()

    _write(path, text)


def write_frame(path: AnyPath, frame: pd.DataFrame) -> None:
    """Write a DataFrame without its index."""
    _write(path, lambda quoting: frame.to_csv(None, index=False, lineterminator="\n", quoting=quoting))


def _write(path: AnyPath, text: Callable[[_Quoting], str]) -> None:
    content = text(csv.QUOTE_MINIMAL)
    if "\r" in content:  # readers end a line at a carriage return, but the csv module does not quote it
        content = text(csv.QUOTE_NONNUMERIC)
    with replacing(path) as temporary:
        # A file's name may be no Unicode text; what has no letter is written as an escape.
        temporary.write_bytes(content.encode("utf-8", "backslashreplace"))
