"""The lines of a run on stderr: what they say, and who says them."""

import pytest

from Utils.training import console

ROW = {
    "epoch": 2, "loss": 0.123456, "val_loss": 0.5, "val_f1": 0.75, "val_recall": 0.7, "learning_rate": 5e-4,
    "images_per_second": 99.6, "seconds": 61.2,
}  # fmt: skip


@pytest.fixture(autouse=True)
def first_host(monkeypatch):
    monkeypatch.setattr(console, "_silent", False)


def test_a_host_that_is_silenced_prints_nothing(capsys):
    console.say("one")
    console.show_status("two")
    console.silence()
    console.say("three")
    console.show_status("four")
    assert capsys.readouterr().err == "one\ntwo\n"


def test_on_a_terminal_a_status_is_replaced(capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    console.show_status("step 1")
    console.show_status("step 2")
    console.say("done")
    clear = "\r\033[K"
    assert capsys.readouterr().err == f"{clear}step 1{clear}step 2{clear}done\n"


def test_the_line_of_an_epoch():
    assert console.epoch_line(ROW, 62) == (
        "epoch 2/62  loss 0.1235  val_loss 0.5000  val_f1 0.7500  lr 0.0005  100 images/s  1h01m left  61.2 s"
    )
    beside = console.epoch_line({**ROW, "val_prior_loss": 0.625, "val_prior_f1": 0.3}, 62)
    assert "val_loss 0.5000 (prior 0.6250)  val_f1 0.7500 (prior 0.3000)  lr" in beside
    unscored = {key: value for key, value in ROW.items() if not key.startswith("val_")}
    assert "val_" not in console.epoch_line(unscored, 62)


def test_the_line_within_an_epoch_has_the_last_score():
    numbers = {"learning_rate": 1e-3, "images_per_second": 50.0, "seconds_left": 125}
    assert console.step_line("epoch 3/9  step 5/10", 0.5, ROW, **numbers) == (
        "epoch 3/9  step 5/10  loss 0.5  val_f1 0.7500 last  lr 0.001  50 images/s  2m05s left"
    )
    assert "val_f1" not in console.step_line("epoch 1/9  step 5/10", 0.5, None, **numbers)


def test_the_opening_line_names_what_is_unusual():
    facts = {"devices": "1 CPU", "batch_size": 8, "steps_per_epoch": 4, "records": 32}
    assert console.opening_line(facts, has_validation=True) == "1 CPU; global batch 8, 4 steps an epoch"
    unusual = console.opening_line({**facts, "records": 7}, has_validation=False)
    assert "the 7 training images do not fill a batch" in unusual
    assert "no validation split" in unusual
    assert console.opening_line({**facts, "repeats": "3 of 4"}, True).endswith("4 steps an epoch; 3 of 4")


def test_the_line_of_scores():
    scores = {"loss": 1.5, "f1": 0.25, "threshold": 0.4}
    assert console.scores_line("before", scores) == "before: val_loss 1.5000  val_f1 0.2500"
