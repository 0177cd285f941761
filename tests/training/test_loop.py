"""The training loop with two dense layers: the order of what it writes, stopping, continuing, diverging."""

import contextlib
import json
import re
import signal
import types

import keras
import numpy as np
import pytest
from helpers.quick import slow_but

from Utils.command.cli import WorkError
from Utils.recipe.recipe import Recipe
from Utils.training import checkpoints, loop, losses, stopping
from Utils.training.devices import Devices
from Utils.training.freezing import Freezing
from Utils.training.history import History

ONE = Devices("1 CPU", "CPU", 1, False)
STEPS = 4  # of an epoch
KEPT = 99  # checkpoints, so that all can be looked at


def batches(start, when_ready=None):
    """Batches that are functions of the step."""
    step = start
    while True:
        if when_ready:
            when_ready(step)
        random = np.random.default_rng(step)
        images = random.normal(size=(2, 3)).astype("float32")
        yield images, images.sum(axis=1, keepdims=True)
        step += 1


class Tracker:
    """Stands for a tracker: notes the rows."""

    def __init__(self, events):
        self.events = events

    def log(self, row):
        self.events.append(f"row {row['epoch']}")


class Session:
    """One process that trains in a folder; ``events`` says what it did in which order."""

    def __init__(
        self, folder, *, scores=(0.5, 0.25, 0.75), rate=0.01, every="10m", epochs=2, frozen=0, loss=None,
        in_a_call=1,
    ):  # fmt: skip
        keras.backend.clear_session()
        keras.utils.set_random_seed(0)
        self.folder, self.events, self.scores = folder, [], scores
        inputs = keras.Input((3,))
        hidden = keras.layers.Dense(2, name="body")(inputs)
        self.model = keras.Model(inputs, keras.layers.Dense(1, name="head")(hidden))
        self.in_a_call = in_a_call
        self.rate, self.loss = rate, losses.build(loss) if loss else "mse"
        self.run = types.SimpleNamespace(
            folder=folder,
            checkpoints=folder / "checkpoints",
            history=History(folder / "history.csv"),
            last=folder / "last",
            best=folder / "best",
        )
        recipe = Recipe(epochs=epochs, checkpoint_every=every, keep_checkpoints=KEPT)
        experiment = types.SimpleNamespace(
            trained_model=self.model,
            recipe=recipe,
            devices=ONE,
            schedule=lambda step: rate,
            batches=batches,
            facts={"steps_per_epoch": STEPS, "batch_size": 2},
        )
        freezing = Freezing(frozen, STEPS, self.compile)
        evaluate = self.evaluate if scores else None
        self.loop = loop.TrainingLoop(
            experiment, self.run, freezing, evaluate, self.export, [Tracker(self.events)]
        )

    def compile(self, frozen, start_step):
        self.model.get_layer("body").trainable = not frozen
        optimizer = momentum_optimizer(self.rate)
        how = {"run_eagerly": True, "steps_per_execution": self.in_a_call}
        self.model.compile(optimizer, self.loss, metrics=getattr(self.loss, "states", None), **how)
        self.model.optimizer.build(self.model.trainable_variables)
        self.events.append(f"compile {'head' if frozen else 'all'}")

    def evaluate(self, callbacks):
        for callback in callbacks:
            callback.on_test_batch_begin(0)
        step = checkpoints.load(self.run.checkpoints)[0]
        self.events.append(f"scores after checkpoint {step}")
        return {"f1": self.scores[step // STEPS - 1], "loss": 1.0}

    def export(self, path):
        path.write_text("model")
        rows = len(History(self.folder / "history.csv").rows)
        self.events.append(f"{path.name} before row {rows + 1}")

    def fit(self):
        self.loop.fit()
        return self

    def state(self):
        return checkpoints.load(self.run.checkpoints)

    def written(self):
        return [entry["step"] for entry in json.loads((self.run.checkpoints / "newest.json").read_text())]


def momentum_optimizer(rate):
    """SGD with momentum that keeps no averages."""
    optimizer = keras.optimizers.SGD(rate, momentum=0.9)
    optimizer.averages = lambda: None
    return optimizer


def assert_same_state(one, other):
    (step, ours), (other_step, theirs) = one.state(), other.state()
    assert step == other_step
    assert set(ours) == set(theirs)
    assert [name for name in ours if ours[name].tobytes() != theirs[name].tobytes()] == []


@pytest.fixture
def whole(tmp_path):
    return Session(tmp_path / "whole", epochs=3).fit()


def test_an_epoch_writes_state_scores_models_and_row_in_this_order(whole):
    assert whole.events == [
        "compile all",
        "scores after checkpoint 4", "best before row 1", "row 1",
        "scores after checkpoint 8", "row 2",
        "scores after checkpoint 12", "best before row 3", "last before row 3", "row 3",
    ]  # fmt: skip
    rows = whole.run.history.rows
    assert [(row["epoch"], row["step"], row["images"]) for row in rows] == [
        (1, 4, 8),
        (2, 8, 16),
        (3, 12, 24),
    ]
    assert list(rows[0])[:6] == ["epoch", "step", "images", "learning_rate", "loss", "val_loss"]


def test_without_scores_the_last_state_is_the_best(tmp_path):
    session = Session(tmp_path, scores=None).fit()
    assert session.events[1:] == ["row 1", "best before row 2", "last before row 2", "row 2"]


@pytest.mark.parametrize("stop_at", slow_but([1, 4, 6], 6))
def test_a_run_that_was_stopped_and_continued_ends_with_the_same_bits(whole, tmp_path, stop_at):
    session = Session(tmp_path / "cut", epochs=3)
    begin = session.loop.on_train_batch_begin

    def signaled(batch, logs=None):
        if session.loop.fit_start + batch == stop_at:
            signal.raise_signal(signal.SIGTERM)
        return begin(batch, logs)

    session.loop.on_train_batch_begin = signaled
    with pytest.raises(stopping.Stopped, match=r"SIGTERM after step \d+") as stopped:
        session.fit()
    assert stopped.value.signal == signal.SIGTERM
    step = session.state()[0]
    assert stop_at <= step <= stop_at + 1, "a signal at the first batch waits for a step"
    continued = Session(tmp_path / "cut", epochs=3).fit()
    assert_same_state(continued, whole)
    names = ("epoch", "loss", "val_f1")
    rows = [[[row[name] for name in names] for row in each.run.history.rows] for each in (continued, whole)]
    np.testing.assert_allclose(*rows, rtol=1e-6)


def test_a_loss_knows_its_epoch_also_after_a_resume(tmp_path):
    def epochs_seen(stop_at):
        session, seen = Session(tmp_path, epochs=3, loss="splc"), []
        begin = session.loop.on_train_batch_begin

        def looking(batch, logs=None):
            if session.loop.fit_start + batch == stop_at:
                signal.raise_signal(signal.SIGTERM)
            begin(batch, logs)
            seen.append((session.loop.step // STEPS, session.loss.epoch))

        session.loop.on_train_batch_begin = looking
        with contextlib.suppress(stopping.Stopped):
            session.fit()
        return seen

    first, rest = epochs_seen(6), epochs_seen(None)
    assert [epoch for _, epoch in first + rest] == [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2]
    assert all(expected == epoch for expected, epoch in first + rest)


def test_the_rest_of_an_epoch_has_its_steps_however_many_are_done_in_a_call(whole, tmp_path):
    """As of a probe that was stopped on a backend with fewer steps in a call."""
    session = Session(tmp_path / "cut", epochs=3)
    begin = session.loop.on_train_batch_begin

    def signaled(batch, logs=None):
        if batch == 3:
            signal.raise_signal(signal.SIGTERM)
        begin(batch, logs)

    session.loop.on_train_batch_begin = signaled
    with pytest.raises(stopping.Stopped):
        session.fit()
    assert session.state()[0] == 3
    assert_same_state(Session(tmp_path / "cut", epochs=3, in_a_call=STEPS).fit(), whole)


def test_signals_have_their_handlers_back(tmp_path):
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    Session(tmp_path, epochs=1).fit()
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_what_follows_a_checkpoint_is_done_again_if_the_row_is_missing(whole, tmp_path):
    """As after a process that was killed in its validation."""
    whole.run.history.truncate(2)
    whole.run.last.unlink()
    again = Session(tmp_path / "whole", epochs=3).fit()
    assert again.events == [
        "compile all", "scores after checkpoint 12", "best before row 3", "last before row 3", "row 3",
    ]  # fmt: skip
    assert [row["epoch"] for row in again.run.history.rows] == [1, 2, 3]


def test_a_damaged_checkpoint_costs_the_steps_since_the_one_before(whole, tmp_path, capsys):
    reference = whole.state()
    newest = checkpoints.newest(whole.run.checkpoints)
    newest.write_bytes(newest.read_bytes()[:-1])
    again = Session(tmp_path / "whole", epochs=3).fit()
    assert "damaged" in capsys.readouterr().err
    assert "scores after checkpoint 12" in again.events
    assert all(np.array_equal(again.state()[1][name], array) for name, array in reference[1].items())


@pytest.mark.reliability(
    "a run folder whose newest.json is lost or damaged", "goes on from the newest checkpoint that is whole"
)
@pytest.mark.parametrize("content", slow_but([None, b"[{", b"\0" * 40], b"[{"))
def test_a_run_without_its_pointer_goes_on_from_the_newest_whole_checkpoint(whole, tmp_path, capsys, content):
    reference, steps = whole.state(), whole.written()
    pointer, newest = whole.run.checkpoints / checkpoints.POINTER, checkpoints.newest(whole.run.checkpoints)
    if content is None:
        pointer.unlink()
    else:
        pointer.write_bytes(content)
    assert Session(tmp_path / "whole", epochs=3).fit().events == ["compile all"]
    newest.write_bytes(newest.read_bytes()[:-1])
    capsys.readouterr()
    again = Session(tmp_path / "whole", epochs=3).fit()
    said = capsys.readouterr().err
    assert re.search(rf"warning: {pointer} is .*; {len(steps) - 1} checkpoints beside it are whole", said)
    assert "trained again: 1 epoch after it" in said
    assert "continues after step 8, epoch 2 of 3" in said
    assert again.written() == steps
    assert all(np.array_equal(again.state()[1][name], array) for name, array in reference[1].items())


def test_a_run_that_lost_all_its_checkpoints_does_not_begin_anew(whole, tmp_path):
    for path in whole.run.checkpoints.iterdir():
        path.unlink()
    with pytest.raises(WorkError, match=r"has done 3 epochs, but .* has no newest\.json and no checkpoint"):
        Session(tmp_path / "whole", epochs=4).fit()
    assert len(History(tmp_path / "whole" / "history.csv").rows) == 3


def test_a_finished_run_has_nothing_to_do_and_more_epochs_go_on(whole, tmp_path, capsys):
    assert Session(tmp_path / "whole", epochs=3).fit().events == ["compile all"]
    assert "3 epochs are done" in capsys.readouterr().err
    more = Session(tmp_path / "whole", epochs=4, scores=(0.5, 0.25, 0.75, 0.8)).fit()
    assert more.events[-1] == "row 4"


@pytest.mark.parametrize(
    ("every", "steps"), [("3 steps", [8, 7, 4, 3]), ("2 images", [8, 7, 6, 5, 4, 3, 2, 1]), ("1h", [8, 4])]
)
def test_checkpoints_within_an_epoch_come_by_steps_images_or_time(tmp_path, every, steps):
    assert Session(tmp_path, every=every).fit().written() == steps


def test_a_loss_that_diverges_is_an_error_and_never_becomes_current(tmp_path):
    session = Session(tmp_path, rate=1e30, every="1 step")
    with pytest.raises(WorkError, match="diverged at step 2.*last good state is .*step-000000001"):
        session.fit()
    assert checkpoints.is_finite(session.state()[1])


def test_the_body_is_frozen_at_first_and_its_weights_go_on(tmp_path):
    session = Session(tmp_path, frozen=1)
    first_weights = session.model.get_layer("body").get_weights()
    session.fit()
    assert session.events[0] == "compile head"
    assert session.events.index("compile all") == session.events.index("row 1") + 1
    with np.load(session.run.checkpoints / "step-000000004.npz") as frozen:
        assert np.array_equal(frozen["model/body/kernel"], first_weights[0])
    assert not np.array_equal(session.state()[1]["model/body/kernel"], first_weights[0])


def test_a_run_that_ended_where_the_body_unfreezes_goes_on_with_the_same_bits(tmp_path):
    """Its last checkpoint is of the optimizer of the head."""
    whole = Session(tmp_path / "whole", frozen=1).fit()
    Session(tmp_path / "parts", frozen=1, epochs=1).fit()
    assert_same_state(Session(tmp_path / "parts", frozen=1).fit(), whole)


def test_training_goes_on_only_from_the_checkpoint_just_written(tmp_path):
    checkpoints.save(tmp_path, 4, {"model/a": np.zeros(1)})
    assert loop._read_state(4, tmp_path).keys() == {"model/a"}
    with pytest.raises(WorkError, match="the checkpoint of step 6 is damaged"):
        loop._read_state(6, tmp_path)
