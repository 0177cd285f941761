"""``history.csv`` of a run folder: one row of numbers for each epoch."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from Utils.command.cli import UserError
from Utils.files import atomic, csv_tables
from Utils.training import diagnosis

ROW = ("epoch", "step", "images", "learning_rate", "loss")  # columns that every row has
LAST = ("images_per_second", "seconds")  # columns at the end, whatever scores an epoch has
FIRST_SCORES = ("loss", "f1", "threshold", "precision", "recall")  # of a row, as a person looks for them


class History:
    """The rows of the finished epochs, as the file holds them; the file is complete at any moment.

    Args:
        path: the CSV file, read if it exists.
        writable: False keeps new rows in memory only, on hosts that are not the first.

    Raises:
        UserError: the rows are not those of the epochs 1, 2, ..., or a cell is no number.
    """

    def __init__(self, path: atomic.AnyPath, writable: bool = True) -> None:
        self.path, self.writable = atomic.to_path(path), writable
        self.rows: list[dict[str, Any]] = []
        if self.path.is_file():
            rows = csv_tables.read_texts(self.path, "the epochs of a run")
            self.rows = [{name: _number(text) for name, text in row.items()} for row in rows]
        for number, row in enumerate(self.rows, 1):
            words = [value for value in row.values() if isinstance(value, str) and value]
            if row.get("epoch") != number or words:
                wrong = repr(words[0]) if words else f"epoch {row.get('epoch')}"
                raise UserError(
                    f"{path} is no history of epochs: its row of epoch {number} has {wrong}. Put it back"
                )

    def truncate(self, epochs: int) -> None:
        """Drop the rows after this many epochs: those that the newest valid checkpoint does not include."""
        if len(self.rows) > epochs:
            self.rows = self.rows[:epochs]
            self._write()

    def append(self, row: Mapping[str, Any]) -> None:
        """Add the row of an epoch and write the file."""
        self.rows.append(dict(row))
        self._write()

    def is_best(self, column: str, value: float, lowest: bool = False) -> bool:
        """Whether a value is above (``lowest``: below) all of a column so far; NaN never is.

        Values are compared as the file rounds them. A run that was continued reads rounded ones, and must
        find the same ties as a run that was not.
        """
        sign = -1 if lowest else 1
        return sign * _rounded(value) > max(self._values(column, sign), default=-math.inf)

    def epochs_since_best(
        self, column: str, lowest: bool = False, rows: Iterable[Mapping[str, Any]] = ()
    ) -> int:
        """Return how many epochs have passed since the first with a column's best value; 0 without one.

        ``rows`` are taken for later ones that the file does not have yet.
        """
        values = self._values(column, -1 if lowest else 1, rows)
        if not values:
            return 0
        return len(values) - 1 - max(range(len(values)), key=values.__getitem__)

    def has_ended_early(self, best_by: str, patience: int, rows: Iterable[Mapping[str, Any]] = ()) -> bool:
        """Whether a score got no better for ``patience`` epochs, 0: never. ``rows`` are later ones."""
        return 0 < patience <= self.epochs_since_best(*selected_by(best_by), rows)

    def _values(self, column: str, sign: int, rows: Iterable[Mapping[str, Any]] = ()) -> list[float]:
        """Return ``sign`` times the numbers of a column, -inf for NaN."""
        rows = [*self.rows, *rows]
        values = [_rounded(row[column]) for row in rows if isinstance(row.get(column), (int, float))]
        return [-math.inf if math.isnan(value) else sign * value for value in values]

    def _write(self) -> None:
        if not self.writable:
            return
        columns = dict.fromkeys(name for row in self.rows for name in row)
        names = [*(name for name in columns if name not in LAST), *(name for name in LAST if name in columns)]
        rows = ([_text(row.get(name, "")) for name in names] for row in self.rows)
        csv_tables.write_rows(self.path, names, rows)


def selected_by(best_by: str) -> tuple[str, bool]:
    """Return the column that ``Recipe.best_by`` names, and whether its lowest value is the best."""
    return f"val_{best_by}", best_by == "loss"


def best_row(rows: Sequence[Mapping[str, Any]], column: str, lowest: bool) -> Mapping[str, Any] | None:
    """Return the first row with the best number of a column; None where no row has one.

    Rows of this process are compared as the file rounds them, as `History.is_best` does that saved the model.
    """
    scored = [row for row in rows if isinstance(row.get(column), (int, float)) and math.isfinite(row[column])]
    return (min if lowest else max)(scored, key=lambda row: _rounded(row[column])) if scored else None


def score_columns(names: Iterable[str], scores: Mapping[str, float]) -> dict[str, float]:
    """Return the columns of these scores, as far as there are any: those that people look for first."""
    present = sorted((name for name in names if name in scores), key=_place_of_score)
    return {f"val_{name}": scores[name] for name in present if not math.isnan(scores[name])}


def _place_of_score(score: str) -> tuple[int, str]:
    """Return the sort key of a score's column: those that people look for first, then by name."""
    order = (*FIRST_SCORES, *diagnosis.SCORES)
    return (order.index(score) if score in order else len(FIRST_SCORES), score)


def _rounded(value: float) -> float:
    return float(_text(float(value)))


def _text(value: Any) -> Any:
    return f"{value:.7g}" if isinstance(value, float) else value


def _number(text: str) -> int | float | str:
    for number_type in (int, float):
        try:
            return number_type(text)
        except ValueError:
            continue
    return text
