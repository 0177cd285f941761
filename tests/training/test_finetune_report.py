"""Utils/training/finetune_report.py: the table of the best epoch, warnings, the next command."""

import types

import numpy as np
import pandas as pd
import pytest

from Utils.training import finetune_report

BY = ("val_balanced_f1", False)
COUNTS = {"kept": 120, "new": 20}


def row(epoch, kept, new, never=0):
    return {
        "epoch": epoch, "val_balanced_f1": (kept + new) / 2, "val_kept_f1": kept, "val_new_f1": new,
        "val_new_macro_f1": new / 2, "val_new_never_predicted": never,
    }  # fmt: skip


def test_the_best_epoch_is_told_with_what_was_before():
    rows = [row(1, 0.8, 0.3), row(2, 0.79, 0.7, 1), row(3, 0.78, 0.7)]
    text = "\n".join(finetune_report.lines(rows, {"kept_f1": 0.81}, COUNTS, BY, 69))
    assert "epoch 2 of 3. On the 69 pictures of the validation split" in text
    assert "120 kept tags: micro F1 0.8100 before, 0.7900 now" in text
    assert "20 new tags: micro F1 0.7000, macro F1 0.3500, 1 that the split has never predicted" in text
    assert "warning" not in text


def test_tags_that_stay_at_their_prior_and_lost_ones_are_warned_of():
    text = "\n".join(finetune_report.lines([row(1, 0.7, 0.1, 14)], {"kept_f1": 0.8}, COUNTS, BY, 69))
    assert "most new tags, 14 of 20, are still at their prior" in text
    assert "kept tags have lost 0.100" in text


def test_without_a_new_tag_the_kept_ones_are_scored():
    by = ("val_f1", False)
    text = finetune_report.lines([{"epoch": 1, "val_f1": 0.5}], {"f1": 0.4}, {"kept": 7}, by, 20)[-1]
    assert text.endswith("7 kept tags: micro F1 0.4000 before, 0.5000 now; no tag is new")


def test_without_scores_there_is_no_table():
    assert finetune_report.lines([{"epoch": 1}], {}, COUNTS, BY, 20) == []
    assert "no validation split" in finetune_report.lines([{"epoch": 1}], {}, COUNTS, BY, 0)[0]


@pytest.fixture
def experiment():
    """Four tags: one is kept; of the new ones two are frequent, and none of these is in the validation."""
    tags = pd.DataFrame({"tag_id": range(4), "name": ["sky", "cat", "dog", "owl"]})
    groups = {"kept": np.array([0]), "new": np.array([1, 2, 3]), "frequent_new": np.array([1, 2])}
    return types.SimpleNamespace(
        dataset=types.SimpleNamespace(tags=tags), pictures=np.array([90, 50, 31, 4]), groups=groups
    )


def tag_counts(group):
    kept = {"threshold": [0.5], "positives": [9.0], "predicted": [9.0], "correct": [6.0]}
    new = {"threshold": [0.3] * 3, "positives": [0, 5.0, 1], "predicted": [1, 4, 0.2], "correct": [0, 3, 0.0]}
    return pd.DataFrame(kept if group == "kept" else new)


def test_every_tag_has_a_row_and_silent_ones_are_named(experiment, tmp_path):
    finetune_report.write_tag_scores(tmp_path, experiment, tag_counts)
    table = pd.read_csv(tmp_path / "tag_scores.csv")
    assert table["group"].tolist() == ["kept", "new", "new", "new"]
    assert table["training_pictures"].tolist() == [90, 50, 31, 4]
    assert table["f1"].tolist() == pytest.approx([2 / 3, 0, 2 / 3, 0], abs=1e-4)
    scores = row(1, 0.8, 0.7, 1)
    frequent = {"f1": 0.9, "macro_f1": 0.85, "never_predicted": 0.0}
    scores |= {f"val_frequent_new_{name}": value for name, value in frequent.items()}
    counts = {name: len(columns) for name, columns in experiment.groups.items()}
    text = "\n".join(finetune_report.lines([scores], {}, counts, BY, 9, table))
    assert "2 of them with 30 or more training pictures: micro F1 0.9000, macro F1 0.8500" in text
    assert "never predicted: 1 with their training pictures: owl (4)" in text
    assert "not scored, as no validation picture has them: 1 with their training pictures: cat (50)" in text
    for pictures, words in (([30, 31, 40], "all of them have"), ([4, 29, 9], "none of them has")):
        table.loc[1:, "training_pictures"] = pictures
        text = "\n".join(finetune_report.lines([row(1, 0.8, 0.7)], {}, {"kept": 1, "new": 3}, BY, 9, table))
        assert f"; {words} 30 or more training pictures" in text


def test_rare_tags_are_named(capsys):
    finetune_report.warn_of_rare(["often", "seldom"], [50, 3])
    said = capsys.readouterr().err
    assert "1 of 2 new tags have fewer than 10 training pictures" in said
    assert "seldom (3). Add pictures of them, or leave them out" in said
    finetune_report.warn_of_rare(["often"], [50])
    assert capsys.readouterr().err == ""


def test_tags_of_every_picture_and_new_ones_of_few_are_warned_of(capsys):
    names, is_new = pd.Series(["sky", "cat", "owl"]), np.array([False, True, True])
    finetune_report.warn_of_counts(names, np.array([40, 39, 3]), is_new, 40)
    said = capsys.readouterr().err
    assert "1 of 3 tags are on every training picture" in said and "would: sky" in said
    assert "1 of 2 new tags have fewer than 10 training pictures" in said
    finetune_report.warn_of_counts(names, np.array([3, 39, 39]), is_new, 40)
    assert capsys.readouterr().err == ""


def test_settings_that_differ_are_counted_and_the_way_back_is_named(capsys):
    finetune_report.warn_of_differences("runs/a/best.keras", ["epsilon was 1e-06, is 0.001"])
    said = capsys.readouterr().err
    assert "differs from runs/a/best.keras in 1 settings that have no weights: epsilon was 1e-06" in said
    assert "--model-options gives it those of the file" in said
    finetune_report.warn_of_differences("runs/a/best.keras", [])
    assert capsys.readouterr().err == ""


def test_the_next_command_fits_the_run():
    assert finetune_report.next_command("r", "d", False, True) == (
        "next: python tools/export_model.py r -o r_release"
    )
    after_probe = finetune_report.next_command("r", "d", True, False)
    assert "--layout full" in after_probe
    assert "train.py finetune --dataset d --init-from r --run-dir r_body" in after_probe
