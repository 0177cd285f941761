"""Probing: the classifier alone is trained, on features that the body has computed once for every picture."""

import contextlib
import dataclasses
import functools
import hashlib
import json
import math
import pathlib
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from Utils.command.cli import UserError
from Utils.files import atomic, damage
from Utils.training.experiment import Experiment

FEATURES = "features"  # folder of the cache, in a run folder
BEST_HEAD = "best_head.npz"  # in a run folder: more epochs may follow
MOST_STEPS = 100  # in one call


def require_possible(experiment: Experiment, run_dir: atomic.AnyPath) -> None:
    """Raise UserError where a probe cannot be run: without weights, on several hosts, in a remote folder."""
    if experiment.source is None:
        raise UserError("--probe trains the classifier of a trained model: name one with --init-from")
    if experiment.devices.host[1] > 1:
        raise UserError("--probe runs on one host; its classifier is trained in seconds there")
    if run_dir and atomic.is_remote(atomic.to_path(run_dir)):
        raise UserError(f"--probe keeps features in its run folder, so that must be here; got {run_dir}")


def steps_per_execution(experiment: Experiment) -> int:
    """Return how many steps are done in one call: of a probe many, as a step takes less time than a call.

    The result is the same to the bit. Where the recipe says a number, or on another backend than TensorFlow
    or several devices, it is the recipe's.
    """
    given, steps = experiment.recipe.steps_per_execution, experiment.facts["steps_per_epoch"]
    is_alone = keras.backend.backend() == "tensorflow" and experiment.devices.replicas == 1
    if not experiment.recipe.probe or given > 1 or not is_alone:
        return given
    return max(number for number in range(1, MOST_STEPS + 1) if steps % number == 0)


@contextlib.contextmanager
def calls_that_divide(model: Any, steps: int) -> Iterator[None]:
    """Let ``fit`` do no more than so many steps: Keras ends with a whole call, however many steps that does.

    The rest of an epoch is no multiple of them where it was stopped on another backend or number of devices,
    with fewer steps a call.
    """
    compiled = model.steps_per_execution
    if steps % compiled == 0:
        yield
        return
    model.steps_per_execution, model.train_function = math.gcd(compiled, steps), None
    try:
        yield
    finally:
        model.steps_per_execution, model.train_function = compiled, None


def made_by(body: keras.Model, experiment: Experiment) -> dict[str, Any]:
    """Return what the features of an experiment depend on, as a JSON value."""
    weights = hashlib.sha256()
    for weight in body.weights:
        weights.update(np.ascontiguousarray(keras.ops.convert_to_numpy(weight)).tobytes())
    records = json.dumps(experiment.dataset.manifest.get("records"), sort_keys=True, default=str)
    return {
        "weights": weights.hexdigest(),
        "features": body.output_shape[-1],
        "records": hashlib.sha256(records.encode()).hexdigest(),
        "counts": experiment.facts["records"],
        "tags": experiment.dataset.tags["tag_id"].tolist(),
        "contents": experiment.facts["contents"],
        "image_size": experiment.recipe.image_size,
        "fold": experiment.recipe.fold,
        "dtype_policy": experiment.recipe.dtype_policy,
    }


def record_counts(experiment: Experiment) -> dict[str, int]:
    """Return how many records of each split have features: those of training that the recipe keeps."""
    counts = {"train": experiment.facts["records"]}
    if experiment.validation is not None:
        counts["validation"] = experiment.dataset.num_records("validation")
    return counts


def on_features(experiment: Experiment, cache: Any, counts: dict[str, int]) -> Experiment:
    """Return the experiment with batches of features from a filled cache; ``counts`` are records by split."""
    facts, recipe = experiment.facts, experiment.recipe
    options = counts["train"], facts["batch_size"], facts["steps_per_epoch"], recipe.seed
    validation, repeats = None, experiment.records.repeats if experiment.records else None
    if experiment.validation is not None:
        validation = functools.partial(cache.validation_batches, counts["validation"], facts["batch_size"])
    return dataclasses.replace(
        experiment,
        batches=lambda step, when_ready=None: cache.training_batches(*options, step, repeats),
        validation=validation,
    )


@dataclasses.dataclass
class BestHead:
    """The classifier of the best epoch so far, on disk: to save the whole model each time is slow.

    Args:
        folder: of the run.
        head: the model that is trained, features to logits.
    """

    folder: pathlib.Path
    head: keras.Model

    @property
    def path(self) -> pathlib.Path:
        """The file."""
        return self.folder / BEST_HEAD

    def keep(self) -> None:
        """Keep the weights that the head has now."""
        with atomic.replacing(self.path) as beside:
            np.savez(beside, *self.head.get_weights())

    def put_back(self) -> bool:
        """Give the head the weights that were kept; return whether there are any.

        Raises UserError where the file is damaged.
        """
        if not self.path.is_file():
            return False
        fault = "is no classifier that a probe has kept; another --run-dir begins anew"
        with damage.named(self.path, fault), self.path.open("rb") as file, np.load(file) as stored:
            self.head.set_weights([stored[name] for name in stored.files])
        return True
