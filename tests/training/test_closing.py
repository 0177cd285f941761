"""The end of a run: its best epoch and the next command."""

import math
import types

import pandas as pd
import pytest

from Utils.training import closing

ROWS = [
    {"epoch": 1, "val_f1": 0.5, "val_loss": 20.0},
    {"epoch": 2, "val_f1": 0.7, "val_macro_f1": 0.6, "val_loss": 18.5},
    {"epoch": 3, "val_f1": math.nan, "val_loss": 18.0},
]


def test_the_best_epoch_is_named_with_its_scores_and_file():
    best, files = closing.lines(ROWS, ("val_f1", False), "runs/a", "runs/a/best.keras")
    scores = "val_f1 0.7000, val_macro_f1 0.6000, val_loss 18.5000"
    assert best == f"best model: epoch 2 of 3, {scores}: runs/a/best.keras"
    assert "runs/a/history.csv" in files
    by_loss = closing.lines(ROWS, ("val_loss", True), "r", "b")[0]
    assert by_loss.startswith("best model: epoch 3 of 3, val_loss 18.0000")


def test_without_a_score_the_last_state_is_named():
    (line,) = closing.lines([{"epoch": 1, "loss": 3.0}], ("val_f1", False), "r", "r/best.keras")
    assert line == "epochs done: 1, without a score: r/best.keras is the last state"


def test_the_next_command_scores_the_run_or_releases_it():
    words = "--dataset d --split validation -o r_predictions"
    assert closing.next_command("r", "d", True, True) == f"next: python tools/predict.py r {words}"
    release = "next: python tools/export_model.py r -o r_release"
    assert closing.next_command("r", "d", False, True) == release


@pytest.mark.parametrize(("validation", "word"), [("rows", "predict.py"), (None, "export_model.py")])
def test_a_run_ends_with_its_best_epoch_and_a_fine_tuned_one_with_its_groups(
    monkeypatch, capsys, validation, word
):
    tags = pd.DataFrame({"tag_id": [1], "name": ["a"], "category": [0], "count": [9]})
    experiment = types.SimpleNamespace(
        source=None, dataset=types.SimpleNamespace(tags=tags, folder="d"), validation=validation
    )
    run = types.SimpleNamespace(history=types.SimpleNamespace(rows=ROWS), folder="r", best="r/best.keras")
    groups = []
    monkeypatch.setattr(closing.finetune_report, "say", lambda *words: groups.append(words))
    closing.say(experiment, run, ("val_f1", False))
    said = capsys.readouterr().err
    assert "best model: epoch 2 of 3" in said and word in said
    assert not groups
    experiment.source = "runs/base"
    closing.say(experiment, run, ("val_f1", False))
    assert groups == [(experiment, run, ("val_f1", False))]
    assert "best model" not in capsys.readouterr().err
