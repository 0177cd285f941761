"""What a run is told when it learns badly, and that a good one is told nothing."""

import pytest

from Utils.training import diagnosis

ROW = {"epoch": 3, "val_f1": 0.35, "val_prior_f1": 0.33, "val_loss": 60.0, "val_prior_loss": 66.0,
       "loss": 65.0, "val_never_predicted": 0.0, "val_saturated": 0.0, "learning_rate": 3e-3}  # fmt: skip


def test_an_f1_near_that_of_frequencies_is_a_warning_with_a_next_step():
    text = diagnosis.advice([ROW], 12)
    assert text.startswith("warning: val_f1 0.3500 is near the 0.3300")
    assert "--learning-rate 0.009" in text
    assert "batch.png" in text
    earlier = {"learning_rate": 6e-3}  # of a schedule that falls
    assert "--learning-rate 0.018" in diagnosis.advice([earlier, ROW], 12)


def test_a_loss_that_was_high_before_the_first_step_does_not_ask_for_shorter_steps():
    row = {**ROW, "val_loss": 70.0}
    assert "--learning-rate 0.003" in diagnosis.advice([row], 12, peak_rate=9e-3)
    assert "--learning-rate 0.027" in diagnosis.advice([row], 12, peak_rate=9e-3, first_loss=70.0)
    assert "--learning-rate 0.003" in diagnosis.advice([row], 12, peak_rate=9e-3, first_loss=69.0)


@pytest.mark.parametrize(
    ("worse", "reason"),
    [
        ({"val_loss": 70.0}, "Its loss is no better either"),
        ({"val_saturated": 0.2, "loss": 30.0}, "20% of its outputs are saturated"),
    ],
)
def test_a_loss_above_that_of_frequencies_needs_shorter_steps(worse, reason):
    text = diagnosis.advice([{**ROW, **worse}], 12)
    assert f"{reason}, so its steps are too long: try --learning-rate 0.001" in text


def test_pictures_that_are_learned_by_heart_do_not_ask_for_shorter_steps():
    """As measured with random labels: 5.97 in training, 7.97 in validation, 6.81 by frequencies."""
    text = diagnosis.advice([{**ROW, "loss": 5.97, "val_loss": 7.97, "val_prior_loss": 6.81}], 12)
    assert "learns the training pictures by heart" in text
    assert "--learning-rate" not in text


def test_it_is_said_at_a_quarter_and_at_the_end():
    told = [epoch for epoch in range(1, 13) if diagnosis.advice([{**ROW, "epoch": epoch}], 12)]
    assert told == [3, 12]
    assert diagnosis.advice([{**ROW, "epoch": 1}], 1)


def test_a_run_that_learns_or_is_not_scored_is_told_nothing():
    assert diagnosis.advice([{**ROW, "val_f1": 0.5}], 12) is None
    assert diagnosis.advice([{"epoch": 12, "val_f1": 0.1, "learning_rate": 1e-3}], 12) is None
    assert diagnosis.advice([{"epoch": 12, "learning_rate": 1e-3}], 12) is None


def test_what_is_unusual_in_an_epoch():
    assert diagnosis.describe(ROW) == []
    assert diagnosis.describe({}) == []
    row = {**ROW, "val_never_predicted": 31.0, "val_saturated": 0.042}
    assert diagnosis.describe(row) == ["31 tags never predicted", "4% of outputs saturated"]
