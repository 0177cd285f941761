"""Utils/training/finetune_report.py: the table of the best epoch, warnings, the next command."""

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
    text = "\n".join(finetune_report.lines(rows, {"kept_f1": 0.81}, COUNTS, BY))
    assert "epoch 2 of 3" in text
    assert "120 kept tags: micro F1 0.8100 before, 0.7900 now" in text
    assert "20 new tags: micro F1 0.7000, macro F1 0.3500; 1 that the split has are never predicted" in text
    assert "warning" not in text


def test_tags_that_stay_at_their_prior_and_lost_ones_are_warned_of():
    text = "\n".join(finetune_report.lines([row(1, 0.7, 0.1, 14)], {"kept_f1": 0.8}, COUNTS, BY))
    assert "most new tags are still at their prior" in text
    assert "kept tags have lost 0.100" in text


def test_without_new_tags_or_scores_there_is_no_table():
    assert finetune_report.lines([{"epoch": 1, "val_f1": 0.5}], {}, {}, ("val_f1", False)) == []
    assert finetune_report.lines([{"epoch": 1}], {}, COUNTS, BY) == []


def test_rare_tags_are_named(capsys):
    finetune_report.warn_of_rare(["often", "seldom"], [50, 3])
    assert "1 of 2 new tags have fewer than 10 training pictures" in capsys.readouterr().err
    finetune_report.warn_of_rare(["often"], [50])
    assert capsys.readouterr().err == ""


def test_the_next_command_fits_the_run():
    assert finetune_report.next_command("r", "d", False, True) == (
        "next: python tools/export_model.py r -o r_release"
    )
    after_probe = finetune_report.next_command("r", "d", True, False)
    assert "--layout full" in after_probe
    assert "train.py finetune --dataset d --init-from r --run-dir r_body" in after_probe
