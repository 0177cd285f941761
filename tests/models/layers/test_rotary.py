"""Models/layers/rotary.py: angles, and attention that depends on distance."""

import numpy as np
import pytest
from helpers.layers import normal, with_weights

from Models.layers import rotary


def test_rotations_leave_lengths_and_depend_on_distance_only():
    angles = rotary.rotations(4, 8, 0)  # (16, 4), row angles first
    np.testing.assert_allclose(angles[5], [1, 0.01, 1, 0.01], atol=1e-6)  # row 1, column 1
    np.testing.assert_allclose(angles[6] - angles[5], angles[1] - angles[0], atol=1e-6)
    np.testing.assert_allclose(rotary.rotations(8, 8, 4)[::2][:4], rotary.rotations(4, 8, 4)[:4], atol=1e-6)


def test_attention_depends_on_distance_only():
    """Two equal tokens one column apart get the same scores wherever they lie on the grid."""
    layer = with_weights(rotary.RotaryAttention(1, reference=0), (1, 16, 8))
    query, key, _ = layer.project(np.ones((1, 16, 8), "float32"), 16)
    scores = np.array(layer._rotate(query) @ layer._rotate(key).numpy().swapaxes(-1, -2))[0, 0]
    np.testing.assert_allclose(scores[0, 1], scores[5, 6], rtol=1e-4)
    np.testing.assert_allclose(scores[0, 4], scores[9, 13], rtol=1e-4)
    assert abs(scores[0, 1] - scores[0, 3]) > 1e-4


def test_tokens_before_the_grid_do_not_rotate():
    layer = rotary.RotaryAttention(2, prefix=1)
    layer.build((None, 17, 16))
    x = normal(1, 2, 17, 8)
    np.testing.assert_allclose(layer._rotate(x)[:, :, 0], x[:, :, 0], rtol=1e-6)
    with pytest.raises(ValueError, match="multiple of 4 channels; got 6"):
        rotary.RotaryAttention(2).build((None, 16, 12))


def test_the_centered_form_has_one_range_for_every_size():
    """Angles are odd about the middle of the image, and twice the grid halves the distance to its edge."""
    angles = rotary.centered_rotations(4, 8)  # (16, 4), row angles first
    np.testing.assert_allclose(angles, -angles[::-1], atol=1e-6)
    np.testing.assert_allclose(angles[0], -2 * np.pi * 0.75 * np.array([1, 0.1, 1, 0.1]), rtol=1e-6)
    fine = rotary.centered_rotations(8, 8)
    np.testing.assert_allclose((fine[0] + fine[9]) / 2, angles[0], rtol=1e-6)


def test_the_centered_form_pairs_halves():
    layer = rotary.RotaryAttention(1, centered=True)
    layer.build((None, 4, 8))
    x = np.zeros((1, 1, 4, 8), "float32")
    x[..., 1] = 1.0
    rotated = np.array(layer._rotate(x))[0, 0]
    assert set(np.flatnonzero(rotated[0])) == {1, 5}
    np.testing.assert_allclose(np.linalg.norm(rotated, axis=-1), 1, rtol=1e-6)
