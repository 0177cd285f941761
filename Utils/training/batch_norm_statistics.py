"""Batch norm's statistics, measured anew for the weights that are evaluated and saved.

Moving averages follow the weights of the last hundred steps (momentum 0.99) and still contain the 0 and 1
that they began with; after a short run, or for averaged weights (``--ema``), the model that is evaluated has
other activations than they say. So the mean and variance of every map are measured over some training batches
(arXiv:2105.07576, section 3: "precise" batch norm): means of the batches' first and second moments, each
batch normalized by its own statistics as in training, but without dropout and stochastic depth.

Training itself never reads the moving averages: they are put back afterwards, so that a run that is continued
ends with the same bits. The batches are a function of the step.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np

from Utils.training.experiment import Experiment
from Utils.training.weight_sharding import to_host

Measured = Callable[[int], contextlib.AbstractContextManager[None]]  # a context, of the step


def of_experiment(experiment: Experiment) -> Measured:
    """Return `measured_statistics` of an experiment; contexts that do nothing where it asks for none."""
    recipe = experiment.recipe
    if not recipe.batch_norm_images or recipe.probe:
        return contextlib.nullcontext
    num_batches = -(-recipe.batch_norm_images // experiment.facts["batch_size"])
    models = experiment.model, experiment.trained_model
    with experiment.devices.scope():
        return measured_statistics(*models, experiment.batches, num_batches)


def measured_statistics(
    model: keras.Model, trained_model: keras.Model, batches: Callable[[int], Any], num_batches: int
) -> Measured:
    """Return ``measured(step)``, a context in which batch norm has statistics of the weights as they are.

    Args:
        model: what is evaluated and saved; its ``BatchNorm`` layers are measured, unless they are frozen.
        trained_model: what takes the batches: ``model`` itself, or a model around it; it is compiled.
        batches: ``batches(step)`` is the endless training data from a step on, of the global batch.
        num_batches: how many of them are measured, at least 1.
    """
    measuring_model = keras.Model(trained_model.inputs, trained_model.outputs, name="batch_norm_statistics")
    compiled: Any = {"jit_compile": trained_model.jit_compile, "loss": trained_model.loss}
    measuring_model.compile(**compiled)

    @contextlib.contextmanager
    def measured(step: int) -> Iterator[None]:
        layers = batch_norms(model)
        before = [(to_host(layer.moving_mean), to_host(layer.moving_variance)) for layer in layers]
        try:
            if layers:
                _measure(layers, measuring_model, batches(step), num_batches)
            yield
        finally:
            for layer, (mean, variance) in zip(layers, before, strict=True):
                layer.moving_mean.assign(mean)
                layer.moving_variance.assign(variance)

    return measured


def set_momentum(model: keras.Model, momentum: float) -> None:
    """Set the momentum of the moving averages of a model's batch norm: their share that a step keeps."""
    for layer in model.layers:
        if hasattr(layer, "measuring"):
            layer.momentum = momentum


def batch_norms(model: keras.Model) -> list[Any]:
    """Return the layers of a model whose statistics training updates: those that are not frozen."""
    return [layer for layer in model.layers if hasattr(layer, "measuring") and layer.trainable]


def _measure(layers: list[Any], measuring_model: keras.Model, data: Any, num_batches: int) -> None:
    """Give layers the mean and variance of their inputs over the first batches of ``data``."""
    for layer in layers:
        layer.moving_mean.assign(np.zeros(layer.moving_mean.shape))
        layer.moving_variance.assign(np.zeros(layer.moving_variance.shape))
        layer.measuring = True
    silent: Any = 0
    try:
        measuring_model.evaluate(data, steps=num_batches, verbose=silent)
    finally:
        for layer in layers:
            layer.measuring = False
    for layer in layers:  # they hold sums of first and second moments
        mean, square = (to_host(v) / num_batches for v in (layer.moving_mean, layer.moving_variance))
        layer.moving_mean.assign(mean)
        layer.moving_variance.assign(np.maximum(square - np.square(mean), 0.0))
