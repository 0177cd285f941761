"""Scores of predicting the frequencies: those of a constant model, padding and unknown labels aside."""

import numpy as np
import pytest

from Utils.training import losses, missing_positive_losses, prior_scores

RNG = np.random.default_rng(0)
FREQUENCIES = np.array([0.6, 0.05, 0.3, 0.15, 0.01])
LABELS = (RNG.random((40, 5)) < FREQUENCIES).astype("float32")


def scores_of(metric, labels, weights=None):
    for start in range(0, len(labels), 16):
        rows = slice(start, start + 16)
        metric.update_state(labels[rows], labels[rows] * 0, None if weights is None else weights[rows])
    return {name: float(value) for name, value in metric.result().items()}


@pytest.mark.every_backend
def test_the_loss_is_that_of_logits_at_the_frequencies():
    weights = [1.0, 2.0, 0.5, 1.0, 3.0]
    for loss in (losses.SummedBCE(), losses.SummedBCE(tag_weights=weights)):
        log_odds = np.log(FREQUENCIES / (1 - FREQUENCIES))
        values = loss.call(LABELS, np.tile(log_odds, (40, 1)).astype("float32"))
        expected = np.mean(np.asarray(values))
        found = scores_of(prior_scores.of_loss(loss, FREQUENCIES), LABELS)
        assert found["prior_loss"] == pytest.approx(expected, rel=2e-3)


def test_f1_is_that_of_the_most_frequent_tags():
    found = scores_of(prior_scores.of_loss(losses.SummedBCE(), FREQUENCIES), LABELS)
    true = LABELS.sum()
    assert abs(40 - true) < abs(80 - true)  # one tag for all images is nearest to the number true
    assert found["prior_f1"] == pytest.approx(2 * LABELS[:, 0].sum() / (40 + true))


def test_few_labels_are_nearest_to_no_tag_at_all():
    labels = np.zeros((40, 5), "float32")
    labels[:5, 0] = 1
    assert scores_of(prior_scores.of_loss(losses.SummedBCE(), FREQUENCIES), labels)["prior_f1"] == 0


def test_padding_and_unknown_labels_do_not_count():
    metric = prior_scores.of_loss(losses.SummedBCE(), FREQUENCIES)
    expected = scores_of(metric, LABELS)
    metric.reset_state()
    padded = np.concatenate([LABELS, np.ones((8, 5), "float32")])
    assert scores_of(metric, padded, np.r_[np.ones(40), np.zeros(8)]) == pytest.approx(expected)
    unknown = LABELS.copy()
    unknown[:, 1] = -1
    metric.reset_state()
    counts = scores_of(metric, unknown)
    loss = losses.SummedBCE()
    log_odds = np.tile(np.log(FREQUENCIES / (1 - FREQUENCIES)), (40, 1)).astype("float32")
    assert counts["prior_loss"] == pytest.approx(np.mean(np.asarray(loss.call(unknown, log_odds))), rel=2e-3)


def test_a_loss_that_is_no_sum_over_tags_has_none():
    found = scores_of(prior_scores.of_loss(missing_positive_losses.ZLPR(), FREQUENCIES), LABELS)
    assert np.isnan(found["prior_loss"])
    assert found["prior_f1"] > 0
