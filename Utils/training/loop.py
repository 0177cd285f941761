"""Runs the steps of a run from wherever it stands: epochs, validation, checkpoints, stopping, continuing.

The state after every step is a function of the recipe and the data alone, so a run that was killed and
continued ends with the same bits as one that was not.
"""

import contextlib
import dataclasses
import math
import signal
import sys
import time
from collections.abc import Callable

import keras
import numpy as np
from keras import ops

from Utils.command.cli import UserError, WorkError
from Utils.recipe import durations
from Utils.recipe.recipe import Recipe
from Utils.training import checkpoints, schedules, validation_metrics
from Utils.training.devices import Devices
from Utils.training.freezing import Phases
from Utils.training.run_folder import say, show, written

LINE_EVERY = 30.0  # seconds between lines within an epoch where there is no terminal
LOOK_EVERY = 5.0  # seconds between looks at the loss: on an accelerator each look waits for the device


class Stopped(Exception):  # noqa: N818  nothing went wrong
    """Training was asked to stop by a signal; its state is saved."""

    def __init__(self, number, step):
        super().__init__(f"stopped by {signal.Signals(number).name} after step {step}")
        self.signal = number


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a training run needs besides the model and the folder.

    ``schedule(step)`` is the learning rate, ``phases`` compile the model, ``batches(step)`` is the endless
    training data from that step on, ``evaluate(callbacks)`` the scores of the validation split (None: there
    is none), ``export(path)`` writes the model for use, ``log(row)`` tells a tracker. ``devices`` run it.
    """

    recipe: Recipe
    facts: dict  # steps_per_epoch, batch_size (global)
    schedule: Callable
    phases: Phases
    batches: Callable
    evaluate: Callable | None
    export: Callable
    log: Callable
    devices: Devices

    epochs = property(lambda self: self.recipe.epochs, doc="Epochs in all.")
    steps_per_epoch = property(lambda self: self.facts["steps_per_epoch"], doc="Steps of an epoch.")
    batch_size = property(lambda self: self.facts["batch_size"], doc="Images of a step, on all devices.")


def fit(model, run, plan):
    """Train the compiled model until the plan's last epoch, beginning where the run folder stands.

    Raises Stopped after SIGTERM or SIGINT, with the state saved, and WorkError where the loss is no number.
    """
    watch = Watch(run, plan)
    watch.set_model(model)
    with watch.signals():
        step = watch.catch_up()
        if step >= plan.epochs * plan.steps_per_epoch:
            say(f"all {plan.epochs} epochs are done; a higher --epochs goes on from here")
        while step < plan.epochs * plan.steps_per_epoch:
            watch.turn(step)
            epoch, done = divmod(step, plan.steps_per_epoch)
            # the rest of a cut epoch has a fit of its own
            last = epoch + 1 if done else plan.phases.last_epoch(epoch, plan.epochs)
            model.fit(
                plan.batches(step),
                initial_epoch=epoch,
                epochs=last,
                steps_per_epoch=plan.steps_per_epoch - done,
                callbacks=[watch],  # Keras' own bar would wait for the device at every step
                shuffle=False,  # the stream is shuffled already
                verbose=0,
            )
            step = last * plan.steps_per_epoch
            plan.devices.meet(f"step {step}")  # the first host has written it
            watch.pending = _state_after(step, run.checkpoints)


def _state_after(step, folder):
    """Return ``(step, arrays)`` of the checkpoint that was written a moment ago."""
    found, arrays = checkpoints.load(folder)
    if found != step:
        raise WorkError(
            f"the checkpoint of step {step} is damaged; the same command goes on from the one before"
        )
    return found, arrays


@contextlib.contextmanager
def averaged(model):
    """Put the averages of the weights, where the optimizer keeps some, into the model for a while."""
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)  # of a loss-scaling one
    averages = optimizer.averages()
    if averages is None:
        yield
        return
    weights = model.trainable_variables
    own = [np.array(ops.convert_to_numpy(weight)) for weight in weights]
    try:
        for weight, average in zip(weights, averages, strict=True):
            weight.assign(average)
        yield
    finally:
        for weight, value in zip(weights, own, strict=True):
            weight.assign(value)


class Watch(keras.callbacks.Callback):
    """Between the steps of ``fit``: restore, save, stop, look at the loss; after an epoch: validate and tell.

    It acts when a batch begins, that is after the step before: callbacks that want the end of a batch make
    Keras wait for the device at every step.
    """

    def __init__(self, run, plan):
        super().__init__()
        self.run, self.plan = run, plan
        self.pending = None  # (step, arrays) to write into the model when fit begins
        self.asked = None  # the number of the signal that asked to stop
        self.step = self.begin = self.saved = 0
        every = durations.parse(plan.recipe.checkpoint_every, time=True)
        self.every_seconds = every.amount if every.unit == "s" else math.inf
        self.every_steps = math.inf
        if every.unit != "s":
            self.every_steps = max(1, every.steps(plan.steps_per_epoch, plan.batch_size))
        self.seconds = 0.0

    # Stopping and continuing

    @contextlib.contextmanager
    def signals(self):
        """Within, SIGTERM and the first Ctrl-C ask to stop after the step that runs.

        Of several hosts all have to stop after the same step: see ``Devices.stops``.
        """
        if self.plan.devices.host[1] > 1:
            yield
            return
        before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

        def ask(number, frame):
            self.asked = number
            say(f"{signal.Signals(number).name}: stopping after this step")
            signal.signal(signal.SIGINT, before[signal.SIGINT])  # a second Ctrl-C ends at once

        try:
            for number in before:
                signal.signal(number, ask)
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def catch_up(self):
        """Take the newest whole checkpoint up; return the step it stands at, 0 for a new run."""
        step, arrays = checkpoints.load(self.run.checkpoints)
        self.plan.phases.enter(max(step - 1, 0))  # the state is of the phase that ended with it
        full = step // self.plan.steps_per_epoch
        self.run.history.keep(full)
        if arrays is None:
            return 0
        self.pending, self.step, self.begin, self.saved = (step, arrays), step, step, step
        if step == 0:
            return 0
        say(f"continues after step {step}, epoch {full} of {self.plan.epochs}")
        missing_row = step % self.plan.steps_per_epoch == 0 and len(self.run.history.rows) < full
        if missing_row or (full >= self.plan.epochs and not self.run.last.exists()):
            checkpoints.restore(self.model, arrays)  # the epoch's steps are done, its validation is not
            loss = float(self.model.get_metrics_result()["loss"])
            self.run.history.keep(full - 1)
            self.clock = time.monotonic()
            self._finish(full - 1, loss)
        return step

    def turn(self, step):
        """Where a new phase begins, let the model go over to it with the state it has."""
        if self.plan.phases.turns(step):
            if self.pending is not None:
                checkpoints.restore(self.model, self.pending[1])
                self.pending = None
            self.plan.phases.enter(step)

    def _save(self, loss):
        arrays = checkpoints.capture(self.model)
        if not math.isfinite(loss) or not checkpoints.is_finite(arrays):
            raise self._diverged(loss)
        if self.plan.devices.first:
            checkpoints.save(self.run.checkpoints, self.step, arrays, self.plan.recipe.keep_checkpoints)
        self.saved, self.saved_at = self.step, time.monotonic()

    def _diverged(self, loss):
        good = checkpoints.newest(self.run.checkpoints)
        where = f"the last good state is {good}" if good else "there was no good state to keep yet"
        return WorkError(
            f"diverged at step {self.step}: the loss is {loss:g}, or a weight is not finite; {where}. "
            "A lower --learning-rate, a longer --warmup or --agc 0.01 may help, in another --run-dir"
        )

    # Within an epoch

    def on_epoch_begin(self, epoch, logs=None):
        """Write a pending state into the model, after Keras has reset the metrics."""
        self.begin = epoch * self.plan.steps_per_epoch
        if self.pending is not None:
            step, arrays = self.pending
            self.begin, self.pending = step, None
            checkpoints.restore(self.model, arrays, metrics=step % self.plan.steps_per_epoch > 0)
        self.step = self.begin
        self.clock = self.said_at = self.looked_at = time.monotonic()
        self.saved_at = getattr(self, "saved_at", self.clock)

    def on_train_batch_begin(self, batch, logs=None):
        """Look after the step before, at the boundaries of ``steps_per_execution``."""
        self.step = self.begin + batch
        if self.plan.devices.stops(self.step):
            self.asked = signal.SIGTERM
        if batch == 0:
            return
        now = time.monotonic()
        due = self.step - self.saved >= self.every_steps or now - self.saved_at >= self.every_seconds
        if due or self.asked or now - self.looked_at >= LOOK_EVERY:
            self._look(due)
        if self.asked:
            raise Stopped(self.asked, self.step)

    def _look(self, due):
        checkpoints.synchronize(self.model)
        loss = float(self.model.get_metrics_result()["loss"])
        if not math.isfinite(loss):
            raise self._diverged(loss)
        if due or self.asked:
            self._save(loss)
        self.looked_at = now = time.monotonic()
        if sys.stderr.isatty() or now - self.said_at >= LINE_EVERY:
            self.said_at = now
            show(self._step_line(loss))

    # After an epoch

    def on_epoch_end(self, epoch, logs=None):
        """Save the state, then validate: whatever happens from here on, no step is lost."""
        self.step = (epoch + 1) * self.plan.steps_per_epoch
        self.seconds = time.monotonic() - self.clock
        self._save(logs["loss"])
        self._stop_if_asked()
        self._finish(epoch, logs["loss"])

    def _stop_if_asked(self):
        if self.asked:
            raise Stopped(self.asked, self.step)

    def _finish(self, epoch, loss):
        """Validate, keep the models, then write the row: a row promises that all before it is done."""
        row = self._row(epoch, loss)
        last = epoch + 1 == self.plan.epochs
        with averaged(self.model):
            if self.plan.evaluate is not None:
                scores = self.plan.evaluate([_BetweenBatches(self._stop_if_asked)])
                row.update({f"val_{name}": scores[name] for name in sorted(scores, key=_place)})
            if self.plan.devices.first:
                self._export(row, last)
        rate = (self.step - self.begin) * self.plan.batch_size / max(self.seconds, 1e-9)
        row.update(images_per_second=round(rate, 2), seconds=round(time.monotonic() - self.clock, 2))
        self.run.history.append(row)
        self.plan.log(row)
        say(self._line(row))

    def _export(self, row, last):
        only = last and self.plan.evaluate is None
        if written(row.get("val_f1", -math.inf)) > self.run.history.best("val_f1") or only:
            self.plan.export(self.run.best)
        if last:
            self.plan.export(self.run.last)

    def _row(self, epoch, loss):
        step = (epoch + 1) * self.plan.steps_per_epoch
        rate = float(self.plan.schedule(step - 1))
        images = step * self.plan.batch_size
        return {"epoch": epoch + 1, "step": step, "images": images, "learning_rate": rate, "loss": loss}

    # What a person reads

    def _line(self, row):
        shown = [f"epoch {row['epoch']}/{self.plan.epochs}", f"loss {row['loss']:.4g}"]
        shown += [f"{name} {row[name]:.4f}" for name in ("val_loss", "val_f1", "val_macro_f1") if name in row]
        left = row["seconds"] * (self.plan.epochs - row["epoch"])
        shown += self._rates(row["learning_rate"], row["images_per_second"], left)
        return "  ".join([*shown, f"{row['seconds']:.1f} s"])

    def _step_line(self, loss):
        epoch, done = divmod(self.step, self.plan.steps_per_epoch)
        shown = [f"epoch {epoch + 1}/{self.plan.epochs}  step {done}/{self.plan.steps_per_epoch}"]
        shown += [f"loss {loss:.4g}"]
        before = self.run.history.rows[-1:]
        shown += [f"val_f1 {row['val_f1']:.4f} last" for row in before if "val_f1" in row]
        per_second = (self.step - self.begin) / max(time.monotonic() - self.clock, 1e-9)
        left = (self.plan.epochs * self.plan.steps_per_epoch - self.step) / max(per_second, 1e-9)
        rate = float(self.plan.schedule(self.step - 1))
        return "  ".join([*shown, *self._rates(rate, per_second * self.plan.batch_size, left)])

    @staticmethod
    def _rates(rate, images_per_second, left):
        return f"lr {rate:.3g}", f"{images_per_second:.0f} images/s", f"{_clock(left)} left"


class _BetweenBatches(keras.callbacks.Callback):
    """Calls a function between the batches of a validation; its Watch belongs to another model."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def on_test_batch_begin(self, batch, logs=None):
        """Call it."""
        self.function()


def evaluator(model, data, num_labels, trained=None):
    """Return ``evaluate(callbacks) -> {score: number}`` over ``data``, whose batches carry sample weights.

    A model of its own, sharing the layers of ``model``, so that training does not pay for the scores; its
    loss and compilation are those of ``trained``, the model that is trained where it is another.
    """
    trained = trained or model
    twin = keras.Model(model.inputs, model.outputs, name="evaluator")
    scores = [validation_metrics.MeanLoss(trained.loss), validation_metrics.EqualPR(num_labels)]
    twin.compile(loss=trained.loss, weighted_metrics=scores, jit_compile=trained.jit_compile)

    def evaluate(callbacks=()):
        return twin.evaluate(data, verbose=0, callbacks=list(callbacks), return_dict=True)

    return evaluate


def opening(devices, facts, evaluate):
    """Return the line that a run begins with."""
    text = f"{devices}; global batch {facts['batch_size']}, {facts['steps_per_epoch']} steps an epoch"
    if facts["records"] < facts["batch_size"]:
        text += f"; the {facts['records']} training images do not fill a batch, which repeats some"
    return (
        text if evaluate else f"{text}; no validation split, so no scores: best.keras will be the last state"
    )


def scores_text(when, scores):
    """Return the line that tells the scores of a validation pass."""
    shown = [f"{name} {scores[key]:.4f}" for name, key in (("val_loss", "loss"), ("val_f1", "f1"))]
    return f"{when}: {'  '.join(shown)}"


def schedule(recipe, steps_per_epoch, batch_size):
    """Return the learning rate of the recipe as a function of the step; ``batch_size`` is the global one."""
    warmup = durations.parse(recipe.warmup).steps(steps_per_epoch, batch_size)
    if warmup >= recipe.epochs * steps_per_epoch:
        raise UserError(
            f"--warmup must end before the training does; got {recipe.warmup} ({warmup} steps) and --epochs "
            f"{recipe.epochs} ({recipe.epochs * steps_per_epoch} steps)"
        )
    options = {"warmup_start": recipe.warmup_start}
    if recipe.schedule == "cosine":
        options["floor"] = recipe.floor
    return schedules.build(
        recipe.schedule,
        recipe.peak_learning_rate(batch_size * recipe.gradient_accumulation),
        warmup_steps=warmup,
        total_steps=recipe.epochs * steps_per_epoch,
        **options,
    )


def _place(name):
    """Order the scores of a row: the ones a person looks for come first."""
    first = ("loss", "f1", "threshold", "precision", "recall")
    return (first.index(name) if name in first else len(first), name)


def _clock(seconds):
    hours, rest = divmod(int(seconds), 3600)
    return f"{hours}h{rest // 60:02d}m" if hours else f"{rest // 60}m{rest % 60:02d}s"
