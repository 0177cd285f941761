"""Losses for missing positives against the papers' formulas in numpy, float64, value and gradient."""

import functools
import math

import keras
import numpy as np
import pytest
from helpers import gradient, losses_on_devices

from Utils.command.cli import UserError
from Utils.training import losses
from Utils.training import missing_positive_losses as missing

random = np.random.default_rng(1)
LOGITS = random.normal(-1, 3, (6, 9)).astype("float32")
HARD = (random.random((6, 9)) < 0.3).astype("float32")
HARD[4] = 0  # an image without a positive
HARD[:, 7] = 0  # a tag without one
UNKNOWN = np.where(random.random((6, 9)) < 0.2, -1, HARD).astype("float32")
SOFT = np.where(HARD > 0, random.random((6, 9)), 0).astype("float32")
OPTIONS = {"epr": {"expected_positives": 3.5}}  # of the losses that do not work without
FUNCTIONS = {
    loss.loss: functools.partial(loss.function, **OPTIONS.get(loss.loss, {}))
    for loss in missing.MISSING_POSITIVE_LOSSES
}
ELEMENTWISE = sorted(FUNCTIONS.keys() - {"two_way", "zlpr", "epr"})


def softplus(x):
    return np.logaddexp(0, x)


def sigmoid(x):
    return np.exp(-softplus(-x))


def hill_terms(z, lam=1.5, margin=1.0, gamma=2.0):
    p = sigmoid(z)
    return sigmoid(margin - z) ** gamma * softplus(margin - z), (lam - p) * p**2


def ral_terms(z, lam=1.5, gamma_neg=4.0, gamma_pos=0.0, clip=0.05):
    p, q = sigmoid(z), np.minimum(sigmoid(-z) + clip, 1)
    positive = -(np.log(p) + (1 - p) - 1.25 * (1 - p) ** 2) * (1 - p) ** gamma_pos
    return positive, -np.log(q) * (lam - p) * p**2 * (lam - q) * (1 - q) ** gamma_neg


def splc_terms(z, epoch=0, tau=0.6, margin=1.0, gamma=2.0, change_epoch=1):
    p, (positive, _) = sigmoid(z), hill_terms(z, 1.5, margin, gamma)
    corrected = (1 - p) ** gamma * softplus(-z)
    return positive, np.where((epoch >= change_epoch) & (p > tau), corrected, p**gamma * softplus(z))


def summed(terms, labels, logits, **options):
    """The sum over known tags of a loss of terms; soft labels mix both, and negatives are exact zeros."""
    z, y = logits.astype("float64"), labels.astype("float64")
    positive, negative = terms(z, **options)
    if terms is splc_terms:  # only an exact 0 is corrected
        negative = np.where(y == 0, negative, splc_terms(z, **{**options, "epoch": -1})[1])
    return np.where(y < 0, 0, y * positive + (1 - y) * negative).sum(1)


def large_loss(labels, logits, epoch, delta_rel, correct):
    """LL-R and LL-Ct by a plain loop over the sorted negatives."""
    z, y = logits.astype("float64"), labels.astype("float64")
    terms = np.where(y < 0, 0, y * softplus(-z) + (1 - y) * softplus(z))
    negatives = sorted(zip(*np.nonzero(y == 0), strict=True), key=lambda place: -softplus(z[place]))
    number = min(math.ceil(round(epoch * delta_rel / 100 * (y >= 0).sum(), 9)), len(negatives))
    for place in negatives[:number]:
        terms[place] = softplus(-z[place]) if correct else 0.0
    return terms.sum(1), number


def two_way_of_set(z, y, of_positives, of_negatives):
    positive, negative = z[y > 0], z[y == 0]
    if not len(positive) or not len(negative):
        return 0.0
    return softplus(
        of_negatives * np.log(np.exp(negative / of_negatives).sum())
        + of_positives * np.log(np.exp(-positive / of_positives).sum())
    )


def two_way(labels, logits, T_p=4.0, T_n=1.0, part="both"):  # noqa: N803  the paper's names
    z, y = logits.astype("float64"), labels.astype("float64")
    parts = {}
    for name, sets in (("sample", zip(z, y, strict=True)), ("class", zip(z.T, y.T, strict=True))):
        losses_of_sets = [two_way_of_set(*one, T_p, T_n) for one in sets if (one[1] > 0).any()]
        parts[name] = np.mean(losses_of_sets) if losses_of_sets else 0.0
    return sum(parts.values()) if part == "both" else parts[part]


def zlpr(labels, logits):
    z, y = logits.astype("float64"), labels.astype("float64")
    known, y = y >= 0, np.maximum(y, 0)
    positive, negative = (known * y * np.exp(-z)).sum(1), (known * (1 - y) * np.exp(z)).sum(1)
    return np.log1p(positive) + np.log1p(negative)


def epr(labels, logits, k, weight=1.0):
    """By a loop over the batch: -log p of positives, then one penalty for all images."""
    z, y = logits.astype("float64"), labels.astype("float64")
    by_image, expected, scale = np.zeros(len(z)), 0.0, k / z.size
    for place in np.argwhere(y >= 0):
        row, tag = place
        by_image[row] += y[row, tag] * np.log1p(np.exp(-z[row, tag]))
        expected += 1 / (1 + np.exp(-z[row, tag])) / len(z) - scale
    return by_image + weight * expected**2 / z.shape[1]


def values(loss, labels, logits, **options):
    return np.asarray(keras.ops.convert_to_numpy(loss(labels, logits, **options)))


@pytest.mark.parametrize("labels", [HARD, SOFT, UNKNOWN], ids=["hard", "soft", "unknown"])
@pytest.mark.every_backend
def test_losses_equal_the_papers_formulas(labels):
    cases = [
        (missing.hill, hill_terms, [{}, {"lam": 2.0, "margin": 0.5, "gamma": 1.0}, {"gamma": 0.0}]),
        (missing.ral, ral_terms, [{}, {"lam": 1.2, "gamma_neg": 1.5, "gamma_pos": 1.0, "clip": 0.2}]),
        (missing.splc, splc_terms, [{}, {"epoch": 1}, {"epoch": 3, "tau": 0.3, "change_epoch": 4}]),
    ]
    for loss, terms, variants in cases:
        for options in variants:
            expected = summed(terms, labels, LOGITS, **options)
            np.testing.assert_allclose(values(loss, labels, LOGITS, **options), expected, rtol=5e-6)
    for part in ("both", "sample", "class"):
        for options in ({}, {"T_p": 1.0, "T_n": 2.0}):
            got = values(missing.two_way, labels, LOGITS, part=part, **options).mean()
            np.testing.assert_allclose(got, two_way(labels, LOGITS, part=part, **options), rtol=5e-6)
    np.testing.assert_allclose(values(missing.zlpr, labels, LOGITS), zlpr(labels, LOGITS), rtol=5e-6)
    for k, weight in ((3.5, 1.0), (0.5, 20.0), (2.0, 0.0)):
        got = values(FUNCTIONS["epr"], labels, LOGITS, expected_positives=k, weight=weight)
        np.testing.assert_allclose(got, epr(labels, LOGITS, k, weight), rtol=5e-6)


@pytest.mark.every_backend
def test_splc_corrects_also_where_p_is_0_in_float32():
    logits = np.array([[-100.0, -88.0, 0.0, 100.0]], "float32")
    for tau in (0.0, 0.5, 1.0):
        expected = summed(splc_terms, np.zeros_like(logits), logits, epoch=1, tau=tau)
        got = values(missing.splc, np.zeros_like(logits), logits, epoch=1, tau=tau)
        np.testing.assert_allclose(got, expected, rtol=5e-6)


@pytest.mark.parametrize("labels", [HARD, SOFT, UNKNOWN], ids=["hard", "soft", "unknown"])
@pytest.mark.every_backend
def test_large_losses_are_rejected_or_corrected_by_the_epoch(labels):
    for loss, correct in ((missing.ll_r, False), (missing.ll_ct, True)):
        for epoch, delta_rel in ((0, 10.0), (1, 10.0), (3, 5.0), (2, 0.2), (50, 10.0)):
            expected, number = large_loss(labels, LOGITS, epoch, delta_rel, correct)
            got = values(loss, labels, LOGITS, epoch=epoch, delta_rel=delta_rel)
            np.testing.assert_allclose(got, expected, rtol=5e-6, atol=1e-6)
            assert (number == 0) == (epoch == 0)


@pytest.mark.every_backend
def test_images_without_a_known_label_are_in_no_mean_of_the_two_way_loss():
    labels = HARD.copy()
    labels[1:3] = -1
    for part in ("both", "sample", "class"):
        got = float(keras.ops.convert_to_numpy(losses.build("two_way", part=part)(labels, LOGITS)))
        np.testing.assert_allclose(got, two_way(labels, LOGITS, part=part), rtol=5e-6)


@pytest.mark.every_backend
def test_of_equal_negatives_exactly_the_number_is_rejected():
    labels, logits = np.zeros((2, 10), "float32"), np.full((2, 10), 0.5, "float32")
    got = values(missing.ll_r, labels, logits, epoch=1, delta_rel=25.0)
    np.testing.assert_allclose(got, [5 * softplus(0.5), 10 * softplus(0.5)], rtol=1e-6)


def numeric_gradient(function, logits, step=1e-5):
    slopes = np.zeros_like(logits, "float64")
    for place in np.ndindex(*logits.shape):
        ends = []
        for sign in (1, -1):
            moved = logits.astype("float64")
            moved[place] += sign * step
            ends.append(function(moved))
        slopes[place] = (ends[0] - ends[1]) / (2 * step)
    return slopes


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
@pytest.mark.every_backend
def test_gradients_equal_the_numeric_ones(name):
    oracles = {
        "hill": lambda z: summed(hill_terms, UNKNOWN, z).sum(),
        "ral": lambda z: summed(ral_terms, UNKNOWN, z).sum(),
        "splc": lambda z: summed(splc_terms, UNKNOWN, z, epoch=2).sum(),
        "ll_r": lambda z: large_loss(UNKNOWN, z, 2, 5.0, False)[0].sum(),
        "ll_ct": lambda z: large_loss(UNKNOWN, z, 2, 5.0, True)[0].sum(),
        "two_way": lambda z: two_way(UNKNOWN, z) * len(z),
        "zlpr": lambda z: zlpr(UNKNOWN, z).sum(),
        "epr": lambda z: epr(UNKNOWN, z, 3.5).sum(),
    }
    options = {"splc": {"epoch": 2}}.get(name, {"epoch": 2, "delta_rel": 5.0} if name[:2] == "ll" else {})
    slopes = gradient(lambda z: keras.ops.sum(FUNCTIONS[name](UNKNOWN, z, **options)), LOGITS)
    np.testing.assert_allclose(slopes, numeric_gradient(oracles[name], LOGITS), rtol=1e-4, atol=2e-6)
    assert np.all(slopes[UNKNOWN < 0] == 0)
    assert np.abs(slopes).max() > 0.1


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
@pytest.mark.every_backend
def test_tails_are_finite(name):
    """Of images that have every kind of label, or both; unknown labels cost nothing."""
    ends = np.float32([[-1e4, -100, -17, 0, 17, 100, 1e4], [100, 100, 100, -100, -100, -100, 0]])
    kinds = np.float32([[0.0], [1.0], [0.3], [-1.0], [0.0]]) + np.zeros(7, "float32")
    kinds[-1, 1::2] = 1
    labels, logits = np.repeat(kinds, 2, axis=0), np.tile(ends, (5, 1))
    for epoch in (0, 5) if name in ("splc", "ll_r", "ll_ct") else (None,):
        options = {} if epoch is None else {"epoch": epoch}

        def loss(z, labels=labels, options=options):
            return keras.ops.sum(FUNCTIONS[name](labels, z, **options))

        assert np.isfinite(float(loss(logits)))
        slopes = gradient(loss, logits)
        assert np.all(np.isfinite(slopes))
        assert np.all(slopes[labels == -1] == 0)
    assert float(keras.ops.sum(FUNCTIONS[name](np.full_like(ends, -1), ends))) == 0


@pytest.mark.every_backend
def test_no_positive_in_the_batch_is_no_two_way_loss():
    assert np.array_equal(values(missing.two_way, np.zeros((2, 4), "float32"), LOGITS[:2, :4]), [0, 0])


def test_a_floor_under_focusing_weights_leaves_their_values():
    wide = np.float32([[-60.0, 60.0]])
    for labels in (np.float32([[0, 0]]), np.float32([[1, 1]])):
        np.testing.assert_allclose(
            values(missing.hill, labels, wide), summed(hill_terms, labels, wide), rtol=1e-6
        )


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_tag_weights_multiply_terms(name):
    weights = np.float32([1, 0, 2, 1, 1, 1, 1, 1, 1])
    plain = values(FUNCTIONS[name], HARD, LOGITS)
    only = np.where(np.arange(9) == 2, HARD, -1).astype("float32")
    without = np.where(np.arange(9) == 1, HARD, -1).astype("float32")
    expected = plain + values(FUNCTIONS[name], only, LOGITS) - values(FUNCTIONS[name], without, LOGITS)
    np.testing.assert_allclose(
        values(FUNCTIONS[name], HARD, LOGITS, tag_weights=weights), expected, rtol=1e-5, atol=1e-6
    )


def test_rules_that_need_exact_zeros_refuse_smoothing_and_weights():
    for name in ("splc", "ll_r", "ll_ct", "two_way", "epr"):
        with pytest.raises(UserError, match=f"loss {name} takes no label smoothing"):
            losses.build(name, label_smoothing=0.1)
    for name in ("two_way", "zlpr", "epr"):
        with pytest.raises(UserError, match=f"loss {name} takes no tag weights"):
            losses.build(name, tag_weights=[1.0])
    with pytest.raises(UserError, match="two_way_part|part"):
        losses.build("two_way", part="tags")


@pytest.mark.every_backend
def test_built_losses_average_images_and_know_their_epoch():
    for name, function in FUNCTIONS.items():
        loss = losses.build(name, **OPTIONS.get(name, {}))
        np.testing.assert_allclose(
            float(loss(HARD, LOGITS)), values(function, HARD, LOGITS).mean(), rtol=1e-6
        )
        assert type(loss).from_config(loss.get_config()).get_config() == loss.get_config()
    splc = losses.build("splc", tau=0.3)
    before = float(splc(HARD, LOGITS))
    splc.epoch = 1
    assert splc.epoch == 1
    expected = values(missing.splc, HARD, LOGITS, epoch=1, tau=0.3).mean()
    np.testing.assert_allclose(float(splc(HARD, LOGITS)), expected, rtol=1e-6)
    assert float(splc(HARD, LOGITS)) != before


def test_a_step_on_two_devices_is_that_of_one(two_devices):
    """Rules that look at a batch see each replica's share of it on tensorflow: the mean of their steps."""
    weights = np.load(two_devices["weights"])
    inputs, labels, kernel = losses_on_devices.INPUTS, losses_on_devices.LABELS, losses_on_devices.KERNEL
    for name, loss in losses_on_devices.built().items():

        def step(rows, loss=loss):
            slope = gradient(lambda z: loss(labels[rows], z), inputs[rows] @ kernel)
            return losses_on_devices.RATE * inputs[rows].T @ slope

        by_share = keras.backend.backend() == "tensorflow" and name in ("ll_r", "ll_ct", "two_way", "epr")
        shares = np.split(np.arange(16), 2 if by_share else 1)
        expected = kernel - np.mean([step(rows) for rows in shares], axis=0)
        assert np.abs(expected - kernel).max() > 1e-4, name
        np.testing.assert_allclose(weights[f"loss/{name}"], expected, atol=2e-6, err_msg=name)


@pytest.mark.every_backend
def test_logits_of_half_precision_and_weights_of_images():
    """The loss is that of the logits as they came, in float32; an image's weight multiplies what it costs."""
    half = keras.ops.cast(LOGITS, "bfloat16")
    rounded = np.asarray(keras.ops.convert_to_numpy(keras.ops.cast(half, "float32")))
    weights = np.float32([1, 0, 2, 0, 0.5, 0])
    for name, function in FUNCTIONS.items():
        by_image = values(function, UNKNOWN, rounded)
        assert np.array_equal(values(function, UNKNOWN, half), by_image), name
        weighted = losses.build(name, **OPTIONS.get(name, {}))(UNKNOWN, half, sample_weight=weights)
        np.testing.assert_allclose(
            float(weighted), by_image @ weights / len(weights), rtol=1e-6, err_msg=name
        )
