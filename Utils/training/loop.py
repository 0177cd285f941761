"""The training loop: Keras' ``fit``, with validation, checkpoints, stopping and continuing around it.

The state after step n is a function of the recipe, the data and n alone: batches, augmentation, masks and the
learning rate are all computed from the seed and the step, and everything else that a step reads is in the
checkpoint. So a run that was killed and continued ends with the same bits as one that was not, and to
continue means no more than to restore a state and to ask the data for the batches from its step on.
"""

import contextlib
import math
import signal
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import keras

from Utils.command.cli import WorkError
from Utils.command.text import counted
from Utils.recipe import durations, initial_weights
from Utils.training import (
    checkpoint_savers,
    checkpoints,
    console,
    diagnosis,
    history,
    probing,
    stopping,
    weight_sharding,
)
from Utils.training.experiment import Experiment
from Utils.training.freezing import Freezing
from Utils.training.goodput import Goodput
from Utils.training.per_variable_optimizer import averaged_weights
from Utils.training.profiling import Profile
from Utils.training.run_folder import Run
from Utils.training.trackers import Tracker

LINE_EVERY = 30.0  # seconds between lines within an epoch where stderr is no terminal
CHECK_EVERY = 5.0  # seconds between checks of the loss: each one makes an accelerator wait for the host


class TrainingLoop(keras.callbacks.Callback):
    """Runs ``fit`` from where the run folder stands, and acts as its callback between the steps.

    It looks after a step when the next one begins, because a callback with ``on_train_batch_end`` makes
    Keras wait for the device at every step, to hand over the logs.

    Args:
        experiment: what is trained; its model is compiled.
        run: the run folder.
        freezing: compiles the model for the coming steps, the body frozen or not.
        evaluate: ``evaluate(callbacks)`` gives the scores of the validation split; None without one.
        export: ``export(path)`` writes the model for use.
        measured: ``measured(step)`` is a context in which the model is evaluated and exported.
        trackers: what gets the row of every epoch, beside ``history.csv``.
    """

    def __init__(
        self,
        experiment: Experiment,
        run: Run,
        freezing: Freezing,
        evaluate: Callable[..., dict[str, float]] | None,
        export: Callable[[Any], None],
        trackers: Sequence[Tracker] = (),
        measured: Callable[[int], contextlib.AbstractContextManager[None]] = contextlib.nullcontext,
    ) -> None:
        super().__init__()
        self.set_model(experiment.trained_model)
        self.trained_model, self.recipe = experiment.trained_model, experiment.recipe
        self.devices, self.schedule, self.batches = (
            experiment.devices,
            experiment.schedule,
            experiment.batches,
        )
        self.goodput = Goodput(self.devices.batches_ahead)
        self.profile = Profile(run.folder, self.recipe.profile, self._wait_for_device)
        self.run, self.freezing, self.evaluate = run, freezing, evaluate
        self.export, self.trackers, self.measured = export, trackers, measured
        self.epochs = self.recipe.epochs
        # The column of the history that decides which model is the best, and whether its lowest value does.
        self.selected_by = history.selected_by(self.recipe.best_by)
        self.steps_per_epoch: int = experiment.facts["steps_per_epoch"]
        self.batch_size: int = experiment.facts["batch_size"]
        self.total_steps = self.epochs * self.steps_per_epoch
        self.checkpoint_seconds, self.checkpoint_steps = self._checkpoint_intervals()
        self.saver = checkpoint_savers.build(run.checkpoints, self.recipe.keep_checkpoints, self.devices)

        self.pending_state: checkpoints.State | None = None  # to write into the model when fit begins
        self.stop_signal: int | None = None  # the signal that asked to stop
        self.step = 0  # steps that are done
        self.fit_start = 0  # the step at which the present call of fit began
        self.saved_step = 0
        self.saved_at = time.monotonic()
        self.fit_started_at = self.checked_at = self.reported_at = 0.0
        self.fit_seconds = 0.0  # what the steps of the last call of fit took, without validation

    def _checkpoint_intervals(self) -> tuple[float, float]:
        """Return (seconds, steps) between checkpoints within an epoch; one of them is infinite."""
        interval = durations.parse(self.recipe.checkpoint_every, time=True)
        if interval.unit == "s":
            return interval.amount, math.inf
        return math.inf, max(1, interval.steps(self.steps_per_epoch, self.batch_size))

    def fit(self) -> None:
        """Train until the recipe's last epoch.

        Raises `stopping.Stopped` after SIGTERM or SIGINT, with the state saved; WorkError if the loss
        diverges.
        """
        with contextlib.ExitStack() as stack:
            stack.callback(self.saver.wait)  # however training ends, a save that has begun is finished
            stack.enter_context(self._signals_as_requests())
            begin = step = self._resume()
            if step >= self.total_steps:
                done = counted(self.epochs, "epoch is", "epochs are")
                console.say(f"{done} done; a higher --epochs continues from here")
            elif self._ended_early():
                console.say("training has ended early before; --early-stopping 0 continues from here")
            try:
                while step < self.total_steps and not self._ended_early():
                    step = self._fit_from(step)
            finally:
                self.profile.close(begin, max(begin, self.step))

    def _fit_from(self, step: int) -> int:
        """Train the rest of an interrupted epoch, or all epochs that are compiled alike; return the step."""
        if self.freezing.unfreezes_at(step):
            # Restored before compiling: the checkpoint's optimizer is still the one of the frozen part.
            if self.pending_state is not None:
                checkpoints.restore(self.trained_model, self.pending_state)
                self.pending_state = None
            self.freezing.compile_for(step)
        epoch, steps_done = divmod(step, self.steps_per_epoch)
        # Keras takes one length for all epochs of a call, so the rest of an interrupted epoch gets its own.
        last_epoch = epoch + 1 if steps_done else self.freezing.part_end(epoch, self.epochs)
        steps = self.steps_per_epoch - steps_done
        with probing.calls_that_divide(self.trained_model, steps):
            self.trained_model.fit(
                self.batches(step, self.goodput.batch_is_ready),
                initial_epoch=epoch,
                epochs=last_epoch,
                steps_per_epoch=steps,
                callbacks=[self],  # Keras' own progress bar would wait for the device at every step
                shuffle=False,  # the input pipeline shuffles
                verbose=0,  # pyright: ignore[reportArgumentType]  Keras' annotation knows "auto" only
            )
        self.saver.wait()
        step = self.step  # after early stopping, less than all of that
        self.devices.barrier(f"step {step}")  # other hosts read the checkpoint that the first one has written
        # With `ema`, fit() ends by overwriting the weights with their averages. Training must go on from the
        # weights themselves, so the next call reads them back from the checkpoint.
        self.pending_state = _read_state(step, self.run.checkpoints)
        return step

    # Stopping and continuing

    def _signals_as_requests(self) -> contextlib.AbstractContextManager[None]:
        """Let signals ask to stop after the present step: ``on_train_batch_begin`` saves and stops.

        Of several hosts all have to stop after the same step, or the others would wait for gradients forever:
        there JAX catches SIGTERM, and lets the hosts agree on a step (`Devices.should_stop`).
        """
        if self.devices.host[1] > 1:
            return contextlib.nullcontext()
        return stopping.signals_as_requests(self._request_stop)

    def _request_stop(self, number: int) -> None:
        self.stop_signal = number

    def _resume(self) -> int:
        """Read the newest valid checkpoint; return the step it was written after, 0 for a new run."""
        step, arrays = checkpoints.load(self.run.checkpoints)
        if arrays is None and self.run.history.rows:  # an epoch's row comes after its checkpoint
            raise WorkError(
                f"{self.run.folder} has done {len(self.run.history.rows)} epochs, but {self.run.checkpoints} "
                f"has no {checkpoints.POINTER} and no checkpoint that is whole: restore them, or give "
                "another --run-dir"
            )
        # The optimizer in the checkpoint is that of the last step done, not of the next one.
        self.freezing.compile_for(max(step - 1, 0))
        epochs_done = step // self.steps_per_epoch
        # Where the newest checkpoint is damaged an older one counts, and rows after it are trained again.
        if len(self.run.history.rows) > epochs_done:
            console.say(
                f"trained again: {counted(len(self.run.history.rows) - epochs_done, 'epoch')} after it"
            )
        self.run.history.truncate(epochs_done)
        if arrays is None:
            return 0
        self.pending_state = arrays
        self.step = self.fit_start = self.saved_step = step
        if step == 0:  # --init-from saves its weights as the state before the first step
            return 0
        console.say(f"continues after step {step}, epoch {epochs_done} of {self.epochs}")
        # An epoch writes its checkpoint, validates, exports, then writes its row. Without the row (or the
        # last model) it was killed in between: what follows the checkpoint is done again.
        row_missing = step % self.steps_per_epoch == 0 and len(self.run.history.rows) < epochs_done
        if row_missing or (epochs_done >= self.epochs and not self.run.last.exists()):
            checkpoints.restore(self.trained_model, arrays)
            loss = self._running_loss()
            self.run.history.truncate(epochs_done - 1)
            self.fit_started_at = time.monotonic()
            self.goodput.begin()
            self._finish_epoch(epochs_done - 1, loss)
        return step

    def _save(self, loss: float) -> None:
        with self.goodput.measured("saving"):
            self._write_checkpoint(loss)

    def _write_checkpoint(self, loss: float) -> None:
        # The loss was finite before this step's update; the weights after it may not be.
        if not math.isfinite(loss) or not self.saver.save(self.trained_model, self.step):
            raise self._diverged(loss)
        self.saved_step, self.saved_at = self.step, time.monotonic()

    def _diverged(self, loss: float) -> WorkError:
        self.saver.wait()
        newest = checkpoints.newest(self.run.checkpoints)
        rest = f"the last good state is {newest}" if newest else "there was no good state to keep yet"
        return WorkError(
            f"diverged at step {self.step}: the loss is {loss:g}, or a weight is not finite; {rest}. "
            "A lower --learning-rate, a longer --warmup or --agc 0.01 may help, in another --run-dir"
        )

    def _stop_if_requested(self) -> None:
        if self.stop_signal:
            raise stopping.Stopped(self.stop_signal, self.step)

    # Within an epoch

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Write the pending state into the model: not before ``fit``, which resets the metrics first."""
        self.fit_start = epoch * self.steps_per_epoch
        if self.pending_state is not None:
            # At the start of an epoch the running metrics stay reset; within one they are restored as well.
            self.fit_start = self.step
            checkpoints.restore(
                self.trained_model, self.pending_state, metrics=self.step % self.steps_per_epoch > 0
            )
            self.pending_state = None
        if hasattr(self.trained_model.loss, "epoch"):  # SPLC and others change their rule with the epochs
            self.trained_model.loss.epoch = epoch
        self.step = self.fit_start
        self.goodput.begin()
        self.fit_started_at = self.reported_at = self.checked_at = time.monotonic()

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Look after the previous step, before the device gets the next: check the loss, save, stop."""
        self.step = self.fit_start + batch  # batch counts by steps_per_execution
        self.goodput.step_begins(self.step)
        self.profile.step_begins(self.step)
        if self.devices.should_stop(self.step):
            self.stop_signal = signal.SIGTERM
        if batch == 0:  # no step to look after; a request to stop waits for the next one
            return
        now = time.monotonic()
        is_due = (
            self.step - self.saved_step >= self.checkpoint_steps
            or now - self.saved_at >= self.checkpoint_seconds
        )
        if is_due or self.stop_signal or now - self.checked_at >= CHECK_EVERY:
            self._check(is_due)
        self._stop_if_requested()

    def _check(self, is_due: bool) -> None:
        # One reading of the loss, which waits for the device, serves the check, the checkpoint and the line.
        checkpoints.synchronize(self.trained_model)
        loss = self._running_loss()
        if not math.isfinite(loss):
            raise self._diverged(loss)
        if is_due or self.stop_signal:
            self._save(loss)
        self.checked_at = now = time.monotonic()
        if sys.stderr.isatty() or now - self.reported_at >= LINE_EVERY:
            self.reported_at = now
            console.show_status(self._step_line(loss))

    def _wait_for_device(self) -> None:
        if self.step > self.fit_start:
            checkpoints.synchronize(self.trained_model)
            self._running_loss()

    def _running_loss(self) -> float:
        """Return the mean loss of the epoch's steps so far; other metrics may not be built yet."""
        return float(next(each for each in self.trained_model.metrics if each.name == "loss").result())

    def _step_line(self, loss: float) -> str:
        epoch, steps_done = divmod(self.step, self.steps_per_epoch)
        seconds = max(time.monotonic() - self.fit_started_at, 1e-9)
        steps_per_second = (self.step - self.fit_start) / seconds
        rows = self.run.history.rows
        return console.step_line(
            f"epoch {epoch + 1}/{self.epochs}  step {steps_done}/{self.steps_per_epoch}",
            loss,
            rows[-1] if rows else None,
            learning_rate=float(self.schedule(self.step - 1)),  # the rate of the last step done
            images_per_second=steps_per_second * self.batch_size,
            seconds_left=(self.total_steps - self.step) / max(steps_per_second, 1e-9),
        )

    # After an epoch

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Save the state, then validate: whatever happens from here on, no step is lost."""
        loss = float((logs or {})["loss"])
        self.step = (epoch + 1) * self.steps_per_epoch
        self.profile.end(self.step)
        self.goodput.steps_end()
        self.fit_seconds = time.monotonic() - self.fit_started_at
        self._save(loss)
        # A validation may outlast the grace period of a preempted machine; `_resume` makes up for it.
        self._stop_if_requested()
        self._finish_epoch(epoch, loss)

    def _finish_epoch(self, epoch: int, loss: float) -> None:
        """Validate, export the models, then write the row: a row says that all before it is done."""
        row = self._row(epoch, loss)
        scores: dict[str, float] = {}
        with averaged_weights(self.trained_model), self.measured(row["step"]):
            if self.evaluate is not None:
                # All hosts take part, each with its own images; the metrics sum over all of them.
                with self.goodput.measured("validation"):
                    scores = self.evaluate([_BetweenBatches(self._stop_if_requested)])
                row.update(history.score_columns(set(scores) - set(diagnosis.SCORES), scores))
            is_last = epoch + 1 == self.epochs or self._ended_early(row)
            with weight_sharding.on_every_host(self.trained_model.variables), self.goodput.measured("saving"):
                if self.devices.is_first_host:
                    self._export(row, is_last)
        with self.goodput.measured("saving"):
            self.saver.wait()
        # After an interruption only the steps of this process count, or the speed would be too high.
        images = (self.step - self.fit_start) * self.batch_size
        seconds = time.monotonic() - self.fit_started_at
        row.update(self.goodput.shares(self.fit_seconds, seconds))
        row["images_per_second"] = round(images / max(self.fit_seconds, 1e-9), 2)
        row["seconds"] = round(seconds, 2)
        row.update(history.score_columns(diagnosis.SCORES, scores))
        self.run.history.append(row)
        for tracker in self.trackers:
            tracker.log(row)
        console.say(console.epoch_line(row, self.epochs))
        first_loss = initial_weights.scores_before(self.run.folder).get("loss")
        advice = diagnosis.advice(self.run.history.rows, self.epochs, self.recipe.learning_rate, first_loss)
        if advice:
            console.say(advice)
        if self._ended_early() and epoch + 1 < self.epochs:
            waited = counted(self.recipe.early_stopping, "epoch")
            console.say(f"no better {self.recipe.best_by} in {waited}: training ends early")
            self.trained_model.stop_training = True

    def _ended_early(self, *rows: dict[str, Any]) -> bool:
        """Whether the score, with that of ``rows`` to come, got no better for as long as the recipe waits."""
        return self.run.history.has_ended_early(self.recipe.best_by, self.recipe.early_stopping, rows)

    def _row(self, epoch: int, loss: float) -> dict[str, Any]:
        step = (epoch + 1) * self.steps_per_epoch
        return {
            "epoch": epoch + 1,
            "step": step,
            "images": step * self.batch_size,
            "learning_rate": float(self.schedule(step - 1)),
            "loss": loss,
        }

    def _export(self, row: dict[str, Any], is_last: bool) -> None:
        unscored = is_last and self.evaluate is None  # without scores the last state is the best there is
        column, lowest = self.selected_by
        if unscored or self.run.history.is_best(column, row.get(column, math.nan), lowest):
            self.export(self.run.best)
        if is_last:
            self.export(self.run.last)


class _BetweenBatches(keras.callbacks.Callback):
    """Calls a function between the batches of a validation: the training loop is ``fit``'s callback only."""

    def __init__(self, function: Callable[[], None]) -> None:
        super().__init__()
        self.function = function

    def on_test_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Call it."""
        self.function()


def _read_state(step: int, folder: Any) -> checkpoints.State:
    """Return the state that was saved after ``step`` steps a moment ago."""
    found_step, arrays = checkpoints.load(folder)
    # An older state would not do: the next batches that the pipeline gives are those after ``step``.
    if found_step != step or arrays is None:
        raise WorkError(
            f"the checkpoint of step {step} is damaged; the same command continues from the one before"
        )
    return arrays
