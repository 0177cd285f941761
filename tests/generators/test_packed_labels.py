"""Packed labels are the labels, whatever is among them; rows that have no room are named."""

import numpy as np
import pytest

from Generators import packed_labels
from Utils.command.cli import UserError


def test_what_is_packed_comes_back():
    rng = np.random.default_rng(0)
    labels = np.zeros((6, 1000), np.float32)
    for row in range(5):  # the last has none
        labels[row, rng.choice(1000, row + 1, replace=False)] = 1
    labels[2, [0, 999]] = 0.25, -1  # mixed, unknown; the first place is that of the filling
    packed = packed_labels.pack(labels, 7, np.arange(6))
    assert packed.shape == (6, 14)
    assert packed.dtype == np.float32
    assert (packed_labels.unpack(packed, 1000) == labels).all()
    assert packed_labels.unpack(labels, 1000) is labels


def test_a_place_of_a_hundred_thousand_is_exact():
    labels = np.zeros((1, 100_000), np.float32)
    labels[0, [99_999, 65_537]] = 1
    assert (packed_labels.unpack(packed_labels.pack(labels, 2, [1]), 100_000) == labels).all()


def test_a_row_without_room_is_named():
    labels = np.zeros((2, 50), np.float32)
    labels[1, :5] = 1
    with pytest.raises(UserError, match="image_id 9 has 5 labels.*room for 4"):
        packed_labels.pack(labels, 4, np.array([8, 9]))
