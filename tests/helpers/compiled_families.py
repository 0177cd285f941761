"""Run by test_compiled_families.py: one step of a tiny model of every family, compiled for a TPU.

Prints one JSON object a line, ``{"model", "weights", "memory_bytes", ...}``, what `compiled_step` says and
what else the programs tell. ``compiled_families.py TOPOLOGY``; the environment is that of
``backend.COMPILE_ONLY``.
"""

import dataclasses
import json
import math
import re
import sys
import types

import Models  # first: it starts Keras without what Keras never uses

# isort: split
import keras

from Utils.files import user_cache
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
    keras.config.set_dtype_policy("mixed_bfloat16")
    depths = getattr(Models.spec(name), "depths", None)
    options = {"depths": (1,) * len(depths)} if depths else {}  # a block of each kind is enough
    with compiled_step.weights_without_memory():
        model = Models.build(name, image_size=SIZE, num_labels=LABELS, classifier_activation=None, **options)
        model.compile(optimizers.build(OptimizerOptions(optimizer="sgd"), 1e-3), losses.SummedBCE())
        model.optimizer.build(model.trainable_variables)
    batch = spec((None, SIZE, SIZE, 3), "uint8"), spec((None, LABELS), "float32")
    return types.SimpleNamespace(
        trained_model=model,
        devices=types.SimpleNamespace(sharding=None),
        facts={"batch_size": batch_size},
        batches=lambda step: types.SimpleNamespace(element_spec=batch),
    )


def stored_squares(program, tokens):
    """The float32 arrays (images, heads, N, N) that a program keeps in memory: those outside of fusions."""
    found, is_fused = set(), False
    for line in program.splitlines():
        if line and not line.startswith((" ", "}")):  # a computation begins
            is_fused = "fused_computation" in line.split("(")[0]
        elif not is_fused and (match := re.search(rf"= f32\[(\d+,\d+),{tokens},{tokens}\]", line)):
            found.add(match[0].removeprefix("= "))
    return found


def main(name):
    """Compile the steps one after another."""
    target = topology.find(name)
    for model in models():
        devices.of_topology(target)  # clears what the model before has left
        subject = experiment(model, BATCH * target.devices)
        traced = compiled_step.trace(subject, target, BATCH * target.devices)
        file = f"test-{compiled_step.digest(traced.lower(), target, 'low')}"
        facts = user_cache.read(file)
        if facts is None:  # compiling takes seconds each time
            facts = facts_of(subject.trained_model, *compiled_step.compiled(traced, target, "low"))
            user_cache.write(file, facts)
        print(json.dumps({"model": model} | facts), flush=True)


def facts_of(model, step, program):
    """What the compiler says of a model's step, and what else the program tells."""
    attended = {layer.attended_tokens for layer in model.layers if hasattr(layer, "attended_tokens")}
    return dataclasses.asdict(step) | {
        "weights": sum(math.prod(weight.shape) for weight in model.trainable_variables),
        "attended": sorted(attended),
        "squares": sorted(set().union(*(stored_squares(program, tokens) for tokens in attended))),
    }


if __name__ == "__main__":
    main(sys.argv[1])
