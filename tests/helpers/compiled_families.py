"""Run by test_compiled_families.py: one step of a tiny model of every family, compiled for a TPU.

Prints one JSON object a line, ``{"model", "weights", "memory_bytes", ...}``, what `compiled_step` says and
what else the programs tell. ``compiled_families.py TOPOLOGY``; the environment is that of
``backend.COMPILE_ONLY``.
"""

import dataclasses
import json
import re
import sys
import types

import keras

import Models
from Utils.recipe.options import OptimizerOptions
from Utils.training import compiled_step, devices, losses, optimizers, topology

SIZE, LABELS, BATCH = 32, 37, 8  # the batch on each device


def models():
    """The first tiny model of every family."""
    for family in Models.available():
        yield f"{family}/{next(name for name in Models.variants(family) if name.endswith('test'))}"


def spec(shape, dtype):
    """What an element of a dataset says of its shape, without tensorflow."""
    return types.SimpleNamespace(shape=shape, dtype=types.SimpleNamespace(as_numpy_dtype=dtype))


def experiment(name, batch_size):
    """As much of an experiment as the compiler sees: the compiled model, the shapes of a batch."""
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = Models.build(name, image_size=SIZE, num_labels=LABELS, classifier_activation=None)
    optimizer = optimizers.build(OptimizerOptions(optimizer="adamw"), 1e-3)
    model.compile(optimizer, losses.SummedBCE())
    model.optimizer.build(model.trainable_variables)
    batch = spec((None, SIZE, SIZE, 3), "uint8"), spec((None, LABELS), "float32")
    return types.SimpleNamespace(
        trained_model=model,
        devices=types.SimpleNamespace(sharding=None),
        facts={"batch_size": batch_size},
        batches=lambda step: types.SimpleNamespace(element_spec=batch),
    )


def main(name):
    """Compile the steps one after another."""
    target = topology.find(name)
    for model in models():
        devices.of_topology(target)  # clears what the model before has left
        subject = experiment(model, BATCH * target.devices)
        traced = compiled_step.trace(subject, target, BATCH * target.devices)
        step, program = compiled_step.compiled(traced, target, "low")
        attended = {getattr(layer, "attended_tokens", 0) for layer in subject.trained_model.layers} - {0}
        squares = {
            shape
            for tokens in attended
            for shape in re.findall(rf"f32\[(?:\d+,)*{tokens},{tokens}\]", program)
        }
        weights = subject.trained_model.count_params()
        facts = {"model": model, "weights": weights, "attended": sorted(attended), "squares": sorted(squares)}
        print(json.dumps(facts | dataclasses.asdict(step)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
