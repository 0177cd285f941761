"""Utils/data/sources/stream.py: values of rows sorted, each once."""

import numpy as np

from Utils.data.sources.stream import sort_each_row


def test_rows_are_sorted_and_have_every_value_once():
    random = np.random.default_rng(0)
    rows = [random.integers(0, 9, size).tolist() for size in random.integers(0, 7, 40)]
    offsets, values = sort_each_row(np.array(list(map(len, rows))), np.array(sum(rows, [])))
    assert [part.tolist() for part in np.split(values, offsets[1:-1])] == [sorted(set(row)) for row in rows]


def test_sorted_rows_are_not_copied_and_nothing_is_something():
    values = np.array([1, 5, 2, 3])
    offsets, same = sort_each_row(np.array([2, 0, 2]), values)
    assert same is values
    assert offsets.tolist() == [0, 2, 2, 4]
    assert sort_each_row(np.array([2, 1]), np.array([4, 4, 4]))[1].tolist() == [4, 4]
    assert sort_each_row(np.zeros(0, np.int64), values[:0])[0].tolist() == [0]
