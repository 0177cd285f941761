"""Losses against numpy in float64, identities between them, finiteness in the tails."""

import json
import pathlib

import keras
import numpy as np
import pytest
from helpers import gradient

from Utils.command.cli import UserError
from Utils.recipe.options import LossOptions
from Utils.recipe.recipe import Recipe
from Utils.training import losses

GOLDEN = json.loads((pathlib.Path(__file__).parents[1] / "golden" / "tensorflow_addons.json").read_text())
random = np.random.default_rng(0)
LOGITS = random.normal(-1, 3, (5, 9)).astype("float32")
HARD = (random.random((5, 9)) < 0.3).astype("float32")
SOFT = random.random((5, 9)).astype("float32")


def oracle(labels, logits, alpha=None, gamma=0.0, gamma_neg=0.0, gamma_pos=0.0, clip=0.0):
    """The formulas of the papers for soft labels, on probabilities, in float64."""
    y, p = labels.astype("float64"), 1 / (1 + np.exp(-logits.astype("float64")))
    q = np.minimum(1 - p + clip, 1)
    cross_entropy = -(y * np.log(p) + (1 - y) * np.log(q))
    if alpha is not None:
        p_t = y * p + (1 - y) * (1 - p)
        return (cross_entropy * (y * alpha + (1 - y) * (1 - alpha)) * (1 - p_t) ** gamma).sum(-1)
    missed = 1 - (p * y + q * (1 - y))
    return (cross_entropy * np.maximum(missed, 0) ** (gamma_pos * y + gamma_neg * (1 - y))).sum(-1)


def values(loss, labels, logits, **options):
    return np.asarray(keras.ops.convert_to_numpy(loss(labels, logits, **options)))


@pytest.mark.parametrize("labels", [HARD, SOFT], ids=["hard", "soft"])
@pytest.mark.every_backend
def test_losses_equal_the_papers_formulas(labels):
    np.testing.assert_allclose(values(losses.bce, labels, LOGITS), oracle(labels, LOGITS), rtol=2e-6)
    for alpha, gamma in ((0.25, 2.0), (0.9, 0.5), (0.6, 0.0)):
        expected = oracle(labels, LOGITS, alpha=alpha, gamma=gamma)
        got = values(losses.focal, labels, LOGITS, alpha=alpha, gamma=gamma)
        np.testing.assert_allclose(got, expected, rtol=3e-6)
    for gamma_neg, gamma_pos, clip in ((4, 1, 0.05), (2, 0, 0.0), (0.5, 0.5, 0.2), (0, 0, 0.1)):
        options = {"gamma_neg": gamma_neg, "gamma_pos": gamma_pos, "clip": clip}
        got = values(losses.asl, labels, LOGITS, **options)
        np.testing.assert_allclose(got, oracle(labels, LOGITS, **options), rtol=3e-6)


@pytest.mark.every_backend
def test_identities_hold_bit_for_bit():
    for labels in (HARD, SOFT):
        plain = values(losses.bce, labels, LOGITS)
        assert np.array_equal(values(losses.asl, labels, LOGITS), plain)
        assert np.array_equal(values(losses.focal, labels, LOGITS, gamma=0.0, alpha=0.5), 0.5 * plain)
    keras_mean = keras.ops.convert_to_numpy(keras.losses.binary_crossentropy(SOFT, LOGITS, from_logits=True))
    np.testing.assert_allclose(values(losses.bce, SOFT, LOGITS), keras_mean * 9, rtol=2e-6)


@pytest.mark.every_backend
def test_focal_equals_tensorflow_addons():
    labels, logits = np.float32(GOLDEN["labels"]), np.float32(GOLDEN["logits"])
    for case in GOLDEN["focal"]:
        got = values(losses.focal, labels, logits, alpha=case["alpha"], gamma=case["gamma"])
        np.testing.assert_allclose(got, case["loss"], rtol=2e-6)


EXTREMES = np.float32([[-1e4, -100, -17, 0, 17, 100, 1e4]])
VARIANTS = [
    (losses.bce, {}),
    (losses.focal, {}),
    (losses.focal, {"gamma": 0.5}),
    (losses.asl, {"gamma_neg": 4.0, "gamma_pos": 1.0, "clip": 0.05}),
    (losses.asl, {"gamma_neg": 0.5, "gamma_pos": 0.5, "stop_focus_gradient": False}),
    (losses.asl, {"gamma_neg": 0.5, "clip": 0.05, "stop_focus_gradient": False}),
]


@pytest.mark.parametrize(("loss", "options"), VARIANTS)
@pytest.mark.parametrize("label", [0.0, 1.0, 0.3])
@pytest.mark.every_backend
def test_tails_are_finite_and_still_pull(loss, options, label):
    labels = np.full_like(EXTREMES, label)
    slope = gradient(lambda logits: keras.ops.sum(loss(labels, logits, **options)), EXTREMES)
    assert np.all(np.isfinite(values(loss, labels, EXTREMES, **options)))
    assert np.all(np.isfinite(slope))
    if label == 1.0:  # a missed positive is pulled up however sure the model is (a clipped log gives 0 here)
        assert slope[0, 1] < -0.1


def asl_gradient(labels, logits, gamma_neg, gamma_pos, clip, stop):
    """The derivative of ``oracle`` for ASL by hand, in float64."""
    y, p = labels.astype("float64"), 1 / (1 + np.exp(-logits.astype("float64")))
    slope, counts = p * (1 - p), p > clip  # dp/dz; below clip a negative has q = 1, without a slope
    q = np.minimum(1 - p + clip, 1)
    cross_entropy = -(y * np.log(p) + (1 - y) * np.log(q))
    missed, exponent = 1 - (p * y + q * (1 - y)), gamma_pos * y + gamma_neg * (1 - y)
    weight = missed**exponent
    through_cross_entropy = weight * (-y * (1 - p) + (1 - y) * counts * slope / q)
    missed_slope = -y * slope + (1 - y) * counts * slope
    positive = np.where(missed > 0, missed, 1)
    through_weight = cross_entropy * exponent * positive ** (exponent - 1) * missed_slope * (missed > 0)
    return through_cross_entropy + (0 if stop else through_weight)


@pytest.mark.reliability(
    "ASL with gamma above 0 whose gradient differs from the original's",
    "it passes the focusing weight as there; --asl-stop-focus-gradient is the official code's way",
)
@pytest.mark.parametrize("labels", [HARD, SOFT], ids=["hard", "soft"])
@pytest.mark.every_backend
def test_the_gradient_passes_the_focusing_weight_unless_asked_otherwise(labels):
    for gamma_neg, gamma_pos, clip in ((2.0, 1.0, 0.0), (4.0, 1.0, 0.05), (1.0, 0.0, 0.05), (0.0, 2.0, 0.0)):
        formulas = {"gamma_neg": gamma_neg, "gamma_pos": gamma_pos, "clip": clip}
        slopes = {}
        for options in ({}, {"stop_focus_gradient": False}, {"stop_focus_gradient": True}):
            loss = losses.ASL(**formulas, reduction="sum", **options)
            stop = options.get("stop_focus_gradient", False)
            slopes[stop] = gradient(lambda logits, loss=loss: loss(labels, logits), LOGITS)
            expected = asl_gradient(labels, LOGITS, **formulas, stop=stop)
            np.testing.assert_allclose(slopes[stop], expected, rtol=1e-4, atol=1e-6)
            np.testing.assert_allclose(
                float(loss(labels, LOGITS)), oracle(labels, LOGITS, **formulas).sum(), rtol=3e-6
            )
        assert np.abs(slopes[True] - slopes[False]).max() > 0.1


def tiny_model(activation, wrapped=False, passed_on=False):
    image = keras.Input((4,))
    output = keras.layers.Activation(activation)(keras.layers.Dense(3)(image))
    model = keras.Model(image, keras.layers.Flatten()(output) if passed_on else output)
    return keras.Sequential([keras.Input((4,)), model]) if wrapped else model


@pytest.mark.reliability(
    "a model that ends with its sigmoid, trained with a loss on logits",
    "an error at the first batch that names classifier_activation=None",
)
@pytest.mark.parametrize(
    "options", [{}, {"wrapped": True}, {"passed_on": True}, {"activation": "hard_sigmoid"}]
)
@pytest.mark.every_backend
def test_a_model_that_gives_probabilities_is_refused(options):
    inputs, labels = np.zeros((2, 4), "float32"), np.zeros((2, 3), "float32")
    model = tiny_model(**{"activation": "sigmoid", **options})
    model.compile("sgd", losses.SummedBCE())
    with pytest.raises(UserError, match=r"take logits.*classifier_activation=None"):
        model.fit(inputs, labels, verbose=0)
    model = tiny_model(**{**options, "activation": "linear"})
    model.compile("sgd", losses.SummedBCE())
    model.fit(inputs, labels, verbose=0)


@pytest.mark.every_backend
def test_probabilities_are_refused_outside_of_fit():
    probabilities = keras.activations.sigmoid(keras.ops.convert_to_tensor(LOGITS))
    for loss in (losses.bce, losses.focal, losses.asl, losses.SummedBCE()):
        with pytest.raises(UserError, match="take logits"):
            loss(HARD, probabilities)


def test_unknown_labels_count_nothing():
    known = HARD.copy()
    known[:, 3] = -1
    for loss in (losses.bce, losses.focal, losses.asl):
        expected = values(loss, np.delete(HARD, 3, 1), np.delete(LOGITS, 3, 1))
        np.testing.assert_allclose(values(loss, known, LOGITS), expected, rtol=1e-6)
        smoothed = values(loss, known, LOGITS, label_smoothing=0.1)
        np.testing.assert_allclose(
            smoothed,
            values(loss, np.delete(HARD, 3, 1), np.delete(LOGITS, 3, 1), label_smoothing=0.1),
            rtol=1e-6,
        )
        slope = gradient(lambda logits, loss=loss: keras.ops.sum(loss(known, logits)), LOGITS)
        assert np.all(slope[:, 3] == 0)
        assert np.all(slope[:, 2] != 0)


def test_tag_weights_and_smoothing():
    weights = np.arange(9, dtype="float32")
    parts = np.stack([values(losses.bce, HARD[:, [i]], LOGITS[:, [i]]) for i in range(9)], 1)
    np.testing.assert_allclose(
        values(losses.bce, HARD, LOGITS, tag_weights=weights), parts @ weights, rtol=1e-6
    )
    expected = values(losses.bce, HARD * 0.8 + 0.1, LOGITS)
    np.testing.assert_allclose(values(losses.bce, HARD, LOGITS, label_smoothing=0.2), expected, rtol=1e-6)


def test_the_classes_average_images_in_float32():
    for name in losses.LOSSES:
        options = {"expected_positives": 2.0} if name == "epr" else {}
        loss = losses.build(LossOptions.for_loss(name, **options))
        expected = values(getattr(losses, name), SOFT, LOGITS, **options).mean()
        np.testing.assert_allclose(float(loss(SOFT, LOGITS)), expected, rtol=1e-6)
        assert (
            keras.backend.standardize_dtype(loss(SOFT, keras.ops.cast(LOGITS, "bfloat16")).dtype) == "float32"
        )
    weighted = losses.SummedBCE()(SOFT, LOGITS, sample_weight=np.float32([1, 1, 0, 0, 0]))
    np.testing.assert_allclose(float(weighted), values(losses.bce, SOFT, LOGITS)[:2].sum() / 5, rtol=1e-6)


def test_build_takes_the_options_from_the_recipe():
    options = LossOptions(loss="focal", focal_gamma=3.0, label_smoothing=0.1)
    loss = losses.build(options, tag_weights=np.float32([1, 0.5]))
    assert isinstance(loss, losses.Focal)
    config = loss.get_config()
    assert (config["alpha"], config["gamma"], config["label_smoothing"]) == (0.25, 3.0, 0.1)
    assert config["tag_weights"] == [1.0, 0.5]


def test_a_recipe_that_leaves_the_expected_positives_open_takes_the_mean_of_the_labels(capsys):
    settled = losses.settled(Recipe(loss="epr"), 8, lambda: 7.123456)
    assert settled == Recipe(loss="epr", epr_expected_positives=7.1235)
    assert "--epr-expected-positives is 7.1235, the mean" in capsys.readouterr().err
    for recipe in (settled, Recipe(loss="bce")):
        assert losses.settled(recipe, 8, lambda: pytest.fail("counted")) is recipe
    assert capsys.readouterr().err == ""
    with pytest.raises(UserError, match=r"--epr-expected-positives must be at most .* tags, 7; got 7.1235"):
        losses.settled(settled, 7, lambda: 3.0)


def test_build_takes_a_name_and_short_options():
    loss = losses.build("asl", gamma_neg=4.0, stop_focus_gradient=True, tag_weights=[1.0, 2.0])
    config = {"gamma_neg": 4.0, "gamma_pos": 0.0, "stop_focus_gradient": True, "tag_weights": [1.0, 2.0]}
    assert config.items() <= loss.get_config().items()
    with pytest.raises(UserError, match="loss asl has no option 'gamma'"):
        losses.build("asl", gamma=4.0)


def test_wrong_use_says_what_exists():
    with pytest.raises(UserError, match="'focall'; did you mean focal.*bce, focal, asl"):
        losses.build(LossOptions(loss="focall"))
    with pytest.raises(UserError, match="no option 'gama'; did you mean gamma"):
        losses.Focal(gama=1)
    for loss, options in (
        (losses.Focal, {"alpha": 1.5}),
        (losses.Focal, {"gamma": -1}),
        (losses.ASL, {"gamma_neg": -1}),
        (losses.ASL, {"clip": 2}),
        (losses.SummedBCE, {"label_smoothing": 1.1}),
        (losses.SummedBCE, {"tag_weights": [1.0, -1.0]}),
    ):
        with pytest.raises(UserError, match=next(iter(options))):
            loss(**options)
