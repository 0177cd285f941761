"""CSV files: read with errors that name file and column, written complete or not at all.

Written files are UTF-8 with ``\\n`` at the end of a line, so that the same rows give the same bytes.
"""

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

import pandas as pd

from Utils.command.cli import UserError
from Utils.files.atomic import AnyPath, replacing, require_file

_Quoting = Literal[0, 2]  # csv.QUOTE_MINIMAL, csv.QUOTE_NONNUMERIC


def read(path: AnyPath, what: str, columns: Iterable[str], **options: Any) -> pd.DataFrame:
    """Return a CSV that a user gives as a DataFrame.

    Args:
        path: of the file.
        what: what the file should be, for errors: "a results table (.csv)".
        columns: names that it must have; it may have others.
        options: arguments of `pandas.read_csv`, for example dtype.

    Raises UserError where the file is missing, is no CSV, or lacks a column.
    """
    path = require_file(path, what)
    try:
        frame = pd.read_csv(path, encoding="utf-8-sig", **options)
    except ValueError as error:  # pandas' ParserError and EmptyDataError, and UnicodeDecodeError
        raise UserError(f"{path} is no CSV that holds {what}: {error}") from error
    missing = [name for name in columns if name not in frame]
    if missing:
        present = ",".join(map(str, frame.columns))
        raise UserError(f"{path} lacks the column {' and '.join(missing)}; it has {present}")
    return frame


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
        temporary.write_bytes(content.encode("utf-8"))
