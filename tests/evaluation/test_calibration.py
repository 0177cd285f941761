"""Reliability by brute force, and temperatures that are known."""

import numpy as np
import pytest

from Utils.evaluation import calibration


def brute_reliability(p, y):
    error = 0
    for low in range(20):
        inside = np.minimum((p * 20).astype(int), 19) == low
        error += abs(y[inside].sum() - p[inside].sum())
    return error / p.size


def test_calibration_agrees_with_brute_force_and_finds_a_known_temperature():
    rng = np.random.default_rng(0)
    z = rng.normal(-1, 1.5, (400, 50))
    y = rng.random(z.shape) < 1 / (1 + np.exp(-z))
    for temperature in (0.5, 1, 2):
        p = (1 / (1 + np.exp(-z * temperature))).astype(np.float32)
        reliability, fitted = calibration.calibrate(p, y)
        assert reliability.expected_calibration_error() == pytest.approx(brute_reliability(p, y), rel=1e-4)
        assert reliability.count.sum() == p.size
        assert fitted.value == pytest.approx(temperature, rel=0.04)
        best = -np.mean(np.log(np.where(y, p, 1 - p)))
        assert fitted.loss_before == pytest.approx(best, abs=1e-3)
        assert fitted.loss_after <= fitted.loss_before + 1e-9
    assert np.isnan(calibration.calibrate(p, p > 0.5)[1].value), "never wrong: the colder the better"
    ends, _ = calibration.calibrate(np.float16([[0, 1, 1]]), np.array([[0, 1, 0]]))
    assert ends.expected_calibration_error() == pytest.approx(1 / 3)


def test_the_points_of_the_diagram_are_the_means_of_filled_bins():
    p, y = np.float32([[0.12, 0.13, 0.91]]), np.array([[1, 0, 1]])
    reliability, _ = calibration.calibrate(p, y)
    probability, share = reliability.points()
    assert probability == pytest.approx([0.125, 0.91])
    assert share.tolist() == [0.5, 1]
    assert reliability.expected_calibration_error(first_bin=3) == pytest.approx(0.09)
    assert np.isnan(reliability.expected_calibration_error(first_bin=19))
