"""Passes over matrices ``(N, L)`` larger than memory, and integer keys that sort exactly like floats.

Every pass reads blocks of rows through the file into a reused buffer and forgets them: the pages of a memory
mapping would count as resident memory. Thresholds are compared and sorted as *keys*, unsigned integers in
the order of the floats, so that a selection among equal or nearly equal values is exact.
"""

import contextlib
import mmap
import pathlib
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np

from Utils.command.cli import UserError
from Utils.files import positions

BLOCK_VALUES = 2**19  # values a block: what fits the caches together with its masks
BLOCK_ROWS = 255  # so that a column of true values sums within uint8


class Matrix(Protocol):
    """Anything with two axes that gives its rows as arrays: an array, a mapped file, a `MatrixView`."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and columns."""
        ...

    @property
    def dtype(self) -> np.dtype:
        """The type of the values."""
        ...

    @property
    def ndim(self) -> int:
        """The number of axes, 2."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Any, /) -> Any: ...


def row_blocks(*matrices: Matrix) -> Iterator[tuple[np.ndarray, ...]]:
    """Yield tuples of equal row blocks of the matrices ``(N, L)``; valid until the next block is asked for.

    A memory-mapped matrix is read through its file, so that its pages never become resident.
    Raises UserError where the matrices differ in shape.
    """
    require_one_shape(*matrices)
    total, columns = matrices[0].shape
    step = max(1, min(BLOCK_ROWS, BLOCK_VALUES // max(1, columns)))
    with contextlib.ExitStack() as files:
        readers = [_block_reader(matrix, step, files) for matrix in matrices]
        for start in range(0, total, step):
            yield tuple(read(start, min(start + step, total)) for read in readers)


def require_one_shape(*matrices: Matrix) -> None:
    """Raise UserError where matrices differ in shape or do not have two axes."""
    shapes = {matrix.shape for matrix in matrices}
    if len(shapes) != 1 or len(matrices[0].shape) != 2:
        raise UserError(f"matrices of one shape (images, tags) are needed; got {sorted(shapes)}")


def _block_reader(matrix: Matrix, step: int, files: contextlib.ExitStack) -> Callable[[int, int], np.ndarray]:
    """Return ``read(start, stop)``, which gives rows of the matrix."""
    if not _is_mapped(matrix):
        return lambda start, stop: matrix[start:stop]
    descriptor = files.enter_context(_open(matrix)).fileno()
    buffer = np.empty((step, matrix.shape[1]), matrix.dtype)

    def read(start: int, stop: int) -> np.ndarray:
        _read_into(buffer[: stop - start], descriptor, matrix, start)
        return buffer[: stop - start]

    return read


def read_rows(matrix: Matrix, rows: np.ndarray) -> np.ndarray:
    """Return a copy of these rows (indices) of a matrix ``(N, L)``; successive ones are read at once."""
    if not _is_mapped(matrix):
        return np.array(matrix[rows])
    copy = np.empty((len(rows), matrix.shape[1]), matrix.dtype)
    starts = np.flatnonzero(np.diff(rows, prepend=-2) != 1)  # of runs of successive rows
    with _open(matrix) as file:
        for start, stop in zip(starts, np.append(starts[1:], len(rows))[: len(starts)], strict=True):
            _read_into(copy[start:stop], file.fileno(), matrix, int(rows[start]))
    return copy


def _is_mapped(matrix: Matrix) -> bool:
    """Whether a matrix is mapped from a file, in rows and from its first row.

    A view ``mapped[5:]`` still has the file's offset, so its rows would be looked for in the wrong place.
    """
    return isinstance(matrix, np.memmap) and isinstance(matrix.base, mmap.mmap) and matrix.flags.c_contiguous


def _open(matrix: Any) -> Any:
    return pathlib.Path(matrix.filename).open("rb", buffering=0)


def _read_into(rows: np.ndarray, descriptor: int, matrix: Any, start: int) -> None:
    """Fill the array ``rows`` with those of the mapped matrix from row ``start`` on."""
    place = matrix.offset + start * matrix.strides[0]
    view = rows.data.cast("B") if rows.size else memoryview(b"")
    while view:
        count = positions.read_at(descriptor, view, place)
        if not count:
            raise UserError(f"{matrix.filename} is shorter than its header says")
        view, place = view[count:], place + count


def select_columns(block: np.ndarray, columns: np.ndarray | None) -> np.ndarray:
    """Return the columns (K,) of a block (B, L), a copy (B, K); None means the block itself."""
    return block if columns is None else block[:, columns]


def is_above(block: np.ndarray, threshold: Any) -> np.ndarray:
    """p > t; float16 by its bits, which sort like the values from +0 up and compare 10 times as fast."""
    if block.dtype == np.float16 and np.all(threshold >= 0):
        return block.view(np.int16) > (threshold + np.float16(0)).view(np.int16)
    return block > threshold


def refuse_nan(block: np.ndarray) -> None:
    """Raise UserError where a block of probabilities holds NaN, which has no place in any order."""
    if block.dtype == np.float16:
        _refuse(block.size and int((block.view(np.uint16) & 0x7FFF).max()) > 0x7C00)
    else:
        _refuse(block.size and np.isnan(block.min()))


def _refuse(has_nan: Any) -> None:
    if has_nan:
        raise UserError("the probabilities hold NaN; every one must be a number")


def as_stored(threshold: Any, dtype: Any) -> Any:
    """Return threshold(s) in the dtype of the probabilities, in which ``p > t`` is decided."""
    with np.errstate(over="ignore"):
        return np.asarray(threshold).astype(dtype)[()]


def column_sums(mask: np.ndarray) -> np.ndarray:
    """Sum a block of booleans down its columns: uint8, which at most BLOCK_ROWS rows fit into."""
    return np.add.reduce(mask.view(np.uint8), axis=0, dtype=np.uint8)


# Keys


def bit_width(dtype: Any) -> int:
    """Return the width of a dtype in bits."""
    return 8 * np.dtype(dtype).itemsize


def key_dtype(dtype: Any) -> np.dtype:
    """Return the unsigned integer type of the keys of floats of this dtype."""
    return np.dtype(f"u{np.dtype(dtype).itemsize}")


def raw_bits(values: np.ndarray) -> np.ndarray:
    """Return the bits of floats as contiguous unsigned integers; for numbers from +0 up both sort alike."""
    return np.ascontiguousarray(values).view(key_dtype(values.dtype))


def float_keys(values: np.ndarray) -> np.ndarray:
    """Return unsigned integers that sort like the floats: sign bit set; of negative values all bits flipped.

    -0 and +0 are one value and get one key. Raises UserError on NaN, which has no place in the order.
    """
    unsigned = raw_bits(values)
    sign = unsigned.dtype.type(1 << (bit_width(values.dtype) - 1))
    greatest = unsigned.max(initial=0)
    if greatest >= sign:  # negative numbers, which probabilities never are: the slow way
        _refuse(np.isnan(values).any())
        unsigned = (values + values.dtype.type(0)).view(unsigned.dtype)  # -0 + 0 is +0
        return np.where(unsigned & sign, ~unsigned, unsigned | sign)
    _refuse(greatest > np.array(np.inf, values.dtype).view(unsigned.dtype))
    return unsigned | sign


def keys_to_floats(keys: np.ndarray, dtype: Any) -> np.ndarray:
    """Return the floats of uint64 keys: the inverse of `float_keys`."""
    width = bit_width(dtype)
    sign = np.uint64(1 << (width - 1))
    mask = np.uint64((1 << width) - 1)
    unsigned = np.where(keys & sign, keys & ~sign, ~keys & mask)
    return unsigned.astype(key_dtype(dtype)).view(dtype)


def sort_keys(keys: np.ndarray) -> np.ndarray:
    """Return keys of any shape sorted, flat; 16 bits by their digits, ten times as fast as by comparison."""
    return np.sort(keys, axis=None, kind="stable" if keys.dtype.itemsize == 2 else None)
