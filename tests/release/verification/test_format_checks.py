"""Formats are compared with the reference: what runs, what differs, and by which tolerance it is judged."""

import numpy as np
import pytest
from helpers import small_releases

from Utils.release.verification.findings import Findings
from Utils.release.verification.format_checks import FormatChecks

IMAGES = np.random.default_rng(0).integers(0, 256, (9, 8, 8, 3), dtype=np.uint8)
NAMES = [line.split(",")[1] for line in small_releases.TAGS.split()]


class MeanColor:
    """The model of small_releases as a reference."""

    columns = np.arange(9)
    weights = np.array(small_releases.WEIGHTS)

    def probabilities(self, images):
        return images.mean(axis=(1, 2)) / 255 @ self.weights[:, :3].T + self.weights[:, 3]


@pytest.fixture
def checks():
    return FormatChecks(MeanColor(), NAMES, IMAGES, None, Findings())


def failures(checks):
    return [(finding.rule, finding.wrong, finding.fault) for finding in checks.findings.failures]


def test_an_equal_file_agrees(checks, tmp_path):
    path = small_releases.make(tmp_path / "r") / "model.onnx"
    np.testing.assert_allclose(checks.check_onnx(path), checks.expected, atol=1e-6)
    assert failures(checks) == []
    assert [one.name for one in checks.agreements] == ["model.onnx"]
    assert checks.findings.to_dict()["rules"]["parity"]["seen"] == "9 images"
    assert checks.findings.state("R4") == "passed"


def test_a_file_that_differs_is_reported_with_the_largest_difference(checks, tmp_path):
    weights = [list(row) for row in small_releases.WEIGHTS]
    weights[5][3] += 0.1
    checks.check_onnx(small_releases.make(tmp_path / "r", weights=weights) / "model.onnx")
    (failure,) = checks.findings.failures
    assert (failure.rule, failure.wrong, failure.allowed) == (
        "parity", "model.onnx differs from Keras", "0.0001 at most"
    )  # fmt: skip
    assert failure.came.startswith("0.1, at sample")
    assert failure.came.endswith("output 5, green_grass")


def test_a_wrong_number_of_outputs_fails_the_check(checks, tmp_path):
    weights = small_releases.WEIGHTS[:8]
    assert checks.check_onnx(small_releases.make(tmp_path / "r", weights=weights) / "model.onnx") is None
    assert failures(checks) == [("R2", "model.onnx: number of outputs", "")]
    assert checks.agreements == []


def test_a_format_that_does_not_run_or_gives_no_numbers_fails_its_rule(checks):
    def refuse(path):
        raise ValueError("no such file")

    assert checks.check_float32("timm", refuse, None, "R6") is None
    assert checks.check_float32("litert", lambda path: lambda images: checks.expected * np.nan, None) is None
    assert failures(checks) == [
        ("R6", "timm does not run", ""), ("parity", "litert gives no numbers", "")
    ]  # fmt: skip


def test_rows_that_depend_on_the_batch_fail(checks):
    checks._check_rows("x", checks.expected[:4], checks.expected[:4] + 1e-3)
    checks._check_rows("y", checks.expected[:4], checks.expected[:3])
    assert failures(checks) == [
        ("R4", "x: rows depend on the batch", ""), ("R4", "y: the number of rows", "")
    ]  # fmt: skip


@pytest.mark.parametrize("labeled", [True, False])
def test_a_format_that_rounds_fails_on_labeled_images_only(tmp_path, labeled):
    checks = FormatChecks(MeanColor(), NAMES, IMAGES, None, Findings())
    if labeled:
        checks.labels = (checks.expected > 0.5).astype(np.int8)
    near, far = ([[*row[:3], row[3] * factor] for row in small_releases.WEIGHTS] for factor in (0.998, 0.5))
    checks.check_rounded("onnx_float16", small_releases.make(tmp_path / "near", weights=near) / "model.onnx")
    assert failures(checks) == checks.findings.warnings == []
    checks.check_rounded("onnx_float16", small_releases.make(tmp_path / "far", weights=far) / "model.onnx")
    reported = checks.findings.failures if labeled else checks.findings.warnings
    assert [finding.wrong for finding in reported] == ["onnx_float16 is too far from the Keras model"]
    assert len(checks.findings.failures) == labeled
