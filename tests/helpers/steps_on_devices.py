"""Run by test_replicas.py in a process of its own: one step of every family on 1 and on 2 CPU devices.

Prints one JSON object: ``{"replicas": 2, "steps": {model: [difference, change]}, "scores": [...], ...}``.
"""

import dataclasses
import json

import keras
import numpy as np

import Models
from helpers.optimized import build
from Utils.training import (
    batch_norm_statistics,
    checkpoints,
    devices,
    losses,
    validation_metrics,
    weight_sharding,
)  # fmt: skip

SIZE, LABELS, BATCH = 32, 5, 8
AUGMENTS = {"activation": "relu"}  # marks the model that augments
ONE = devices.Devices("", "CPU", 1, keras.backend.backend() == "jax")


def models():
    """The first tiny model of every family, one more norm, and one that augments, with partners anywhere."""
    for family in Models.available():
        yield f"{family}/{next(name for name in Models.variants(family) if name.endswith('test'))}", {}
    yield "ConvNext/test", {"norm": "batchnorm"}
    yield "ConvNext/test", AUGMENTS


def two_devices():
    """Return what devices.find makes of two logical CPUs."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        two = [tf.config.LogicalDeviceConfiguration()] * 2
        tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], two)
    return devices.find()


def compiled_model(name, options, on, policy="float32", ema=0.9):
    """Return the compiled model, all rates 0, and all its gates open."""
    keras.backend.clear_session()
    if keras.backend.backend() == "jax":  # a cleared session has no distribution
        names = keras.distribution.list_devices()[: on.replicas]
        keras.distribution.set_distribution(weight_sharding.distribution(names, on.sharding))
    keras.utils.set_random_seed(3)
    keras.config.set_dtype_policy(policy)
    fields = {field.name for field in dataclasses.fields(Models.spec(name))}
    rates = {rate: 0.0 for rate in ("stochastic_depth", "dropout") if rate in fields}
    with on.scope():
        model = Models.build(
            name, image_size=SIZE, num_labels=LABELS, classifier_activation=None, **rates, **options
        )
        model = Models.with_augmentation(model) if options is AUGMENTS else model
        optimizer = build("sgd", 0.05, agc=0.05, ema=ema, no_clip=Models.family(name).NO_CLIP)
        # One step: to trace it takes longer than to run it. One model is traced all the same.
        eager = keras.backend.backend() == "tensorflow" and not name.startswith("ResNet")
        compiles = {"jit_compile": on.jit_compile, "run_eagerly": eager}
        model.compile(optimizer, losses.SummedBCE(), **compiles)
        model.optimizer.build(model.trainable_variables)
    random = np.random.default_rng(0)
    for variable in model.trainable_variables:
        variable.assign(variable + 0.05 * random.standard_normal(variable.shape).astype("float32"))
    return model


def batch(count):
    """Images that differ in brightness and contrast, so that statistics of half a batch are wrong."""
    random = np.random.default_rng(1)
    images = random.uniform(0, 255, (count, SIZE, SIZE, 3)) * np.linspace(0.1, 1, count)[:, None, None, None]
    return images.astype("float32"), (random.random((count, LABELS)) < 0.4).astype("float32")


def draws(count):
    """What a host tells the device: half mirrored, all turned and mixed with another of the whole batch."""
    random, rows = np.random.default_rng(2), np.arange(count)
    turned = [rows % 2, random.uniform(-45, 45, count), random.random(count), (rows + count // 2 + 1) % count]
    return np.stack(turned, axis=1).astype("float32")


def stepped(name, options, on):
    """Return the state before and after one step."""
    model = compiled_model(name, options, on)
    before = checkpoints.capture(model)
    images, labels = batch(BATCH)
    inputs = [images.astype("uint8"), draws(BATCH)] if options is AUGMENTS else images
    model.fit(inputs, labels, batch_size=BATCH, shuffle=False, verbose=0)
    if keras.backend.backend() == "jax":
        assert len(model.trainable_variables[0].value.sharding.device_set) == on.replicas
    return before, checkpoints.capture(model)


def difference(one_device, two_devices):
    """Return the largest difference between 1 and 2 devices and the largest change of the step itself."""
    (before, one), (start, two) = one_device, two_devices
    weights = [name for name in one if name.startswith("model/") and "seed" not in name]
    assert all(np.array_equal(before[name], start[name]) for name in weights)
    state = [name for name in one if "seed" not in name]
    return largest(one, two, state), largest(one, before, weights)


def largest(ours, theirs, names):
    """Return the largest difference between the arrays of two states."""
    return max(float(np.abs(ours[name] - theirs[name]).max()) for name in names)


def scores(on):
    """Return the scores of 13 images in padded batches of 8, read back from a model on ``on``."""
    import tensorflow as tf

    model = compiled_model("ConvNext/test", {}, on)
    images, labels = batch(13)
    rows = [np.concatenate([array, np.zeros_like(array)])[:16] for array in (images, labels)]
    weights = (np.arange(16) < 13).astype("float32")
    data = tf.data.Dataset.from_tensor_slices((*rows, weights)).batch(BATCH)
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    with on.scope():
        evaluate = validation_metrics.Evaluator(model, data.with_options(options), LABELS)
    logits = model.predict(images, batch_size=13, verbose=0) if on is ONE else None
    return evaluate(), None if logits is None else float(np.mean(model.loss.call(labels, logits)))


def statistics(on):
    """Return batch norm's statistics, measured anew, of the deepest layer of a network."""
    import tensorflow as tf

    model = compiled_model("ResNet/test", {}, on)
    data = tf.data.Dataset.from_tensor_slices(batch(2 * BATCH)).batch(BATCH)
    with on.scope():
        measured = batch_norm_statistics.measured_statistics(model, model, lambda step: data, 2)
    with measured(0):
        layer = batch_norm_statistics.batch_norms(model)[-1]
        return [np.array(keras.ops.convert_to_numpy(v)) for v in (layer.moving_mean, layer.moving_variance)]


def overflow(on):
    """Say what a step in float16 does whose gradient overflows on the second device alone."""
    # Without averages: at its end fit() puts them in the place of the weights.
    model = compiled_model("NFNet/test", {}, on, "mixed_float16", ema=0.0)
    before = checkpoints.capture(model)
    images, labels = batch(BATCH)
    weights = np.where(np.arange(BATCH) < BATCH // 2, 1.0, 1e30).astype("float32")
    model.fit(images, labels, sample_weight=weights, batch_size=BATCH, shuffle=False, verbose=0)
    after = checkpoints.capture(model)
    trained = [f"model/{variable.path}" for variable in model.trainable_variables]
    scale = "optimizer/loss_scale_optimizer/dynamic_scale"
    return {
        "finite": all(bool(np.isfinite(after[name]).all()) for name in trained),
        "unchanged": all(np.array_equal(before[name], after[name]) for name in trained),
        "scale": float(after[scale] / before[scale]),
    }


def main():
    """Compare, on the backend that the environment names."""
    on = two_devices()

    def compared(name, options):
        return difference(*(stepped(name, options, which) for which in (ONE, on)))

    steps = {f"{name} {options or ''}".strip(): compared(name, options) for name, options in models()}
    results = {"replicas": on.replicas, "steps": steps}
    results["scores"] = [scores(which) for which in (ONE, on)]
    pairs = zip(*(statistics(which) for which in (ONE, on)), strict=True)
    results["statistics"] = [float(np.abs(one / two - 1).max()) for one, two in pairs]
    if keras.backend.backend() == "tensorflow":
        results["overflow"] = overflow(on)
    print(json.dumps(results))


if __name__ == "__main__":
    main()
