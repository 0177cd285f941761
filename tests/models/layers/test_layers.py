"""The shared layers against their formulas, written again in numpy, and their configurations by discovery."""

import importlib
import inspect
import pathlib
import pkgutil
import subprocess
import sys

import keras
import numpy as np
import pytest

import Models.layers
from Models.layers import (
    attention,
    augmentation,
    convolution,
    normalization,
    normalizer_free,
    randomness,
    residual,
    rotary,
    scaling,
    tokens,
    windows,
)

ROOT = pathlib.Path(__file__).resolve().parents[3]


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype("float32")


def with_weights(layer, shape, seed=0):
    """Build a layer for an input shape and give it random weights."""
    layer.build(shape)
    random = np.random.default_rng(seed)
    for weight in layer.weights:
        weight.assign(random.standard_normal(weight.shape) * 0.5 + 0.2)
    return layer


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


# convolution


@pytest.mark.parametrize("strides", [1, 2])
@pytest.mark.parametrize("groups", [1, 3])
def test_the_forms_of_a_grouped_convolution_agree(strides, groups):
    x, kernel = normal(2, 9, 10, 12), normal(3, 3, 12 // groups, 18, seed=1)
    padding = "valid" if strides > 1 else "same"
    forms = [
        np.array(convolution.grouped_conv2d(x, kernel, groups, strides=strides, padding=padding, split=split))
        for split in (False, True)
    ]
    np.testing.assert_allclose(*forms, atol=1e-4)


@pytest.mark.parametrize(("kernel_size", "strides", "groups"), [(1, 1, 1), (3, 1, 2), (3, 2, 2), (7, 2, 1)])
def test_scaled_convolution(kernel_size, strides, groups):
    layer = convolution.ScaledConv2D(8, kernel_size, strides=strides, groups=groups)
    layer = with_weights(layer, (None, 9, 11, 4))
    x = normal(2, 9, 11, 4, seed=3)
    kernel, bias, gain = map(np.array, (layer.kernel, layer.bias, layer.gain))
    fan_in = kernel_size**2 * 4 // groups
    spread = np.sqrt(np.maximum(kernel.var((0, 1, 2)) * fan_in, 1e-4))
    kernel = (kernel - kernel.mean((0, 1, 2))) / spread * gain
    margin = kernel_size // 2
    padded = np.pad(x, ((0, 0), (margin, margin), (margin, margin), (0, 0)))
    expected = [
        np.array(keras.ops.conv(part, weights, strides=strides, padding="valid"))
        for part, weights in zip(np.split(padded, groups, -1), np.split(kernel, groups, -1), strict=True)
    ]
    got = np.array(layer(x))
    np.testing.assert_allclose(got, np.concatenate(expected, -1) + bias, atol=1e-4)
    assert got.shape == layer.compute_output_shape(x.shape)


def test_a_flat_kernel_stays_finite():
    layer = convolution.ScaledConv2D(2, 3)
    layer.build((None, 4, 4, 3))
    layer.kernel.assign(np.ones(layer.kernel.shape))
    np.testing.assert_array_equal(layer.standardized_kernel(), np.zeros(layer.kernel.shape))


def test_groups_must_divide():
    with pytest.raises(ValueError, match="3 groups must divide 4 and 8 channels"):
        convolution.ScaledConv2D(8, 3, groups=3).build((None, 4, 4, 4))


def test_padding_is_the_same_on_all_sides():
    """At stride 2 the center of the first window is the first pixel, which Keras' "same" would not give."""
    image = keras.Input((8, 8, 1))
    model = keras.Model(image, convolution.conv2d(image, 1, 3, strides=2, name="c"))
    kernel = np.zeros((3, 3, 1, 1))
    kernel[1, 1] = 1
    model.get_layer("c").kernel.assign(kernel)
    x = normal(1, 8, 8, 1)
    np.testing.assert_array_equal(model(x), x[:, ::2, ::2])


def test_zeros_take_part_in_the_pooling_of_the_stem():
    image = keras.Input((8, 8, 1))
    model = keras.Model(image, convolution.stem_max_pool(image, "p"))
    y = np.array(model(-np.ones((1, 8, 8, 1))))[0, :, :, 0]
    assert y.shape == (4, 4)
    assert (y[0] == 0).all() and (y[:, 0] == 0).all() and (y[1:, 1:] == -1).all()


# normalization


def test_affine_and_response_normalization():
    x = normal(2, 5, 6, 8)
    layer = with_weights(normalization.Affine(), x.shape)
    np.testing.assert_allclose(layer(x), x * np.array(layer.alpha) + np.array(layer.beta), atol=1e-6)
    np.testing.assert_array_equal(normalization.GlobalResponseNorm()(x), x)  # starts as the identity
    layer = with_weights(normalization.GlobalResponseNorm(), x.shape)
    g = np.sqrt((x**2).sum((1, 2), keepdims=True))
    n = g / (g.mean(-1, keepdims=True) + 1e-6)
    expected = np.array(layer.gamma) * (x * n) + np.array(layer.beta) + x
    np.testing.assert_allclose(layer(x), expected, atol=1e-5)
    assert np.isfinite(layer(np.zeros_like(x))).all()


def test_response_normalization_has_a_gradient_at_zero():
    import tensorflow as tf

    layer, x = normalization.GlobalResponseNorm(), tf.zeros((1, 2, 2, 3))
    layer.build(x.shape)
    layer.gamma.assign(np.ones(3))
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = tf.reduce_sum(layer(x))
    np.testing.assert_allclose(tape.gradient(loss, x), np.ones(x.shape), atol=1e-5)


@pytest.mark.parametrize("epsilon", [1e-6, 1e-3])
def test_layer_normalization_has_its_epsilon(epsilon):
    x = 0.03 * normal(2, 3, 3, 16)
    layer = normalization.normalization("layernorm", epsilon, "n")
    expected = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + epsilon)
    np.testing.assert_allclose(layer(x), expected, atol=1e-5)


# attention


def test_squeeze_excite():
    x = normal(2, 5, 6, 8)
    layer = with_weights(attention.SqueezeExcite(factor=2.0), x.shape)
    w1, b1, w2, b2 = map(np.array, layer.weights)
    assert w1.shape == (8, 4)
    gates = sigmoid(np.maximum(x.mean((1, 2)) @ w1 + b1, 0) @ w2 + b2)
    np.testing.assert_allclose(layer(x), x * 2 * gates[:, None, None], atol=1e-5)


@pytest.mark.parametrize(("channels", "taps"), [(16, 3), (128, 5), (256, 5), (512, 5), (1536, 5), (2048, 7)])
def test_efficient_channel_attention(channels, taps):
    x = normal(2, 3, 3, channels)
    layer = with_weights(attention.EfficientChannelAttention(), x.shape)
    kernel = np.array(layer.kernel)
    assert kernel.shape == (taps, 1, 1)
    mixed = keras.ops.conv(x.mean((1, 2))[:, :, None], kernel, padding="same")
    gates = sigmoid(np.array(mixed)[:, :, 0])
    np.testing.assert_allclose(layer(x), x * gates[:, None, None], atol=1e-5)


def test_self_attention_is_that_of_keras():
    x = normal(2, 7, 12)
    layer = with_weights(attention.SelfAttention(3), x.shape)
    stock = keras.layers.MultiHeadAttention(3, 4)
    stock.build(x.shape, x.shape)
    for ours, theirs in zip(layer.weights, stock.weights, strict=True):
        theirs.assign(np.reshape(ours, theirs.shape))
    np.testing.assert_allclose(layer(x), stock(x, x), atol=1e-5)


def test_heads_must_divide():
    with pytest.raises(ValueError, match="heads must divide the width 10; got 3"):
        attention.SelfAttention(3).build((None, 4, 10))


# residual


def test_stochastic_depth_drops_samples():
    x = np.ones((4000, 2, 3), "float32")
    for rescale, kept in ((True, 1 / 0.7), (False, 1.0)):
        layer = residual.StochasticDepth(0.3, rescale=rescale, seed=1)
        y = np.array(layer(x, training=True))
        assert (y == y[:, :1, :1]).all()
        np.testing.assert_allclose(np.unique(y), [0, kept], atol=1e-6)
        assert (y == 0).mean() == pytest.approx(0.3, abs=0.03)
        assert (np.array(layer(x, training=True)) != y).any()
        np.testing.assert_array_equal(layer(x, training=False), x)
        np.testing.assert_array_equal(layer(x), x)


@pytest.mark.parametrize("rank", [1, 2, 3, 4])
def test_stochastic_depth_takes_any_rank(rank):
    x = np.ones((64,) + (2,) * (rank - 1), "float32")
    y = np.array(residual.StochasticDepth(0.5, seed=0)(x, training=True)).reshape(64, -1)
    assert set(np.unique(y)) == {0, 2} and (y == y[:, :1]).all()


def test_a_small_rate_survives_bfloat16():
    """Drawn in bfloat16, 0.004 would act as 0.008 (the original's defect)."""
    layer = residual.StochasticDepth(0.004, seed=3, dtype="bfloat16")
    y = np.array(layer(np.ones((200_000, 1)), training=True), "float32")
    assert (y == 0).mean() == pytest.approx(0.004, rel=0.15)


def test_dropout_is_inverted():
    x = np.ones((400, 50), "float32")
    y = np.array(randomness.Dropout(0.25, seed=5)(x, training=True))
    np.testing.assert_allclose(np.unique(y), [0, 1 / 0.75], atol=1e-6)
    assert (y == 0).mean() == pytest.approx(0.25, abs=0.02)
    np.testing.assert_array_equal(randomness.Dropout(0.0)(x, training=True), x)


@pytest.mark.parametrize("rate", [-0.1, 1.0, 2])
def test_rates_have_a_range(rate):
    with pytest.raises(ValueError, match="at least 0 and below 1"):
        residual.StochasticDepth(rate)


REPLICAS = """
import numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from Models.layers import randomness, residual
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
with strategy.scope():
    layers = residual.StochasticDepth(0.5, seed=7), randomness.Dropout(0.5, seed=8)
    for layer in layers:
        layer.build((None, 1))
@tf.function
def step():
    return strategy.run(lambda: tf.concat([l(tf.ones((64, 1)), training=True) for l in layers], 0))
seen = [np.array(part) for _ in range(2) for part in strategy.experimental_local_results(step())]
masks = [half.tobytes() for part in seen for half in np.split(part, 2)]
assert len(seen) == 4 and len(set(masks)) == 8, (len(seen), len(set(masks)))

from Models.layers.augmentation import BatchAugmentation
random = np.random.default_rng(0)
images = random.integers(0, 256, (8, 9, 9, 3), np.uint8)
draws = random.random((8, 4)).astype("float32")
def parts(array):
    per_replica = lambda context: tf.constant(np.split(array, 2)[context.replica_id_in_sync_group])
    return strategy.experimental_distribute_values_from_function(per_replica)
for group, partners in ((None, random.permutation(8)), (2, np.arange(8) ^ 1)):
    draws[:, 3] = partners
    layer = BatchAugmentation(group)
    augment = tf.function(lambda *inputs: layer(list(inputs), training=True))
    halves = strategy.experimental_local_results(strategy.run(augment, (parts(images), parts(draws))))
    whole = BatchAugmentation()([images, draws], training=True)
    np.testing.assert_allclose(np.concatenate(halves), whole, atol=1e-3)
"""


def test_replicas_draw_different_masks_and_mix_with_one_another():
    words = [sys.executable, "-c", REPLICAS]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_one_replica_draws_as_the_stock_generator():
    ours, stock = randomness.ReplicaSeedGenerator(11), keras.random.SeedGenerator(11)
    for _ in range(2):
        np.testing.assert_array_equal(ours.next(), stock.next())


def test_linear_rates_stay_under_the_maximum():
    np.testing.assert_allclose(residual.linear_rates(0.4, 4), [0, 0.1, 0.2, 0.3])


def test_scales():
    x = normal(2, 3, 4)
    layer = residual.LayerScale(0.25)
    np.testing.assert_allclose(layer(x), x / 4)
    assert layer.scale.shape == (4,)
    layer = residual.SkipInit(0.2)
    np.testing.assert_array_equal(layer(x), np.zeros_like(x))
    layer.scale.assign(0.5)
    np.testing.assert_allclose(layer(x), x * 0.1, atol=1e-7)


# normalizer-free networks


def test_betas_undo_the_growth_of_variance():
    expected = [1, 1.04**-0.5, 1.04**-0.5, 1.08**-0.5, 1.12**-0.5]
    np.testing.assert_allclose(normalizer_free.expected_betas((1, 3, 1)), expected)


# input


@pytest.mark.parametrize(("name", "low", "high"), [("inception", -1, 1), ("simple", 0, 1), (None, 0, 255)])
def test_input_scaling(name, low, high):
    x = np.array([[0, 127, 255]], "uint8")
    y = np.array(scaling.InputScaling(name)(x))
    np.testing.assert_allclose(y, [[low, low + (high - low) * 127 / 255, high]], atol=1e-6)


def test_input_scaling_by_means_and_deviations():
    x = np.array([[0, 51, 255]], "uint8")
    y = np.array(scaling.InputScaling((0.5, 0.2, 0.4, 0.5, 0.1, 0.3))(x))
    np.testing.assert_allclose(y, [[-1, 0, 2]], atol=1e-6)
    for wrong in ((0.5, 0.5), (0.0, 0.0, 0.0, 1.0, 1.0, 0.0)):
        with pytest.raises(ValueError, match="three means and three standard deviations"):
            scaling.InputScaling(wrong)


def test_input_scaling_computes_in_float32():
    x = np.array([[127.75]], "float32")  # bfloat16 would round it to 128
    y = np.array(scaling.InputScaling("inception", dtype="mixed_bfloat16")(x), "float32")
    assert y[0, 0] == pytest.approx(0.25 / 127.5, rel=0.01)


# tokens


def test_positions_on_the_same_grid_are_themselves():
    table = normal(25, 3)
    np.testing.assert_array_equal(tokens.resample_positions(table, 25), table)


@pytest.mark.parametrize("new", [2, 4, 7, 20])
def test_resampled_positions_keep_constants_and_symmetry(new):
    assert np.allclose(tokens.resample_positions(np.ones((25, 2)), new * new), 1)
    table = normal(25, 1).reshape(5, 5)
    got = tokens.resample_positions(table.reshape(25, 1), new * new).reshape(new, new)
    flipped = tokens.resample_positions(table[:, ::-1].reshape(25, 1), new * new).reshape(new, new)
    np.testing.assert_allclose(got, flipped[:, ::-1], atol=1e-6)
    turned = tokens.resample_positions(table.T.reshape(25, 1), new * new).reshape(new, new)
    np.testing.assert_allclose(got, turned.T, atol=1e-6)


def test_resampled_positions_are_bicubic_and_antialiased():
    """As the antialiased bicubic resize of the backend, away from what differs at its borders."""
    table = normal(64, 3)
    for new in (5, 12):
        expected = keras.ops.image.resize(
            table.reshape(1, 8, 8, 3), (new, new), interpolation="bicubic", antialias=True
        )
        got = tokens.resample_positions(table, new * new).reshape(new, new, 3)
        np.testing.assert_allclose(got, np.array(expected)[0], atol=2e-5)


def test_rows_before_the_grid_stay_when_positions_are_resampled():
    table = normal(26, 3)
    got = tokens.resample_positions(table, 17, prefix=1)
    np.testing.assert_array_equal(got[:1], table[:1])
    np.testing.assert_array_equal(got[1:], tokens.resample_positions(table[1:], 16))


def test_tokens_are_put_in_front_and_pooled():
    x = normal(2, 4, 3)
    layer = tokens.ClassToken()
    y = np.array(layer(x))
    np.testing.assert_array_equal(y[:, 1:], x)
    np.testing.assert_array_equal(y[:, 0], np.stack([np.array(layer.token)] * 2))
    np.testing.assert_array_equal(tokens.TokenPooling("token", 1)(y), y[:, 0])
    np.testing.assert_allclose(tokens.TokenPooling("average", 1)(y), x.mean(axis=1), atol=1e-6)
    with pytest.raises(ValueError, match="needs a class token"):
        tokens.TokenPooling("token")
    with pytest.raises(ValueError, match="'average' or 'token'; got 'max'"):
        tokens.TokenPooling("max", 1)


def test_rotations_leave_lengths_and_depend_on_distance_only():
    angles = rotary.rotations(4, 8, 0)  # (16, 4), row angles first
    np.testing.assert_allclose(angles[5], [1, 0.01, 1, 0.01], atol=1e-6)  # row 1, column 1
    np.testing.assert_allclose(angles[6] - angles[5], angles[1] - angles[0], atol=1e-6)
    np.testing.assert_allclose(rotary.rotations(8, 8, 4)[::2][:4], rotary.rotations(4, 8, 4)[:4], atol=1e-6)


def test_shifted_windows_let_opposite_borders_not_see_each_other():
    layer = windows.WindowAttention(1, 4, shifted=True)
    x = normal(1, 8, 8, 4)
    before = np.array(layer(x))
    x[0, 0, 0] += 5.0  # a corner: shifted, it shares its window with all four corners of the map
    changed = np.abs(np.array(layer(x)) - before).max(axis=(0, 3)) > 1e-6
    assert changed[:2, :2].all() and not changed[2:].any() and not changed[:, 2:].any()
    larger = windows.WindowAttention(1, 16, shifted=True)  # than the map: one window, not shifted
    assert larger(x).shape == x.shape
    assert (larger.sides, larger.shifts, larger.mask) == ((8, 8), (0, 0), None)


def test_merging_pads_odd_maps_with_zeros():
    layer = windows.PatchMerging()
    x = normal(1, 3, 3, 2)
    y = np.array(layer(x))
    assert y.shape == (1, 2, 2, 4)
    corner = np.concatenate([x[0, 2, 2], np.zeros(6)])
    np.testing.assert_allclose(y[0, 1, 1], corner @ np.array(layer.kernel), atol=1e-6)
    tall = np.concatenate([x[0, 0, 0], x[0, 1, 0], x[0, 0, 1], x[0, 1, 1]])  # column by column
    np.testing.assert_allclose(y[0, 0, 0], tall @ np.array(layer.kernel), atol=1e-6)


def test_positions_need_a_square():
    with pytest.raises(ValueError, match="got 12"):
        tokens.resample_positions(normal(12, 2), 16)


# augmentation


def test_augmentation_mirrors_turns_and_mixes_in_training_only():
    images = np.random.default_rng(0).integers(0, 256, (3, 9, 9, 3), np.uint8)
    draws = np.array([[1, 0, 1, 0], [0, 90, 1, 1], [0, 0, 0.25, 0]], "float32")
    keras.config.set_dtype_policy("mixed_bfloat16")  # which has 8 bits: not enough for angles and rows
    try:
        layer = augmentation.BatchAugmentation()
    finally:
        keras.config.set_dtype_policy("float32")
    mirrored, turned, mixed = np.array(layer([images, draws], training=True))
    np.testing.assert_allclose(mirrored, images[0, :, ::-1], atol=1e-3)
    np.testing.assert_allclose(turned, np.rot90(images[1]), atol=1e-3)
    np.testing.assert_allclose(mixed, 0.25 * images[2] + 0.75 * mirrored, atol=1e-3)
    assert np.array_equal(layer([images, draws]), images)


def test_partners_of_a_group_are_found_within_it():
    random = np.random.default_rng(0)
    images, draws = random.integers(0, 256, (12, 5, 5, 3), np.uint8), random.random((12, 4), np.float32)
    order = np.concatenate([4 * group + random.permutation(4) for group in range(3)])
    draws[:, 3] = order + 24  # rows 24 to 35 of a larger batch
    found = augmentation.BatchAugmentation(4)([images, draws], training=True)
    draws[:, 3] = order
    np.testing.assert_array_equal(found, augmentation.BatchAugmentation()([images, draws], training=True))
    with pytest.raises(ValueError, match="group must be at least 1"):
        augmentation.BatchAugmentation(0)


def test_rotation_fills_white():
    black = np.zeros((1, 32, 32, 3), np.uint8)
    turned = np.array(augmentation.augment_batch(black, np.array([[0, 45, 1, 0]], "float32")))[0]
    assert (turned[[0, 0, -1, -1], [0, -1, 0, -1]] == 255).all()
    octagon = 2 * (np.sqrt(2) - 1)  # share of a square that its copy turned by 45 degrees covers
    assert (turned == 0).mean() == pytest.approx(octagon, abs=0.06)


def test_an_augmenting_model_shares_the_weights():
    inner = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(2)])
    model = augmentation.with_augmentation(inner)
    images = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), np.uint8)
    draws = np.array([[1, 30, 0.5, 1], [0, -20, 0.5, 0]], "float32")
    np.testing.assert_allclose(model([images, draws]), inner(images.astype("float32")), rtol=1e-5)
    seen = augmentation.augment_batch(images, draws)
    np.testing.assert_allclose(model([images, draws], training=True), inner(seen), rtol=1e-4)
    assert all(one is other for one, other in zip(model.weights, inner.weights, strict=True))


# configurations

# Arguments other than the defaults, so that a forgotten entry of get_config shows.
ARGUMENTS = {
    "activation": "hswish", "preserve_variance": True, "scale": 0.5, "rate": 0.25, "seed": 3,
    "rescale": False, "initial": 0.3, "factor": 0.7, "ratio": 0.25, "filters": 6, "kernel_size": 3,
    "strides": 2, "groups": 2, "use_bias": False, "scaling": "simple", "heads": 2, "epsilon": 1e-4,
    "cells": 2, "padding": "same", "initial_gain": 0.5, "prefix": 1, "pool": "token", "window": 4,
    "shifted": True, "pretrained": 3, "reference": 8, "group": 2,
}  # fmt: skip


def registered():
    """Every layer class in Models/layers."""
    found = []
    for module in pkgutil.iter_modules(Models.layers.__path__):
        name = f"Models.layers.{module.name}"
        classes = inspect.getmembers(importlib.import_module(name), inspect.isclass)
        found += [kind for label, kind in classes if kind.__module__ == name and not label.startswith("_")]
    return [kind for kind in found if issubclass(kind, keras.layers.Layer)]


@pytest.mark.parametrize("kind", registered(), ids=lambda kind: kind.__name__)
def test_configurations_round_trip(kind):
    assert keras.saving.get_registered_name(kind) == f"Models>{kind.__name__}"
    own = "__init__" in vars(kind) or "rate" in inspect.signature(kind).parameters
    names = [name for name in inspect.signature(kind).parameters if own and name != "kwargs"]
    layer = kind(**{name: ARGUMENTS[name] for name in names}, name="here")
    config = layer.get_config()
    assert {name: config[name] for name in names} == {name: ARGUMENTS[name] for name in names}
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert type(again) is kind and again.get_config() == config
    assert inspect.getdoc(kind)
