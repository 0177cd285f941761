"""Utils/evaluation/logits.py: known numbers, and finite at both ends."""

import numpy as np

from Utils.evaluation import logits


def test_logits_of_known_probabilities_and_back():
    p = np.array([0.5, 0.75, 0.9], np.float32)
    np.testing.assert_allclose(logits.logit(p), np.log([1, 3, 9]), atol=1e-6)
    np.testing.assert_allclose(logits.sigmoid(logits.logit(p)), p, rtol=1e-6)


def test_both_ends_are_finite_and_keep_their_order():
    values = logits.logit(np.array([0, 1e-8, 0.5, 1], np.float16))
    assert np.isfinite(values).all()
    assert (np.diff(values) >= 0).all()
    np.testing.assert_allclose(values[-1], -values[0])


def test_logits_of_any_size_overflow_without_a_warning():
    assert logits.sigmoid(np.array([-1000, 1000], np.float32)).tolist() == [0, 1]
