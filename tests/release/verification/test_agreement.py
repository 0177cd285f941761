"""Formats agree by their largest difference, its 99.9th percentile and the tags that they predict."""

import numpy as np
import pytest

from Utils.release.verification import agreement


def test_the_threshold_lies_in_a_gap():
    values = np.array([[0.1, 0.11, 0.12, 0.5], [0.51, 0.52, 0.9, 0.91]])
    assert agreement.threshold_in_gap(values) == pytest.approx(0.31)
    assert agreement.threshold_in_gap(np.full((2, 2), 0.5)) == 0.5
    assert agreement.threshold_in_gap(np.array([0.3])) == 0.5


def test_differences_are_measured_and_tags_compared():
    expected = np.tile(np.array([0.1, 0.2, 0.8, 0.9], np.float32), (250, 1))  # 1000 values
    outputs = expected.copy()
    outputs[0, 0] += 0.3  # below the threshold in the gap, at 0.5
    outputs[1, 1] += 0.5
    result = agreement.compare("x", expected, outputs)
    assert result.maximum == pytest.approx(0.5)
    assert 0.29 < result.p999 < 0.31
    assert result.same_tags == pytest.approx(2 * 500 / (500 + 501))
    assert (result.f1, result.f1_difference) == (None, None)
    assert agreement.compare("x", expected, expected).same_tags == 1


def test_f1_leaves_out_the_tags_that_nobody_labeled():
    expected = np.array([[0.9, 0.1, 0.6], [0.2, 0.8, 0.7]], np.float32)
    labels = np.array([[1, 0, -1], [0, 1, -1]], np.int8)
    result = agreement.compare("x", expected, 1 - expected, labels)
    assert (result.f1, result.f1_difference) == (0, -1)
    outputs = expected * [1, 1, 0]  # wrong where it does not count
    assert agreement.compare("x", expected, outputs, labels).f1 == 1


def test_outputs_that_are_no_numbers_agree_with_nothing():
    expected = np.array([[0.9, 0.1], [0.2, 0.8]], np.float32)
    assert np.isnan(agreement.compare("x", expected, expected * np.nan).maximum)
