"""How long a training takes on these devices, measured on a few steps before it begins (``--dry-run``)."""

import time
from collections.abc import Callable

import keras
import numpy as np

from Utils.recipe import finetuning
from Utils.training.experiment import Experiment

STEPS = 3  # that are timed, after one that compiles
ENOUGH = 20.0  # seconds after which no further step is timed


def seconds_of(function: Callable[[], object]) -> float:
    """Return the seconds that a call takes: the median of some, the first left out unless it takes long."""
    taken: list[float] = []
    for _ in range(STEPS + 1):
        begin = time.perf_counter()
        function()
        taken.append(time.perf_counter() - begin)
        if sum(taken) > ENOUGH:
            break
    return float(np.median(taken[1:] or taken))


def estimate(experiment: Experiment) -> dict[str, float]:
    """Return seconds: ``finetune``, all steps and validations, and ``probe``, the features of all views.

    Steps are run, so the model's weights change. For an experiment that is a probe there is only ``probe``.
    """
    recipe, facts, model = experiment.recipe, experiment.facts, experiment.model
    batches = iter(experiment.batches(0))
    images = next(batches)[0]
    # With augmentation on the device, images come with what was drawn for them.
    pictures = images[0] if isinstance(images, (list, tuple)) else images
    pictures = np.asarray(keras.ops.convert_to_numpy(pictures))
    forward = seconds_of(lambda: model.predict_on_batch(pictures)) / len(pictures)
    held = experiment.dataset.num_records("validation") if experiment.validation else 0
    seconds = {"probe": forward * ((1 + recipe.flip) * facts["records"] + held)}
    if recipe.probe:
        return seconds
    step = seconds_of(lambda: experiment.trained_model.train_on_batch(*next(batches)))
    return {
        "finetune": recipe.epochs * (facts["steps_per_epoch"] * step + held * forward),
        **seconds,
    }


def lines(experiment: Experiment) -> dict[str, str]:
    """Return the lines of a dry run: the time, and which road is advised; none without initial weights."""
    if experiment.source is None:
        return {}
    seconds = estimate(experiment)
    texts = {name: readable(value) for name, value in seconds.items()}
    if experiment.recipe.probe:
        return {"time": f"about {texts['probe']} for the features here, then seconds for the classifier"}
    new_tags = len(experiment.groups.get("new", ()))
    return {
        "time": f"about {texts['finetune']} here, {texts['probe']} with --probe (measured on a few steps)",
        "advice": finetuning.advise(seconds["finetune"], seconds["probe"], new_tags),
    }


def readable(seconds: float) -> str:
    """Return "40 s", "12 min" or "3.5 h"."""
    for unit, size, limit in (("s", 1, 90), ("min", 60, 90), ("h", 3600, np.inf)):
        if seconds < limit * size:
            return (
                f"{seconds / size:.1f} {unit}" if unit == "h" else f"{max(1, round(seconds / size))} {unit}"
            )
    raise ValueError(seconds)
