"""Learning rates as functions of the step.

A step is one batch given to the optimizer (with gradient accumulation: one micro-batch), counted from 0.
"""

import math
from typing import Any

import keras

from Utils.command.cli import UserError, suggest
from Utils.recipe import durations
from Utils.recipe.options import OptimizerOptions
from Utils.recipe.recipe import Recipe
from Utils.training.tensors import Tensor, ops


class _Warmup(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up to a peak; what share of it follows is a subclass' ``share``.

    With W = warmup_steps: ``peak * (w + (1 - w) s / W)`` for s < W, then ``peak * share(s)``.

    Args:
        peak: the highest learning rate, reached at step ``warmup_steps``.
        warmup_steps: W, steps before the peak.
        total_steps: T, steps of the whole training.
        warmup_start: w, share of the peak at step 0 when there is a warm-up.
    """

    def __init__(self, peak: float, warmup_steps: int, total_steps: int | None, warmup_start: float) -> None:
        super().__init__()
        self.peak = float(peak)
        self.warmup_steps = int(warmup_steps)
        self.total_steps = total_steps
        self.warmup_start = float(warmup_start)

    def share(self, step: Tensor) -> Tensor:
        """Return the share of the peak, 0 to 1, at a float32 step after the warm-up."""
        raise NotImplementedError

    def __call__(self, step: Any) -> Tensor:
        """Return the learning rate of ``step``, a float32 scalar."""
        step = ops.cast(step, "float32")
        rising = self.warmup_start + (1.0 - self.warmup_start) * step / max(self.warmup_steps, 1)
        # `where` and not `if`: the step is a tensor when the training step is traced.
        return self.peak * ops.where(step < self.warmup_steps, rising, self.share(step))

    def get_config(self) -> dict[str, Any]:
        """Return what ``__init__`` takes."""
        names = ("peak", "warmup_steps", "total_steps", "warmup_start")
        return {name: getattr(self, name) for name in names}


@keras.saving.register_keras_serializable("Utils")
class WarmupCosine(_Warmup):
    """Linear warm-up, then a half cosine down to a floor, which is the rate of the last step.

    ``share(s) = f + (1 - f)(1 + cos(pi (s - W) / (T - 1 - W))) / 2``; f after the end.

    The original zoo held the rate constant within an epoch, by the same formula with epochs for steps. With
    one step an epoch this is the original's schedule. With more steps, every epoch of the warm-up starts with
    the original's rate for it, and every later epoch passes through that rate: the first cosine epoch starts
    with it (the peak), the last one ends with it (the floor).

    Args:
        peak, warmup_steps, total_steps, warmup_start: as in `_Warmup`; 0 <= W < T.
        floor: f, share of the peak at the last step.

    Raises:
        UserError: the warm-up does not end before the training does.
    """

    def __init__(
        self,
        peak: float,
        warmup_steps: int,
        total_steps: int,
        warmup_start: float = OptimizerOptions.warmup_start,
        floor: float = OptimizerOptions.floor,
    ) -> None:
        super().__init__(peak, warmup_steps, int(total_steps), warmup_start)
        if not 0 <= warmup_steps < total_steps:
            raise UserError(
                "a warm-up must end before the training does: 0 <= warmup_steps < total_steps; "
                f"got {warmup_steps} of {total_steps}"
            )
        self.last_step = int(total_steps) - 1  # steps count from 0
        self.floor = float(floor)

    def share(self, step: Tensor) -> Tensor:
        """Return the share of the peak at a step after the warm-up."""
        # `max` avoids a division by 0 for a single cosine step.
        done = (step - self.warmup_steps) / max(self.last_step - self.warmup_steps, 1)
        cosine = 0.5 * (1.0 + ops.cos(math.pi * ops.clip(done, 0.0, 1.0)))
        return self.floor + (1.0 - self.floor) * cosine

    def get_config(self) -> dict[str, Any]:
        """Return what ``__init__`` takes."""
        return {**super().get_config(), "floor": self.floor}


@keras.saving.register_keras_serializable("Utils")
class WarmupConstant(_Warmup):
    """Linear warm-up, then always the peak (for schedule-free optimizers and short experiments).

    Args:
        peak, warmup_start: as in `_Warmup`.
        warmup_steps: likewise, >= 0.
        total_steps: not used; an argument so that schedules are interchangeable.

    Raises:
        UserError: ``warmup_steps`` is negative.
    """

    def __init__(
        self,
        peak: float,
        warmup_steps: int = 0,
        total_steps: int | None = None,
        warmup_start: float = OptimizerOptions.warmup_start,
    ) -> None:
        super().__init__(peak, warmup_steps, total_steps, warmup_start)
        if warmup_steps < 0:
            raise UserError(f"warmup_steps must be >= 0; got {warmup_steps}")

    def share(self, step: Tensor) -> Tensor:
        """Return 1."""
        return ops.ones_like(step)


@keras.saving.register_keras_serializable("Utils")
class WarmupStableDecay(_Warmup):
    """Linear warm-up, the peak, and at the end a fall to a floor: WSD (arXiv:2404.06395).

    With D = decay_steps and done = (s - (T - 1 - D)) / D from 0 to 1 over the last D steps:
    ``share(s) = f + (1 - f)(1 - sqrt(done))``, the form that arXiv:2405.18392 found best; f after the end.
    All before the fall is the same for every length of the training: a longer one can begin with the
    checkpoints of a shorter one.

    Args:
        peak, warmup_steps, total_steps, warmup_start: as in `_Warmup`; W >= 0.
        decay_steps: D, steps of the fall.
        floor: f, share of the peak at the last step.

    Raises:
        UserError: the warm-up does not end before the fall begins.
    """

    def __init__(
        self,
        peak: float,
        warmup_steps: int,
        total_steps: int,
        decay_steps: int,
        warmup_start: float = OptimizerOptions.warmup_start,
        floor: float = OptimizerOptions.floor,
    ) -> None:
        super().__init__(peak, warmup_steps, int(total_steps), warmup_start)
        if warmup_steps < 0 or decay_steps < 0 or warmup_steps + decay_steps > total_steps:
            raise UserError(
                "warm-up and decay must fit into the training: warmup_steps + decay_steps <= total_steps; "
                f"got {warmup_steps} + {decay_steps} of {total_steps}"
            )
        self.fall_start = int(total_steps) - 1 - int(decay_steps)
        self.decay_steps = int(decay_steps)
        self.floor = float(floor)

    def share(self, step: Tensor) -> Tensor:
        """Return the share of the peak at a step after the warm-up."""
        done = ops.clip((step - self.fall_start) / max(self.decay_steps, 1), 0.0, 1.0)
        return self.floor + (1.0 - self.floor) * (1.0 - ops.sqrt(done))

    def get_config(self) -> dict[str, Any]:
        """Return what ``__init__`` takes."""
        return {**super().get_config(), "decay_steps": self.decay_steps, "floor": self.floor}


@keras.saving.register_keras_serializable("Utils")
class Shifted(keras.optimizers.schedules.LearningRateSchedule):
    """Another schedule from its step ``start`` on, for an optimizer that begins there and counts from 0.

    Args:
        schedule: a LearningRateSchedule.
        start: the step of ``schedule`` that is step 0 here.
    """

    def __init__(self, schedule: keras.optimizers.schedules.LearningRateSchedule, start: int) -> None:
        super().__init__()
        self.schedule = schedule
        self.start = int(start)

    def __call__(self, step: Any) -> Tensor:
        """Return the learning rate of ``step``, a float32 scalar."""
        return self.schedule(ops.cast(step, "float32") + self.start)

    def get_config(self) -> dict[str, Any]:
        """Return what ``__init__`` takes."""
        return {"schedule": keras.saving.serialize_keras_object(self.schedule), "start": self.start}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Shifted":
        """Return the schedule that ``get_config`` describes."""
        return cls(**{**config, "schedule": keras.saving.deserialize_keras_object(config["schedule"])})


SCHEDULES = {"cosine": WarmupCosine, "wsd": WarmupStableDecay, "constant": WarmupConstant}


def build(
    recipe: Recipe, steps_per_epoch: int, batch_size: int
) -> keras.optimizers.schedules.LearningRateSchedule:
    """Return the recipe's learning rate as a function of the step; ``batch_size`` is the global one.

    Raises:
        UserError: there is no such schedule, or the warm-up does not end before the training does.
    """
    if recipe.schedule not in SCHEDULES:
        raise UserError(
            f"no schedule is called {recipe.schedule!r}{suggest(recipe.schedule, SCHEDULES)}; "
            f"there are {', '.join(SCHEDULES)}"
        )
    warmup_steps = durations.parse(recipe.warmup).steps(steps_per_epoch, batch_size)
    total_steps = recipe.epochs * steps_per_epoch
    if warmup_steps >= total_steps:
        raise UserError(
            f"--warmup must end before the training does; got {recipe.warmup} ({warmup_steps} steps) and "
            f"--epochs {recipe.epochs} ({total_steps} steps). --warmup {recipe.epochs / 10:g} would fit: a "
            "tenth of the training, in epochs"
        )
    # An update sees the images of all accumulated batches.
    peak = recipe.peak_learning_rate(batch_size * recipe.gradient_accumulation)
    options = {} if recipe.schedule == "constant" else {"floor": recipe.floor}
    if recipe.schedule == "wsd":
        options["decay_steps"] = round(recipe.decay_share * total_steps)
    return SCHEDULES[recipe.schedule](
        peak, warmup_steps, total_steps, warmup_start=recipe.warmup_start, **options
    )
