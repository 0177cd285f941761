"""Models/layers/initializers.py, and the first value of every weight of every family."""

import functools
import math
import re
from typing import Any

import keras
import numpy as np
import pytest
from helpers.quick import slow_but

import Models
from Models.layers import initializers

# Wide enough that a deviation can be told from another, two blocks deep at least.
WIDE = {
    "ConvNext/test": {"widths": (32, 64, 64, 64), "attention": "se"},
    "ConvNext/V2-test": {"widths": (32, 64, 64, 64), "attention": "eca"},
    "DINOv3/test": {"width": 96, "mlp_width": 128},
    "DINOv3/gated-test": {"width": 96, "mlp_width": 128},
    "EVA02/test": {"width": 96},
    "MetaFormer/test": {"widths": (32, 64, 64, 96)},
    "NFNet/test": {"widths": (64, 64, 128, 128), "group_size": 16, "attention": "se"},
    "NFNet/kernel-test": {"widths": (64, 128), "skip_init": False},
    "NFResNet/test": {"widths": (32, 32, 64, 64), "attention": "eca"},
    "ResNet/test": {"widths": (16, 32, 64, 64), "attention": "se"},
    "ResNet/deep-test": {"widths": (32, 64)},
    "ResNet/basic-test": {"widths": (32, 64, 64)},
    "SwinV2/test": {"width": 32},
    "ViT/test": {"width": 96, "mlp_width": 128},
    "ViT/class-test": {"width": 96, "mlp_width": 128},
    "ViT/map-test": {"width": 96, "mlp_width": 128},
    "ViT/norms-test": {"width": 96, "mlp_width": 128},
    "ViT/registers-test": {"width": 96, "mlp_width": 128, "registers": 8},
}
FIRST = [name for name in WIDE if name.endswith("/test")]  # of each family


def he(shape):
    return math.sqrt(2 / (math.prod(shape) / shape[-2]))


def lecun(shape):
    return math.sqrt(shape[-1] / math.prod(shape)) if len(shape) > 1 else shape[0] ** -0.5


def eca(shape):
    return math.sqrt(1 / 3 / shape[0])


# {family: {what a weight's path matches: its deviation, or its only value}}; the first match counts.
# Kernels, tables and tokens have a deviation, all else one value.
EVERYWHERE = {r"_eca/kernel$": eca, r"/(bias|beta|moving_mean)$": 0.0, r"/(gamma|gain|moving_variance)$": 1.0}
EXPECTED: dict[str, dict[str, Any]] = {
    "ConvNext": {r"_grn/": 0.0, r"_scale/scale": 0.1, r"_eca/": eca, "kernel$": 0.02},
    "DINOv3": {r"_patches/kernel": lecun, r"_scale\d/scale": 0.1, r"kernel$|token$": 0.02},
    "EVA02": {
        r"_patches/kernel": lecun,
        r"block0_(attention/output|dense2)/kernel": 0.02 / math.sqrt(2),
        r"block1_(attention/output|dense2)/kernel": 0.02 / math.sqrt(4),
        r"head_logits/kernel": 2e-5,
        r"kernel$|token$|table$": 0.02,
    },
    "MetaFormer": {
        r"_act\d/scale": math.sqrt(0.8),
        r"_act\d/bias": -0.5 * math.sqrt(0.8),
        r"_scale\d/scale": 1.0,
        "kernel$": 0.02,
    },
    "NFNet": {r"head_logits/kernel": 0.01, r"_skip/": 0.0, "kernel$": lecun},
    "NFResNet": {r"_eca/": eca, r"head_logits/kernel": 0.01, r"_skip/": 0.0, "kernel$": lecun},
    "ResNet": {r"_block\d_norm(3)/gamma": 0.0, r"head_logits/kernel": 0.01, "kernel$": he},
    "SwinV2": {
        r"_patches/kernel": lecun,
        r"_block\d_norm\d/gamma": 0.0,
        r"logit_scale": math.log(10),
        "kernel$": 0.02,
    },
    "ViT": {
        r"_patches/kernel": lecun,
        r"token$": 1e-6,
        r"latent$": lecun,
        r"_scale\d/scale": 0.1,
        r"kernel$|table$": 0.02,
    },
}


def build(name, seed=0, **options):
    keras.utils.set_random_seed(seed)
    return Models.build(name, image_size=64, num_labels=300, **options)


@functools.cache
def fresh(name):
    return build(name, **WIDE[name])


def expected(name, path):
    rules = EXPECTED[name.split("/")[0]] | EVERYWHERE
    if name == "ResNet/basic-test":
        rules = {r"_block\d_norm2/gamma": 0.0} | rules
    if name in ("DINOv3/gated-test", "ViT/registers-test"):
        rules = {r"_scale\d/": 1e-5} | rules
    if name == "NFNet/kernel-test":  # without SkipInit the last gain of a branch is 0 instead
        rules = {r"block\d+_conv4/gain": 0.0} | rules
    return next(value for pattern, value in rules.items() if re.search(pattern, path))


@pytest.mark.parametrize("name", slow_but(WIDE, *FIRST))
def test_every_weight_begins_as_the_paper_of_its_family_says(name):
    model = fresh(name)
    for weight in model.weights:
        if "seed_generator" in weight.path:
            continue
        value, rule = np.array(weight), expected(name, weight.path)
        is_random = re.search(r"(kernel|table|token|latent)$", weight.path)
        if not is_random:
            np.testing.assert_array_equal(value, np.float32(rule), err_msg=weight.path)
            continue
        deviation = rule(value.shape) if callable(rule) else rule
        tolerance = 4.5 / math.sqrt(2 * value.size) if value.size > 9 else 0.9
        assert value.std() == pytest.approx(deviation, rel=tolerance), weight.path
        assert abs(value.mean()) < 5 * deviation / math.sqrt(value.size), weight.path


def test_all_families_are_covered():
    assert {name.split("/")[0] for name in WIDE} == set(Models.available()) == set(EXPECTED)


@pytest.mark.parametrize("name", slow_but(["ConvNext/test", "NFNet/test", "EVA02/test"], "EVA02/test"))
def test_first_weights_are_a_function_of_the_seed(name):
    first, second, other = (build(name, seed, **WIDE[name]) for seed in (0, 0, 1))
    for one, same, different in zip(first.weights, second.weights, other.weights, strict=True):
        np.testing.assert_array_equal(one, same)
        if one.path.endswith("kernel"):
            assert not np.array_equal(one, different), one.path


@pytest.mark.parametrize("name", slow_but(WIDE, *FIRST))
def test_no_two_kernels_of_a_model_are_equal(name):
    kernels = [np.array(weight) for weight in fresh(name).weights if weight.path.endswith("kernel")]
    assert len({kernel.tobytes() for kernel in kernels}) == len(kernels)


@pytest.mark.parametrize("name", slow_but(WIDE, *FIRST))
def test_no_layer_has_the_default_of_keras(name):
    """A layer that is added without an initializer would have Glorot's."""
    for layer in fresh(name)._flatten_layers():
        for attribute in ("kernel_initializer", "depthwise_initializer"):
            assert not isinstance(getattr(layer, attribute, None), keras.initializers.GlorotUniform), (
                layer.name
            )


def test_distributions():
    keras.utils.set_random_seed(0)
    names = ("truncated_normal", "he_fan_out", "lecun_normal", "uniform_fan_in")
    cut, he_normal, lecun_draws, uniform = (
        np.array(getattr(initializers, name)()((3, 3, 64, 256))) for name in names
    )
    assert cut.std() == pytest.approx(0.02, rel=0.01)
    assert np.abs(cut).max() == pytest.approx(2 * 0.02 / initializers.CUT, rel=0.01)
    assert he_normal.std() == pytest.approx(math.sqrt(2 / 9 / 256), rel=0.01)
    assert lecun_draws.std() == pytest.approx(math.sqrt(1 / 9 / 64), rel=0.01)
    assert np.abs(uniform).max() == pytest.approx(1 / math.sqrt(9 * 64), rel=0.01)
    assert initializers.by_depth(0.02, 1) == pytest.approx(0.01)
