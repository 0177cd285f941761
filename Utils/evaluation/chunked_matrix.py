"""Walking over matrices ``(N, L)`` that may be far larger than memory, and the order of the floats in them.

Every pass reads blocks of rows through the file into a reused buffer and forgets them: pages of a mapping
would count as resident memory. Floats become unsigned integers that sort alike, so that selections are exact.
"""

import contextlib
import mmap
import pathlib

import numpy as np

from Utils.command.cli import UserError

BLOCK_VALUES = 2**19  # values a block: what fits the caches together with its masks
BLOCK_ROWS = 255  # so that a column of true values sums within uint8


def blocks(*matrices):
    """Yield tuples of equal row blocks of the matrices ``(N, L)``; valid until the next block is asked for.

    A memory-mapped matrix is read through its file, so that its pages never become resident.
    Raises UserError where the matrices differ in shape.
    """
    shapes = {matrix.shape for matrix in matrices}
    if len(shapes) != 1 or len(matrices[0].shape) != 2:
        raise UserError(f"matrices of one shape (images, tags) are needed; got {sorted(shapes)}")
    total, columns = matrices[0].shape
    step = max(1, min(BLOCK_ROWS, BLOCK_VALUES // max(1, columns)))
    with contextlib.ExitStack() as files:
        readers = [_reader(matrix, step, files) for matrix in matrices]
        for start in range(0, total, step):
            yield tuple(read(start, min(start + step, total)) for read in readers)


def _reader(matrix, step, files):
    """Return ``read(start, stop)``, which gives rows of the matrix."""
    if not _is_whole_file(matrix):
        return lambda start, stop: matrix[start:stop]
    file = files.enter_context(pathlib.Path(matrix.filename).open("rb", buffering=0))  # noqa: SIM115
    buffer = np.empty((step, matrix.shape[1]), matrix.dtype)

    def read(start, stop):
        _fill(file, matrix, start, buffer[: stop - start])
        return buffer[: stop - start]

    return read


def _is_whole_file(matrix):
    """Whether a matrix is mapped from a file, in rows and from its first one: a view lost its offset."""
    whole = isinstance(matrix, np.memmap) and isinstance(matrix.base, mmap.mmap)
    return whole and matrix.flags.c_contiguous


def _fill(file, matrix, start, rows):
    file.seek(matrix.offset + start * matrix.strides[0])
    view = memoryview(rows).cast("B") if rows.size else memoryview(b"")
    while view:
        got = file.readinto(view)
        if not got:
            raise UserError(f"{matrix.filename} is shorter than its header says")
        view = view[got:]


def rows(matrix, places):
    """Return a copy of these rows of a matrix ``(N, L)``."""
    if not _is_whole_file(matrix):
        return np.array(matrix[places])
    found = np.empty((len(places), matrix.shape[1]), matrix.dtype)
    with pathlib.Path(matrix.filename).open("rb", buffering=0) as file:
        for row, place in zip(found, places, strict=True):
            _fill(file, matrix, int(place), row)
    return found


def take(block, columns):
    """Return these columns of a block; None means all of them."""
    return block if columns is None else block[:, columns]


def as_slice(columns, total):
    """Return column indices (or a mask) as None (all) or a slice where they allow it: no copies."""
    columns = np.asarray(columns)
    columns = np.flatnonzero(columns) if columns.dtype == bool else columns.astype(np.intp)
    if len(columns) and np.array_equal(columns, np.arange(columns[0], columns[0] + len(columns))):
        whole = len(columns) == total
        return None if whole else slice(int(columns[0]), int(columns[0]) + len(columns))
    return columns


def is_above(block, threshold):
    """p > t; float16 through its bits, which sort like the values from +0 up and compare 10 times as fast."""
    if block.dtype == np.float16 and np.all(threshold >= 0):
        return block.view(np.int16) > (threshold + np.float16(0)).view(np.int16)
    return block > threshold


def _refuse_nan(found):
    if found:
        raise UserError("the probabilities hold NaN; every one must be a number")


def require_numbers(block):
    """Raise UserError where a block of probabilities holds NaN, which has no place in any order."""
    if block.dtype == np.float16:
        _refuse_nan(block.size and int((block.view(np.uint16) & 0x7FFF).max()) > 0x7C00)
    else:
        _refuse_nan(block.size and np.isnan(block.min()))


def stored(threshold, dtype):
    """Return threshold(s) in the dtype of the probabilities, in which ``p > t`` is decided."""
    with np.errstate(over="ignore"):
        return np.asarray(threshold).astype(dtype)[()]


def column_sums(mask):
    """Sum a block of booleans down its columns: uint8, which at most BLOCK_ROWS rows fit into."""
    return np.add.reduce(mask.view(np.uint8), axis=0, dtype=np.uint8)


def bits(dtype):
    """Return the width of a dtype in bits."""
    return 8 * np.dtype(dtype).itemsize


def raw(values):
    """Return the bits of floats as unsigned integers, contiguous; of numbers from +0 up they sort alike."""
    return np.ascontiguousarray(values).view(f"u{values.dtype.itemsize}")


def keys(values):
    """Return unsigned integers that sort like the floats: sign bit set; of negative values all bits flipped.

    -0 and +0 are one value and get one key. Raises UserError on NaN, which has no place in the order.
    """
    width = bits(values.dtype)
    unsigned = raw(values)
    sign = unsigned.dtype.type(1 << (width - 1))
    greatest = unsigned.max(initial=0)
    if greatest >= sign:  # negative numbers, seldom seen: the slow way
        _refuse_nan(np.isnan(values).any())
        unsigned = (values + values.dtype.type(0)).view(unsigned.dtype)  # -0 + 0 is +0
        return np.where(unsigned & sign, ~unsigned, unsigned | sign)
    _refuse_nan(greatest > np.array(np.inf, values.dtype).view(unsigned.dtype))
    return unsigned | sign


def rising(keys):
    """Return keys of any shape sorted, flat; 16 bits by their digits, ten times as fast as by comparison."""
    return np.sort(keys, axis=None, kind="stable" if keys.dtype.itemsize == 2 else None)


def from_keys(keys, dtype):
    """Return the floats of uint64 keys: the inverse of `keys`."""
    width = bits(dtype)
    sign = np.uint64(1 << (width - 1))
    mask = np.uint64((1 << width) - 1)
    unsigned = np.where(keys & sign, keys & ~sign, ~keys & mask)
    return unsigned.astype(f"u{width // 8}").view(dtype)
