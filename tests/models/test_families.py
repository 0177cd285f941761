"""Every family by discovery: shapes, gradients, number types, exemptions, files that other backends load."""

import dataclasses
import importlib.util
import itertools
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
from helpers import zoo
from helpers.quick import slow_but
from helpers.weights import randomized

import Models
from Models import localization
from Utils.training.weight_sharding import WeightSharding

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def seeded():
    """Let gradients not depend on the tests before: all of four units behind a ReLU may be closed."""
    keras.utils.set_random_seed(3)


def variants_for_tests(module):
    """The variants of a family that are small enough for tests; a family without one fails here."""
    variants = [name for name in module.VARIANTS if name.endswith("test")]
    assert variants, f"{module.__name__} has no variant called test"
    return variants


FAMILIES = Models.available()
TESTED = [
    f"{family}/{variant}" for family in FAMILIES for variant in variants_for_tests(Models.family(family))
]
# One variant of each family.
SAVED = [name for name in TESTED if name.endswith("/test")]
VARIANTS = slow_but(TESTED, *SAVED)
FEW = slow_but(TESTED, "ConvNext/test", "NFNet/test", "ResNet/test", "ViT/test")


OPTIONS = (
    {},
    {"attention": "se", "activation": "relu6", "norm": "batchnorm", "input_scaling": "simple"},
    {"attention": "eca", "activation": "hswish", "norm": "affine", "input_scaling": None, "dropout": 0.1}
    | {"compensate_avgpool_var": True},
)


def supported(name, options):
    """The options that the Spec of a model has."""
    return {field: value for field, value in options.items() if field in zoo.spec_fields(name)}


def test_a_family_without_a_test_variant_fails():
    with pytest.raises(AssertionError, match="no variant called test"):
        variants_for_tests(types.SimpleNamespace(__name__="Models.New", VARIANTS={"B": None}))


def test_a_family_is_a_file_with_a_capital():
    files = {path.stem for path in (ROOT / "Models").glob("*.py")}
    assert set(FAMILIES) == {name for name in files if name[0].isupper()}
    assert {"ConvNext", "NFNet", "NFResNet", "ResNet", "ViT"} <= set(FAMILIES)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_states_its_data(family):
    module = Models.family(family)
    assert dataclasses.is_dataclass(module.Spec) and module.Spec.__dataclass_params__.frozen
    assert all(spec.source for spec in module.VARIANTS.values())
    patterns = [pattern for pattern, _ in module.SHARD_AXES]
    for pattern in [*module.NO_DECAY, *module.NO_CLIP, *patterns]:
        re.compile(pattern)


ATTENTIVE = [(name, 1) for name in SAVED if "attention" in zoo.spec_fields(name)]


@pytest.mark.parametrize(
    "case",
    slow_but(itertools.product(TESTED, range(len(OPTIONS))), *((name, 0) for name in SAVED), *ATTENTIVE),
)
def test_shape_finite_and_gradients(case):
    name, options = case[0], OPTIONS[case[1]]
    model = randomized(zoo.build_small(name, **supported(name, options)))
    with tf.GradientTape() as tape:
        logits = model(zoo.draw_images(), training=False)
        loss = tf.reduce_sum(tf.square(logits - 1.0))
    gated = any("_se/" in weight.path or "_eca/" in weight.path for weight in model.weights)
    assert gated == ("attention" in supported(name, options))
    assert logits.shape == (3, zoo.LABELS)
    assert logits.dtype == "float32"
    assert np.isfinite(logits).all()
    assert np.abs(logits[0] - logits[1]).max() > 0  # the image matters
    for weight, gradient in zip(model.trainable_weights, _gradients(tape, loss, model), strict=True):
        # What is added to all keys moves all scores of a query alike, which softmax does not see.
        if not re.search(r"attention/(key/bias|key_norm/beta)$", weight.path):
            assert gradient is not None and np.abs(gradient).max() > 0, weight.path


def _gradients(tape, loss, model):
    return tape.gradient(loss, [weight.value for weight in model.trainable_weights])


@pytest.mark.parametrize("name", FEW)
def test_training_equals_evaluation_without_rates(name):
    model = randomized(zoo.build_small(name, stochastic_depth=0.0, dropout=0.0))
    if any(isinstance(layer, keras.layers.BatchNormalization) for layer in model.layers):
        pytest.skip("batch norm differs by nature")
    same = (
        np.array(model(zoo.draw_images(), training=True)),
        np.array(model(zoo.draw_images(), training=False)),
    )
    np.testing.assert_allclose(*same, rtol=1e-4, atol=1e-6)  # activations are computed in another way


@pytest.mark.parametrize("name", FEW)
def test_rates_act_in_training_only(name):
    model = randomized(zoo.build_small(name, stochastic_depth=0.5, dropout=0.5))
    evaluated = np.array(model(zoo.draw_images(), training=False))
    np.testing.assert_array_equal(evaluated, model(zoo.draw_images(), training=False))
    assert np.abs(np.array(model(zoo.draw_images(), training=True)) - evaluated).max() > 2e-5


@pytest.mark.parametrize("name", FEW)
def test_any_size_and_number_type(name):
    model = zoo.build_small(name, image_size=72, classifier_activation="sigmoid")
    pixels = zoo.draw_images(2, 72)
    probabilities = np.array(model(pixels.astype("uint8")))
    assert ((probabilities > 0) & (probabilities < 1)).all()
    np.testing.assert_array_equal(probabilities, model(pixels))
    if "patch" not in zoo.spec_fields(name):
        assert zoo.build_small(name, image_size=45)(zoo.draw_images(1, 45)).shape == (1, zoo.LABELS)


def test_fit_takes_bytes():
    model = zoo.build_small("ConvNext/test")
    model.compile("sgd", keras.losses.BinaryCrossentropy(from_logits=True))
    data = tf.data.Dataset.from_tensors(
        (zoo.draw_images(4).astype("uint8"), np.ones((4, zoo.LABELS), "float32"))
    ).repeat()
    history = model.fit(data, steps_per_epoch=2, shuffle=False, verbose=0)
    assert np.isfinite(history.history["loss"]).all()


@pytest.mark.parametrize("name", VARIANTS)
def test_mixed_precision_gives_finite_float32_logits(name):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = randomized(zoo.build_small(name))
    finally:
        keras.config.set_dtype_policy(before)
    assert all(weight.dtype == "float32" for weight in model.trainable_weights)
    for training in (False, True):
        logits = model(zoo.draw_images(), training=training)
        assert logits.dtype == "float32"
        assert np.isfinite(logits).all()
    assert next(layer for layer in model.layers if layer.weights).compute_dtype == "bfloat16"


@pytest.mark.parametrize("name", VARIANTS)
def test_what_decays_what_is_clipped_and_what_is_split(name):
    module = Models.family(name)
    sharding = WeightSharding(2, module.SHARD_AXES)
    for options in (
        {},
        *({"attention": kind} for kind in ("se", "eca") if "attention" in zoo.spec_fields(name)),
    ):
        for weight in zoo.build_small(name, **options).trainable_weights:
            exempt = any(re.search(pattern, weight.path) for pattern in module.NO_DECAY)
            vector = len(weight.shape) < 2 or re.search(r"positions|registers|_eca/", weight.path) is not None
            assert exempt == vector, weight.path
            unclipped = any(re.search(pattern, weight.path) for pattern in module.NO_CLIP)
            assert unclipped == weight.path.startswith("head_logits/"), weight.path
            small = vector or "/positions_" in weight.path
            assert small or sharding.axis(weight) is not None, weight.path


# Weights start as zeros: the file has all values, and JAX would compile an initializer for every new shape.
FRESH_PROCESS = """
import os, pathlib, sys
import numpy as np
import Models
from Models import localization
import keras
def zeros(variable, initializer):
    variable._initialize(np.zeros(variable.shape, variable.dtype))
keras.Variable._initialize_with_initializer = zeros
assert keras.backend.backend() == os.environ["KERAS_BACKEND"]
for file in sorted(pathlib.Path(sys.argv[1]).glob("*.keras")):
    model = keras.saving.load_model(file)
    expected = np.load(file.with_suffix(".npz"))
    outputs = model.predict(expected["images"], verbose=0)  # one compiled function: JAX is slow op by op
    error = np.abs(outputs - expected["outputs"]).max()
    if "maps" in expected:  # by gradients: those of the head's tensors
        maps, _ = localization.mapper(model, "gradient")
        error = max(error, np.abs(maps(expected["images"][0], [0, 3]) - expected["maps"]).max())
    print(file.stem, error)
"""


HEADS = ("map", "ml_decoder")  # of ViT/map-test, with maps by gradients
ATTENTION = {"NFNet/test": "eca", "ResNet/test": "se"}
QUICK = ("NFNet/test", "map")


def save(folder, name):
    """Write a variant, or ViT with that head, as a .keras file, and an input and its output beside it."""
    file, images = folder / name.replace("/", "-"), zoo.draw_images()
    if name in HEADS:
        options = {"decoder_groups": 2, "qk_norm": True, "pre_norm": True}
        model = randomized(zoo.build_small("ViT/map-test", head=name, **options))
        made = localization.mapper(model, "gradient")
        assert made is not None
        values = {"outputs": np.array(model(images)), "maps": made[0](images[0], [0, 3])}
    else:
        options = {"attention": ATTENTION[name]} if name in ATTENTION else {}
        model = randomized(zoo.build_small(name, classifier_activation="sigmoid", **options))
        values = {"outputs": np.array(model(images))}
    model.save(f"{file}.keras")
    np.savez(f"{file}.npz", images=images, **values)


@pytest.mark.parametrize("names", slow_but((QUICK, (*sorted({*SAVED, *HEADS} - {*QUICK}),)), QUICK))
@pytest.mark.parametrize(
    ("backend", "tolerance"),
    [pytest.param("tensorflow", 1e-6, marks=pytest.mark.slow), ("jax", 1e-4), ("torch", 1e-4)],
)
def test_a_fresh_process_loads_and_agrees(tmp_path, names, backend, tolerance):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    for name in names:
        save(tmp_path, name)
    # Without optimization XLA compiles in a tenth of the time.
    flags = {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": "--xla_backend_optimization_level=0"}
    environment = os.environ | flags | {"KERAS_BACKEND": backend}
    words = [sys.executable, "-c", FRESH_PROCESS, str(tmp_path)]
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    errors = dict(line.rsplit(" ", 1) for line in done.stdout.strip().splitlines())
    assert len(errors) == len(names)
    assert {name: error for name, error in errors.items() if float(error) > tolerance} == {}
