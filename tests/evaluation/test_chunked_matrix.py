"""Blocks and rows of mapped and other matrices, and keys in the order of the floats."""

import pathlib
import re

import numpy as np
import pytest

from Utils.command.cli import UserError
from Utils.evaluation import chunked_matrix, scores, thresholds

RNG = np.random.default_rng(0)


def test_a_mapped_file_is_read_without_becoming_resident(tmp_path):
    path = tmp_path / "p.npy"
    mapped = np.lib.format.open_memmap(path, "w+", np.float32, (40_000, 500))
    for start in range(0, 40_000, 1000):
        mapped[start : start + 1000] = RNG.random((1000, 500), dtype=np.float32)
    mapped.flush()
    del mapped
    p = np.load(path, mmap_mode="r")
    before = resident()
    cut = thresholds.p_equals_r(p, 1_000_000)
    counts = scores.count(p, np.broadcast_to(np.uint8(1), p.shape), cut.threshold)
    assert resident() - before < 30 * 2**20  # of 80 MB
    assert counts.total().tp == cut.counts.predicted == pytest.approx(1_000_000, abs=20)


def resident():
    """Bytes of mapped files that are in memory as this process's."""
    status = pathlib.Path("/proc/self/status").read_text()
    return 1024 * int(re.search(r"RssFile:\s+(\d+) kB", status)[1])


def test_a_view_of_a_mapped_file_is_read_at_its_own_place(tmp_path):
    whole = RNG.random((20, 6), dtype=np.float32)
    np.save(tmp_path / "p.npy", whole)
    mapped = np.load(tmp_path / "p.npy", mmap_mode="r")
    np.save(tmp_path / "f.npy", np.asfortranarray(whole))
    fortran = np.load(tmp_path / "f.npy", mmap_mode="r")
    for view, expected in (
        (mapped, whole),
        (mapped[5:], whole[5:]),
        (mapped[:, 2:], whole[:, 2:]),
        (fortran, whole),
    ):
        got = np.concatenate([block.copy() for (block,) in chunked_matrix.row_blocks(view)])
        assert np.array_equal(got, expected)
        for rows in ([], [3], [4, 5, 6, 2, 2, 9]):
            assert np.array_equal(chunked_matrix.read_rows(view, np.array(rows, int)), expected[rows])


def test_a_file_that_was_cut_short_is_named(tmp_path):
    path = tmp_path / "p.npy"
    np.save(path, np.zeros((4000, 6), np.float32))
    mapped = np.load(path, mmap_mode="r")
    with path.open("r+b") as file:
        file.truncate(5000)
    with pytest.raises(UserError, match="p.npy is shorter than its header says"):
        list(chunked_matrix.row_blocks(mapped))
    with pytest.raises(UserError, match="p.npy is shorter than its header says"):
        chunked_matrix.read_rows(mapped, np.array([3999]))


def test_blocks_go_together_and_may_be_empty():
    matrices = np.arange(600).reshape(300, 2), np.arange(600)[::-1].reshape(300, 2)
    blocks = [(a.copy(), b.copy()) for a, b in chunked_matrix.row_blocks(*matrices)]
    assert all(len(a) == len(b) <= chunked_matrix.BLOCK_ROWS for a, b in blocks)
    for matrix, parts in zip(matrices, zip(*blocks, strict=True), strict=True):
        assert np.array_equal(np.concatenate(parts), matrix)
    assert not list(chunked_matrix.row_blocks(np.zeros((0, 5))))
    assert [block.shape for (block,) in chunked_matrix.row_blocks(np.zeros((3, 0)))] == [(3, 0)]
    for shapes in (((2, 3), (2, 4)), ((3,), (3,))):
        with pytest.raises(UserError, match="matrices of one shape"):
            next(chunked_matrix.row_blocks(*map(np.zeros, shapes)))


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_a_threshold_is_compared_as_p_greater_than_t(dtype):
    values = np.array([[-1, -0.0, 0.0, 0.25, 0.5, 1]], dtype)
    for threshold in np.unique(values):
        assert np.array_equal(chunked_matrix.is_above(values, threshold), values > threshold)
    per_column = np.array([0, 0, 0, 0.25, 0.4, 0.5], dtype)
    assert np.array_equal(chunked_matrix.is_above(values, per_column), values > per_column)


def test_keys_sort_like_the_values():
    for dtype in (np.float16, np.float32, np.float64):
        values = np.array([-np.inf, -2, -1e-7, 0.0, 1e-7, 0.5, 1, np.inf], dtype)
        keys = chunked_matrix.float_keys(values)
        assert np.all(np.diff(keys.astype(object)) > 0)
        assert np.array_equal(chunked_matrix.keys_to_floats(keys.astype(np.uint64), np.dtype(dtype)), values)


def test_keys_of_both_zeros_are_equal_and_nan_has_none():
    for dtype in (np.float16, np.float32, np.float64):
        assert len(set(chunked_matrix.float_keys(np.array([0.0, -0.0, -1.0], dtype))[:2].tolist())) == 1
        for sign in (1, -1):
            values = np.array([0.5, np.copysign(np.nan, sign)], dtype)
            for refuse in (chunked_matrix.float_keys, chunked_matrix.refuse_nan):
                with pytest.raises(UserError, match="NaN"):
                    refuse(values)
