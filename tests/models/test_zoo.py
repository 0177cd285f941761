"""The zoo by discovery: the test rows of every family, exact sizes of published models, wrong names."""

import dataclasses
import importlib.util
import json
import os
import pathlib
import re
import subprocess
import sys
import types

import keras
import numpy as np
import pytest
import tensorflow as tf

import Models
from Models import summary
from Utils.command.cli import UserError

ROOT = pathlib.Path(__file__).resolve().parents[2]
SIZE, LABELS = 32, 5


@pytest.fixture(autouse=True)
def seeded():
    """Let no gradient depend on the tests before: of four units behind a ReLU all may be closed."""
    keras.utils.set_random_seed(1)


def rows_for_tests(module):
    """The variants of a family that tests may build; a family without one fails here."""
    rows = [name for name in module.VARIANTS if name.endswith("test")]
    assert rows, f"{module.__name__} has no variant called test"
    return rows


FAMILIES = Models.available()
TESTED = [f"{family}/{row}" for family in FAMILIES for row in rows_for_tests(Models.family(family))]


def fields(name):
    return {field.name for field in dataclasses.fields(Models.spec(name))}


OPTIONS = (
    {},
    {"attention": "se", "activation": "relu6", "norm": "batchnorm", "input_scaling": "simple"},
    {"attention": "eca", "activation": "hswish", "norm": "affine", "input_scaling": None, "dropout": 0.1}
    | {"compensate_avgpool_var": True},
)


def known(name, options):
    """The options that the Spec of a model has."""
    return {field: value for field, value in options.items() if field in fields(name)}


def small(name, **options):
    options = {"image_size": SIZE, "num_labels": LABELS, "classifier_activation": None} | options
    return Models.build(name, **options)


def images(count=3, size=SIZE, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, 3)).astype("float32")


def randomize(model, seed=0):
    """Give gates that start at 0 or nearly so, and statistics that start trivial, values that show."""
    random = np.random.default_rng(seed)
    for weight in model.weights:
        if re.search(r"(scale|_grn/(gamma|beta)|_norm\d?/(gamma|alpha))$", weight.path):
            weight.assign(np.full(weight.shape, 0.5))
        elif weight.path.endswith("squeeze/bias"):
            weight.assign(np.full(weight.shape, 3.0))  # two units behind a ReLU are else often both closed
        elif weight.path.endswith(("/bias", "/beta", "moving_mean")):
            weight.assign(0.1 * random.standard_normal(weight.shape))
    return model


def test_a_family_without_a_test_row_fails():
    with pytest.raises(AssertionError, match="no variant called test"):
        rows_for_tests(types.SimpleNamespace(__name__="Models.New", VARIANTS={"B": None}))


def test_a_family_is_a_file_with_a_capital(tmp_path):
    files = {path.stem for path in (ROOT / "Models").glob("*.py")}
    assert set(FAMILIES) == {name for name in files if name[0].isupper()}
    assert {"ConvNext", "NFNet", "NFResNet", "ResNet", "ViT"} <= set(FAMILIES)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_states_its_data(family):
    module = Models.family(family)
    assert dataclasses.is_dataclass(module.Spec) and module.Spec.__dataclass_params__.frozen
    assert all(spec.source for spec in module.VARIANTS.values())
    for pattern in module.NO_DECAY + module.NO_CLIP:
        re.compile(pattern)


@pytest.mark.parametrize("options", OPTIONS, ids=("plain", "se", "eca"))
@pytest.mark.parametrize("name", TESTED)
def test_shape_finite_and_gradients(name, options):
    model = randomize(small(name, **known(name, options)))
    with tf.GradientTape() as tape:
        logits = model(images(), training=False)
        loss = tf.reduce_sum(tf.square(logits - 1.0))
    gated = any("_se/" in weight.path or "_eca/" in weight.path for weight in model.weights)
    assert gated == ("attention" in known(name, options))
    assert logits.shape == (3, LABELS)
    assert logits.dtype == "float32"
    assert np.isfinite(logits).all()
    assert np.abs(logits[0] - logits[1]).max() > 0  # the image matters
    for weight, gradient in zip(model.trainable_weights, _gradients(tape, loss, model), strict=True):
        # A key's bias moves all scores of a query alike, which softmax does not see.
        if not re.search(r"attention/key/bias$", weight.path):
            assert gradient is not None and np.abs(gradient).max() > 0, weight.path


def _gradients(tape, loss, model):
    return tape.gradient(loss, [weight.value for weight in model.trainable_weights])


@pytest.mark.parametrize("name", TESTED)
def test_training_equals_evaluation_without_rates(name):
    model = randomize(small(name, stochastic_depth=0.0, dropout=0.0))
    if any(isinstance(layer, keras.layers.BatchNormalization) for layer in model.layers):
        pytest.skip("batch norm differs by nature")
    same = np.array(model(images(), training=True)), np.array(model(images(), training=False))
    np.testing.assert_array_equal(*same)


@pytest.mark.parametrize("name", TESTED)
def test_rates_act_in_training_only(name):
    model = randomize(small(name, stochastic_depth=0.5, dropout=0.5))
    evaluated = np.array(model(images(), training=False))
    np.testing.assert_array_equal(evaluated, model(images(), training=False))
    assert np.abs(np.array(model(images(), training=True)) - evaluated).max() > 0


@pytest.mark.parametrize("name", TESTED)
def test_any_size_and_number_type(name):
    model = small(name, image_size=72, classifier_activation="sigmoid")
    pixels = images(2, 72)
    probabilities = np.array(model(pixels.astype("uint8")))
    assert ((probabilities > 0) & (probabilities < 1)).all()
    np.testing.assert_array_equal(probabilities, model(pixels))
    if "patch" not in fields(name):
        assert small(name, image_size=45)(images(1, 45)).shape == (1, LABELS)


def test_fit_takes_bytes():
    model = small("ConvNext/test")
    model.compile("sgd", keras.losses.BinaryCrossentropy(from_logits=True))
    data = tf.data.Dataset.from_tensors((images(4).astype("uint8"), np.ones((4, LABELS), "float32"))).repeat()
    history = model.fit(data, steps_per_epoch=2, shuffle=False, verbose=0)
    assert np.isfinite(history.history["loss"]).all()


@pytest.mark.parametrize("name", TESTED)
def test_mixed_precision_gives_finite_float32_logits(name):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = randomize(small(name))
    finally:
        keras.config.set_dtype_policy(before)
    assert all(weight.dtype == "float32" for weight in model.trainable_weights)
    for training in (False, True):
        logits = model(images(), training=training)
        assert logits.dtype == "float32"
        assert np.isfinite(logits).all()
    assert next(layer for layer in model.layers if layer.weights).compute_dtype == "bfloat16"


@pytest.mark.parametrize("name", TESTED)
def test_what_decays_and_what_is_clipped(name):
    module = Models.family(name)
    for options in ({}, *({"attention": kind} for kind in ("se", "eca") if "attention" in fields(name))):
        for weight in small(name, **options).trainable_weights:
            exempt = any(re.search(pattern, weight.path) for pattern in module.NO_DECAY)
            vector = len(weight.shape) < 2 or "positions" in weight.path or "_eca/" in weight.path
            assert exempt == vector, weight.path
            unclipped = any(re.search(pattern, weight.path) for pattern in module.NO_CLIP)
            assert unclipped == weight.path.startswith("head_logits/"), weight.path


FRESH = """
import os, pathlib, sys, warnings
import numpy as np
import Models
import keras
folder = pathlib.Path(sys.argv[1])
assert keras.backend.backend() == os.environ["KERAS_BACKEND"]
for file in sorted(folder.glob("*.keras")):
    model = keras.saving.load_model(file)
    expected = np.load(file.with_suffix(".npz"))
    got = model.predict(expected["images"], verbose=0)  # one compiled function: JAX is slow op by op
    print(file.stem, np.abs(got - expected["outputs"]).max())
"""


# One row a family: JAX takes seconds to compile each.
SAVED = [name for name in TESTED if name.endswith(("/test", "/basic-test", "/V2-test"))]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """The first test rows, two with attention, as .keras files beside an input and its output."""
    folder = tmp_path_factory.mktemp("saved")
    attention = {"NFNet/test": "eca", "ResNet/test": "se"}
    for name in SAVED:
        options = {"attention": attention[name]} if name in attention else {}
        model = randomize(small(name, classifier_activation="sigmoid", **options))
        file = folder / name.replace("/", "-")
        model.save(f"{file}.keras")
        np.savez(f"{file}.npz", images=images(), outputs=np.array(model(images())))
    return folder


@pytest.mark.parametrize(("backend", "tolerance"), [("tensorflow", 1e-6), ("jax", 1e-4), ("torch", 1e-4)])
def test_a_fresh_process_loads_and_agrees(saved, backend, tolerance):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    # XLA compiles the initializer of every new shape; without optimizing that takes a tenth of the time.
    flags = {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": "--xla_backend_optimization_level=0"}
    environment = os.environ | flags | {"KERAS_BACKEND": backend}
    words = [sys.executable, "-c", FRESH, str(saved)]
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    errors = dict(line.rsplit(" ", 1) for line in done.stdout.strip().splitlines())
    assert len(errors) == len(SAVED)
    assert {name: error for name, error in errors.items() if float(error) > tolerance} == {}


# reference counts of the released models: image size, labels, options, parameters
SIZES = [
    ("ConvNext/T", 320, 2380, {}, 29_650_348),
    ("ConvNext/S", 320, 2380, {}, 51_284_908),
    ("ConvNext/B", 320, 2380, {}, 90_005_964),
    ("ConvNext/B", 448, 5500, {}, 93_203_964),
    ("ConvNext/V2-T", 64, 100, {}, 27_943_396),
    ("NFNet/L0", 320, 2380, {}, 27_324_776),
    ("NFNet/L1", 320, 2380, {}, 45_648_372),
    ("NFNet/L2", 320, 2380, {}, 60_962_944),
    ("NFNet/L0", 320, 2380, {"attention": "eca"}, 27_324_836),
    ("NFNet/L1", 320, 2380, {"attention": "eca"}, 45_648_492),
    ("NFNet/L2", 320, 2380, {"attention": "eca"}, 60_963_124),
    ("NFNet/L0", 64, 100, {"attention": "eca"}, 22_069_436),
    ("NFResNet/50", 64, 100, {}, 23_712_884),
    ("ResNet/50", 64, 100, {}, 23_754_532),
    ("ViT/B16", 64, 100, {}, 85_754_212),
    ("ViT/B16", 448, 5500, {}, 90_496_636),
    # as timm counts its models
    ("SwinV2/base_window8_256", 448, 1000, {"window": 14}, 87_918_816),
    ("EVA02/large_patch14_448", 448, 1000, {}, 305_080_232),
    ("NFNet/F0", 224, 1000, {"attention": "se"}, 71_489_284),
]
COUNT = """
import json, sys
import keras
import Models.__main__
for name, size, labels, options in json.loads(sys.argv[1]):
    print(Models.__main__.outline(name, size, labels, **options).count_params())
"""


def test_exact_parameter_counts():
    """In a process of its own, since an outline leaves variables without values behind."""
    rows = json.dumps([row[:4] for row in SIZES])
    done = subprocess.run([sys.executable, "-c", COUNT, rows], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert list(map(int, done.stdout.split())) == [row[4] for row in SIZES]


def test_the_command_lists_and_draws():
    words = [sys.executable, "-m", "Models", "ConvNext/T", "--image-size", "224", "--num-labels", "1000"]
    done = subprocess.run([*words, "--json"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    table = json.loads(done.stdout)
    assert table["parameters"] == 28_589_128  # as timm counts convnext_tiny
    assert 4.4e9 < table["macs"] < 4.5e9  # the paper says 4.5
    assert sum(row["parameters"] for row in table["rows"]) == table["parameters"]


def test_every_variant_takes_the_size_of_the_list():
    words = [sys.executable, "-m", "Models", "EVA02", "--json"]  # the patches that divide fewest sizes
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    listed = [row["model"] for row in json.loads(done.stdout)["models"]]
    assert listed == [f"EVA02/{name}" for name in Models.variants("EVA02") if not name.endswith("test")]


def test_multiply_adds_of_every_kind_of_layer():
    model = small("NFNet/test", attention="se")
    rows = {row.name: row for row in summary.layers(model)}
    assert rows["stem_conv1"].macs == 3 * 3 * 3 * 16 * 16 * 16
    assert rows["stage0_block0_conv2"].macs == 3 * 3 * 4 * 8 * 8 * 8  # 2 groups of 4 channels
    assert rows["stage0_block0_se"].macs == 2 * 16 * 8
    assert rows["head_logits"].macs == 48 * LABELS
    attention = {row.name: row for row in summary.layers(small("ViT/test"))}["block0_attention"]
    assert attention.macs == 4 * 16 * 16 * 16 + 2 * 16 * 16 * 16
    assert sum(row.macs for row in summary.blocks(model)) == summary.total_macs(model)


WRONG = [
    ("ConvNex/T", {}, r"no model family 'ConvNex'.*ConvNext.*did you mean ConvNext"),
    ("", {}, "no model family"),
    ("ConvNext", {}, r"variants T, S.*got none"),
    ("NFNet/L9", {}, r"variants F0, L0, L1, L2.*'L9'"),
    ("NFNet/L0", {"atention": "eca"}, r"no field 'atention'.*did you mean attention"),
    ("NFNet/L0", {"attention": "cbam"}, r"attention must be 'se' or 'eca' or None; got 'cbam'"),
    ("ConvNext/T", {"norm": "groupnorm"}, "norm must be 'layernorm' or 'batchnorm' or 'affine'"),
    ("ConvNext/T", {"activation": "mish"}, "activation must be 'relu'"),
    ("ConvNext/T", {"epsilon": "small"}, "epsilon must be a number"),
    ("ResNet/50", {"stochastic_depth": 1.0}, "stochastic_depth must be a number at least 0 and below 1"),
    ("ConvNext/test", {"depths": (1, 1)}, "cannot build ConvNext/test"),
    ("ViT/test", {"image_size": 33}, "multiple of the patch, 8; got 33"),
    ("ViT/test", {"num_labels": 0}, "num_labels must be a whole number above 0"),
    ("ViT/test", {"classifier_activation": "sigmoyd"}, "cannot build ViT/test"),
]


@pytest.mark.parametrize(("name", "options", "message"), WRONG)
def test_wrong_names_and_values_say_what_exists(name, options, message):
    with pytest.raises(UserError, match=message):
        small(name, **options)


def test_putting_a_sigmoid_on_and_taking_it_off():
    model = small("ConvNext/test")
    assert Models.without_activation(model) is model
    tagger = Models.with_probabilities(model)
    assert Models.with_probabilities(tagger) is tagger
    logits = np.array(model(images()))
    np.testing.assert_allclose(tagger(images()), 1 / (1 + np.exp(-logits)), atol=1e-6)
    np.testing.assert_array_equal(Models.without_activation(tagger)(images()), logits)
    model.get_layer("head_logits").bias.assign(np.full(LABELS, 9.0))
    assert np.array(tagger(images())).min() > 0.9  # the layers are shared
