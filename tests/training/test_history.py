"""history.csv: one row for each epoch, and the best one so far."""

import csv
import math

import pytest

from Utils.command.cli import UserError
from Utils.training.history import History, best_row, score_columns


@pytest.fixture
def path(tmp_path):
    history = History(tmp_path / "history.csv")
    history.append({"epoch": 1, "loss": 0.5, "val_f1": 0.25})
    history.append({"epoch": 2, "loss": 0.25, "val_f1": float("nan")})
    history.append({"epoch": 3, "loss": 0.125, "val_f1": 0.75})
    return history.path


def test_a_row_that_is_written_again_is_there_once(path):
    history = History(path)
    history.truncate(2)
    history.append({"epoch": 3, "loss": 0.0625, "val_f1": 0.5})
    with path.open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert rows[2]["loss"] == "0.0625"


@pytest.mark.parametrize(
    ("before", "after"), [("2,", "7,"), ("2,0.25,nan\n", ""), ("0.125", "O.125"), ("epoch", "epocj")]
)
@pytest.mark.reliability("history.csv of a run is damaged, or edited", "refused: best.keras stays")
def test_rows_that_are_not_those_of_the_epochs_are_refused(path, before, after):
    path.write_text(path.read_text().replace(before, after))
    with pytest.raises(UserError, match="history.csv is no history of epochs: its row of epoch"):
        History(path)


def test_speed_and_time_are_the_last_columns_whatever_scores_come_later(path):
    history = History(path)
    history.append({"epoch": 4, "images_per_second": 9.5, "seconds": 2.0, "val_new": 1.0})
    header = path.read_text().splitlines()[0]
    assert header == "epoch,loss,val_f1,val_new,images_per_second,seconds"


def test_numbers_come_back_as_numbers(path):
    row = History(path).rows[0]
    assert row == {"epoch": 1, "loss": 0.5, "val_f1": 0.25}
    assert [type(value) for value in row.values()] == [int, float, float]


def test_the_best_is_above_all_before_as_the_file_rounds_them(path):
    history = History(path)
    assert history.is_best("val_f1", 0.76)
    assert not history.is_best("val_f1", 0.75)
    assert not history.is_best("val_f1", 0.75 + 1e-9), "a continued run reads 0.75 and finds a tie"
    assert not history.is_best("val_f1", float("nan"))
    assert history.is_best("val_recall", 0.0), "no row has the column"


@pytest.mark.parametrize("lowest", [False, True])
def test_the_epoch_that_is_named_is_the_one_whose_model_was_saved(tmp_path, lowest):
    """Rows of this process are more exact than the file; a tie there is no better model."""
    values = [0.34736841, 0.34736838 if lowest else 0.34736844]
    rows = [{"epoch": number, "val_f1": value} for number, value in enumerate(values, 1)]
    kept = History(tmp_path / "h.csv")
    kept.append(rows[0])
    assert not kept.is_best("val_f1", values[1], lowest)
    assert best_row(rows, "val_f1", lowest) == rows[0]


def test_epochs_since_the_best_count_from_its_first_one(path):
    history = History(path)
    assert history.epochs_since_best("val_f1") == 0
    assert history.epochs_since_best("val_f1", lowest=True) == 2, "NaN is no lowest value"
    history.append({"epoch": 4, "loss": 0.5, "val_f1": 0.75})
    assert history.epochs_since_best("val_f1") == 1, "a tie is no better one"
    assert history.epochs_since_best("val_recall") == 0, "no row has the column"
    later = [{"val_f1": 0.5}, {"val_f1": math.nan}, {}]
    assert history.epochs_since_best("val_f1", rows=later) == history.epochs_since_best("val_f1") + 2
    assert history.epochs_since_best("val_f1", rows=[{"val_f1": 1.0}]) == 0
    assert History(path.parent / "none.csv").epochs_since_best("val_f1", rows=later[1:]) == 0
    assert history.is_best("loss", 0.1, lowest=True)
    assert not history.is_best("loss", 0.125, lowest=True)


def test_a_host_that_does_not_write_has_the_rows_in_memory(tmp_path):
    history = History(tmp_path / "history.csv", writable=False)
    history.append({"epoch": 1, "loss": 0.5})
    assert history.rows == [{"epoch": 1, "loss": 0.5}]
    assert not history.path.exists()


def test_later_columns_are_empty_in_earlier_rows(tmp_path):
    history = History(tmp_path / "history.csv")
    history.append({"epoch": 1})
    history.append({"epoch": 2, "loss": 0.5})
    assert history.path.read_text() == "epoch,loss\n1,\n2,0.5\n"


def test_columns_of_scores_come_as_people_look_for_them():
    scores = {"never_predicted": 3, "macro_f1": 0.5, "recall": math.nan, "f1": 0.25, "loss": 2.0}
    columns = score_columns(["macro_f1", "f1", "recall", "loss", "prior_f1"], scores)
    assert list(columns.items()) == [("val_loss", 2.0), ("val_f1", 0.25), ("val_macro_f1", 0.5)]
