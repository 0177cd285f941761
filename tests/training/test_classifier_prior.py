"""Utils/training/classifier_prior.py: the constant logit at which a loss's expected gradient is 0."""

import dataclasses

import keras
import numpy as np
import pytest

from Utils.recipe.recipe import Recipe
from Utils.training import classifier_prior, losses

FREQUENCIES = np.array([1e-6, 1e-4, 0.001, 0.01, 0.1, 0.3, 0.5, 0.9, 0.99])


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-np.asarray(x, np.float64)))


def expected(loss, frequency, logits):
    """The expected loss of constant logits (N,), where a share of the images has the tag."""
    column = np.asarray(logits, np.float32)[:, None]
    positive, negative = (
        np.array(loss.call(np.full_like(column, label), column), np.float64) for label in (1, 0)
    )
    return frequency * positive + (1 - frequency) * negative


@pytest.mark.parametrize(
    "loss", [losses.build("bce"), losses.build("asl"), losses.build("focal", gamma=0.0, alpha=0.5)]
)
def test_cross_entropy_by_any_name_starts_at_the_log_odds(loss):
    best, has_none = classifier_prior.logits(loss, FREQUENCIES)
    np.testing.assert_allclose(best, np.log(FREQUENCIES / (1 - FREQUENCIES)), atol=5e-5)
    assert not has_none.any()
    assert best.dtype == np.float32


def test_smoothed_labels_move_the_frequencies():
    best, _ = classifier_prior.logits(losses.build("bce", label_smoothing=0.1), FREQUENCIES)
    np.testing.assert_allclose(sigmoid(best), 0.9 * FREQUENCIES + 0.05, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("focal", {}),
        ("focal", {"gamma": 0.5, "alpha": 0.9, "label_smoothing": 0.05}),
        ("asl", {"gamma_neg": 4.0, "gamma_pos": 1.0, "clip": 0.05}),
        ("asl", {"gamma_neg": 2.0}),
    ],
)
def test_no_constant_answer_has_a_lower_expected_loss(name, options):
    loss = losses.build(name, **options)
    best, has_none = classifier_prior.logits(loss, FREQUENCIES)
    assert not has_none.any()
    others = np.linspace(-20, 20, 2001)
    for frequency, logit in zip(FREQUENCIES, best, strict=True):
        lowest = expected(loss, frequency, others).min()
        assert expected(loss, frequency, [logit])[0] <= lowest * (1 + 1e-6), frequency
    assert (np.diff(best) > 0).all(), "a more frequent tag starts higher"


@pytest.mark.parametrize("name", losses.LOSSES)
def test_every_loss_has_a_start_that_rises_with_the_frequency(name):
    options = {"expected_positives": 3.0} if name == "epr" else {}
    best, _ = classifier_prior.logits(losses.build(name, **options), FREQUENCIES)
    assert np.isfinite(best).all()
    assert (np.diff(best) >= 0).all()


def test_focal_loss_in_closed_form():
    """With gamma 0 focal loss is weighted cross-entropy: odds ``alpha f / ((1 - alpha) (1 - f))``."""
    best, _ = classifier_prior.logits(losses.build("focal", gamma=0.0, alpha=0.25), FREQUENCIES)
    np.testing.assert_allclose(best, np.log(FREQUENCIES / (1 - FREQUENCIES) / 3), atol=5e-5)


def test_the_official_asl_is_balanced_by_the_gradient_that_it_gives():
    """There the focusing weight is a constant: ``f (1 - p)^2 = (1 - f) p^2`` where both gammas are 1."""
    loss = losses.build("asl", gamma_neg=1.0, gamma_pos=1.0, stop_focus_gradient=True)
    best, _ = classifier_prior.logits(loss, FREQUENCIES)
    np.testing.assert_allclose(best, np.log(FREQUENCIES / (1 - FREQUENCIES)) / 2, atol=5e-5)


def test_a_loss_that_falls_for_ever_has_the_log_odds():
    """A clipped negative costs at most -log(clip): for a tag that is nearly always there, yes is best."""
    loss = losses.build("asl", gamma_neg=4.0, clip=0.05)
    best, has_none = classifier_prior.logits(loss, np.array([0.1, 0.99]))
    assert has_none.tolist() == [False, True]
    assert best[1] == pytest.approx(np.log(99), rel=1e-6)


def test_tags_that_depend_on_one_another_have_the_log_odds():
    class Softmax(keras.losses.Loss):
        def call(self, y_true, y_pred):
            return keras.ops.sum(-y_true * keras.ops.log_softmax(y_pred), axis=-1)

    best, has_none = classifier_prior.logits(Softmax(), FREQUENCIES)
    assert has_none.all()
    np.testing.assert_allclose(best, np.log(FREQUENCIES / (1 - FREQUENCIES)), rtol=1e-6)


def test_a_recipe_says_where_no_constant_is_best_or_starts_at_one_half(capsys):
    frequencies = np.array([0.1, 0.99])
    recipe = Recipe(loss="asl", asl_gamma_neg=4.0, asl_clip=0.05)
    assert classifier_prior.first_biases(recipe, frequencies)[1] == pytest.approx(np.log(99), rel=1e-6)
    assert "no constant answer is best for loss asl on 1 of 2 tags" in capsys.readouterr().err
    assert (classifier_prior.first_biases(Recipe(loss="bce"), frequencies) != 0).all()
    assert not classifier_prior.first_biases(dataclasses.replace(recipe, prior_bias=False), frequencies).any()
    assert capsys.readouterr().err == ""
