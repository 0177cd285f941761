"""Charts of a run's history: what is in the file, also of short, old and unscored runs."""

import pytest

from Utils.command.cli import UserError
from Utils.report import run_history

HEAD = "epoch,loss,val_loss,val_f1,val_macro_f1,seconds,val_prior_loss,val_prior_f1"


def write(folder, *lines):
    (folder / "history.csv").write_text("\n".join(lines) + "\n")
    return folder


def test_losses_and_scores_have_a_chart_each(tmp_path):
    run = write(tmp_path, HEAD, "1,60,62,0.4,0.2,9,66,0.33", "2,50,55,0.5,0.3,9,66,0.33")
    rows = run_history.read(run)
    assert rows[1] == {"epoch": 2, "loss": 50, "val_loss": 55, "val_f1": 0.5, "val_macro_f1": 0.3,
                       "seconds": 9, "val_prior_loss": 66, "val_prior_f1": 0.33}  # fmt: skip
    (loss, losses, _), (f1, scores, note) = run_history.charts(rows)
    assert (loss, f1) == ("Loss", "F1")
    assert (
        losses.count('class="line"') == scores.count('class="line"') == 2 * 3
    )  # in the chart, in the legend
    assert losses.count("frequencies only") == scores.count("frequencies only") == 1
    assert "0.5000" in note


def test_a_run_without_validation_has_its_loss_only(tmp_path):
    run = write(tmp_path, "epoch,loss,seconds", "1,60,9", "2,50,9")
    assert [title for title, _, _ in run_history.charts(run_history.read(run))] == ["Loss"]


def test_one_epoch_is_dots_and_gaps_are_passed_over(tmp_path):
    run = write(tmp_path, HEAD, "1,60,62,0.4,0.2,9,,")
    (_, losses, _), _ = run_history.charts(run_history.read(run))
    assert losses.count("<circle") >= 2
    assert "frequencies only" not in losses


def test_a_folder_without_history_is_an_error(tmp_path):
    with pytest.raises(UserError, match=r"history\.csv"):
        run_history.read(tmp_path)
