"""CSV files that users give, read or refused in one way."""

import pandas as pd

from Utils.command.cli import UserError
from Utils.files.atomic import require_file


def read(path, what, columns, **options):
    """Return a CSV as a DataFrame; UserError where it is absent, no CSV, or lacks a column.

    Args:
        what: what was expected there, for the error.
        columns: names that it must have; more may be there.
        options: of `pandas.read_csv`, such as dtype.
    """
    path = require_file(path, what)
    try:
        frame = pd.read_csv(path, encoding="utf-8-sig", **options)
    except ValueError as error:  # pandas' own errors and wrong bytes are such
        raise UserError(f"{path} is no CSV that holds {what}: {error}") from error
    missing = [name for name in columns if name not in frame]
    if missing:
        there = ",".join(map(str, frame.columns))
        raise UserError(f"{path} lacks the column {' and '.join(missing)}; it has {there}")
    return frame
