"""ONNX files run in batches of any size, or of the only one that they take."""

import numpy as np
import pytest
from helpers import small_releases

from Utils.release import onnx_runner

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)
WEIGHTS = np.array(small_releases.WEIGHTS)
EXPECTED = IMAGES.mean(axis=(1, 2)) / 255 @ WEIGHTS[:, :3].T + WEIGHTS[:, 3]


def test_any_batch_gives_the_same_rows(tmp_path):
    path = small_releases.make(tmp_path / "free") / "model.onnx"
    for batch_size in (1, 4, 8):
        np.testing.assert_allclose(onnx_runner.run(path, IMAGES, batch_size), EXPECTED, atol=1e-6)


@pytest.mark.parametrize("batch", [1, 2, 8])
def test_a_fixed_batch_is_filled_up(tmp_path, batch):
    runner = onnx_runner.OnnxRunner(small_releases.make(tmp_path / "fixed", batch=batch) / "model.onnx")
    assert runner.fixed_batch == batch
    np.testing.assert_allclose(runner(IMAGES), EXPECTED, atol=1e-6)


def test_a_refusal_of_onnxruntime_is_a_value_error_of_one_line(tmp_path):
    (tmp_path / "x.onnx").write_text("no graph")
    with pytest.raises(ValueError, match="^onnxruntime refuses it: [^\n]+$"):
        onnx_runner.OnnxRunner(tmp_path / "x.onnx")
    runner = onnx_runner.OnnxRunner(small_releases.make(tmp_path / "r") / "model.onnx")
    with pytest.raises(ValueError, match="^onnxruntime fails at 4 images: [^\n]+$"):
        runner(IMAGES[:, :4])
