"""What W&B and TensorBoard get, and that their failures end nothing."""

import sys
import types

import pytest

from Utils.command.cli import UserError
from Utils.recipe.recipe import load_recipe
from Utils.training import trackers

ROWS = [{"epoch": n, "step": n * 7, "loss": 5.0 / n, "val_f1": 0.1 * n} for n in (1, 2)]
RECIPE = load_recipe("demo").to_dict()


def logged(tracker):
    for row in ROWS:
        tracker.log(row)
    tracker.close()


def test_tensorboard_reads_what_is_written(tmp_path):
    import tensorflow as tf
    from tensorflow.core.util import event_pb2

    logged(trackers.build("tensorboard", tmp_path, "demo", RECIPE, "p"))
    (path,) = (tmp_path / "tensorboard").iterdir()
    events = [event_pb2.Event.FromString(data.numpy()) for data in tf.data.TFRecordDataset(str(path))]
    assert events[0].file_version == "brain.Event:2"
    scalars = {
        (event.step, value.tag): value.simple_value for event in events[1:] for value in event.summary.value
    }
    expected = {(row["step"], name): pytest.approx(value) for row in ROWS for name, value in row.items()}
    assert scalars == expected


@pytest.mark.draws
def test_curves_are_drawn_now_and_then_and_at_last(tmp_path, monkeypatch, capsys):
    history = types.SimpleNamespace(rows=[{**row, "learning_rate": 0.1} for row in ROWS])
    path, moment = tmp_path / "curves.png", [0.0]
    monkeypatch.setattr(trackers.time, "monotonic", lambda: moment[0])
    curves = trackers.Curves(history, path)
    for moment[0], drawn in ((59.0, False), (61.0, True), (100.0, False)):
        curves.log(ROWS[0])
        assert path.exists() == drawn
        path.unlink(missing_ok=True)
    curves.close()
    assert path.stat().st_size > 5000
    broken = trackers.Curves(history, tmp_path)  # a folder
    broken.close()
    assert "Curves failed, training continues" in capsys.readouterr().err


@pytest.fixture
def wandb(monkeypatch):
    """A stand-in for the package that notes its calls."""
    calls = types.SimpleNamespace(init=None, rows=[], finished=0)

    def init(**options):
        calls.init = options
        log = lambda row, step: calls.rows.append((step, row))  # noqa: E731
        return types.SimpleNamespace(log=log, finish=lambda: setattr(calls, "finished", calls.finished + 1))

    module = types.SimpleNamespace(init=init, Settings=lambda **options: options)
    monkeypatch.setitem(sys.modules, "wandb", module)
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_RUN_ID", "WANDB_SWEEP_ID"):
        monkeypatch.delenv(name, raising=False)
    return calls


def test_wandb_gets_the_recipe_and_the_rows_under_one_id(tmp_path, wandb, monkeypatch, capsys):
    logged(trackers.build("wandb", tmp_path, "demo", RECIPE, "my-project"))
    first = wandb.init
    assert (first["mode"], first["project"], first["config"]) == ("offline", "my-project", RECIPE)
    assert (first["group"], first["resume"]) == ("demo", "allow")
    assert wandb.rows == [(row["step"], row) for row in ROWS]
    assert wandb.finished == 1
    assert "W&B is offline" in capsys.readouterr().err
    monkeypatch.setenv("WANDB_MODE", "online")
    trackers.build("wandb", tmp_path, "demo", RECIPE, "my-project")
    assert wandb.init["id"] == first["id"]
    assert wandb.init["mode"] is None


def test_an_agents_run_has_the_agents_id(tmp_path, wandb, monkeypatch):
    monkeypatch.setenv("WANDB_RUN_ID", "abc123")
    monkeypatch.setenv("WANDB_SWEEP_ID", "xyz")
    trackers.build("wandb", tmp_path, "demo", RECIPE, "p")
    assert (wandb.init["id"], wandb.init["mode"]) == ("abc123", None)


def test_a_failing_tracker_says_so_once_and_ends_nothing(tmp_path, wandb, monkeypatch, capsys):
    tracker = trackers.build("wandb", tmp_path, "demo", RECIPE, "p")
    monkeypatch.setattr(wandb, "rows", None)
    capsys.readouterr()
    logged(tracker)
    shown = capsys.readouterr().err
    assert shown.count("warning: WeightsAndBiases failed, training continues without it") == 1
    (tmp_path / "file").write_text("")
    logged(trackers.build("tensorboard", tmp_path / "file", "demo", RECIPE, "p"))
    assert "TensorBoard failed" in capsys.readouterr().err
    with pytest.raises(UserError, match="did you mean wandb"):
        trackers.build("wandbb", tmp_path, "demo", RECIPE, "p")


def test_the_tracker_none_writes_no_file(tmp_path):
    logged(trackers.build("none", tmp_path, "demo", RECIPE, "p"))
    assert list(tmp_path.iterdir()) == []
