"""Models/layers/windows.py: attention within windows, and merging of patches."""

import keras
import numpy as np
from helpers.layers import normal

from Models.layers import windows


def test_shifted_windows_let_opposite_borders_not_see_each_other():
    keras.utils.set_random_seed(0)  # other first weights may hide a change
    layer = windows.WindowAttention(1, 4, shifted=True)
    x = normal(1, 8, 8, 4)
    before = np.array(layer(x))
    x[0, 0, 0] += 5.0  # a corner: shifted, it shares its window with all four corners of the map
    changed = np.abs(np.array(layer(x)) - before).max(axis=(0, 3)) > 1e-6
    assert changed[:2, :2].all() and not changed[2:].any() and not changed[:, 2:].any()
    larger = windows.WindowAttention(1, 16, shifted=True)  # than the map: one window, not shifted
    assert larger(x).shape == x.shape
    assert (larger.sides, larger.shifts, larger.mask) == ((8, 8), (0, 0), None)


def test_merging_pads_odd_maps_with_zeros():
    layer = windows.PatchMerging()
    x = normal(1, 3, 3, 2)
    y = np.array(layer(x))
    assert y.shape == (1, 2, 2, 4)
    corner = np.concatenate([x[0, 2, 2], np.zeros(6)])
    np.testing.assert_allclose(y[0, 1, 1], corner @ np.array(layer.kernel), atol=1e-6)
    tall = np.concatenate([x[0, 0, 0], x[0, 1, 0], x[0, 0, 1], x[0, 1, 1]])  # column by column
    np.testing.assert_allclose(y[0, 0, 0], tall @ np.array(layer.kernel), atol=1e-6)


def test_windows_are_split_and_merged():
    x = normal(2, 8, 12, 3)
    parts = windows._split_windows(x, (4, 6))
    assert parts.shape == (2 * 4, 24, 3)
    np.testing.assert_array_equal(np.array(parts)[1, 0], x[0, 0, 6])
    np.testing.assert_array_equal(windows._merge_windows(parts, (4, 6), (8, 12)), x)


def test_offsets_are_log_spaced_and_symmetric():
    table, index = windows._offsets((3, 3), 0)
    assert table.shape == (25, 2) and index.shape == (81,)
    np.testing.assert_allclose(table, -table[::-1])
    np.testing.assert_allclose(table.max(), np.log2(9) / 3)  # 8 at the border, on the scale of log2(8)
    pairs = index.reshape(9, 9)
    assert (np.diag(pairs) == 12).all()  # a token to itself: the middle of the table
    assert pairs[0, 1] == pairs[3, 4] != pairs[0, 3]
