"""Arrays of .npy files, read or mapped, after the header has been held against the file's size."""

import math
import pathlib
from typing import IO

import numpy as np

from Utils.command.cli import UserError
from Utils.files import damage
from Utils.files.atomic import AnyPath, is_remote, require_file

_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def read(path: AnyPath, what: str = "an array (.npy)", *, rank: int | None = None, kinds: str = "biuf",
         mapped: bool = False) -> np.ndarray:  # fmt: skip
    """Return the array of a .npy file of numbers.

    Args:
        path: of the file.
        what: it should be, for errors.
        rank: dimensions that it must have; any without it.
        kinds: letters of numpy's kinds that are allowed: b bool, i and u whole numbers, f floats.
        mapped: whether to map the file read-only instead of reading it; only files of this machine can be.

    Raises UserError that names the file where it is cut, longer than its header says, or something else:
    a header is not believed, so that no memory is asked for that the file does not fill.
    """
    path = require_file(path, what)
    with path.open("rb") as file:
        with damage.named(path, "is no .npy file of numbers"):
            shape, fortran_order, dtype = _header(file)
        size = math.prod(shape) * dtype.itemsize
        _check(path, shape, dtype, rank, kinds)
        _check_size(path, file, size)
        order = "F" if fortran_order else "C"
        if not size:  # no system maps an array without a single value
            return np.empty(shape, dtype, order)
        if mapped and not is_remote(path):
            return np.memmap(path, dtype, "r", file.tell(), shape, order)
        return np.frombuffer(bytearray(file.read(size)), dtype).reshape(shape, order=order)


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = np.lib.format.read_magic(file)
    if version not in _HEADERS:  # 3.0 is for names of columns beyond latin-1, and these arrays have none
        raise ValueError(f"its format has the version {version}")
    shape, fortran_order, dtype = _HEADERS[version](file)
    if any(side < 0 for side in shape):
        raise ValueError(f"its header says the shape {shape}")
    return shape, fortran_order, dtype


def _check(path: pathlib.Path, shape: tuple[int, ...], dtype: np.dtype, rank: int | None, kinds: str) -> None:
    if dtype.kind not in kinds or dtype.hasobject:
        names = {"b": "bool", "i": "int", "u": "uint", "f": "float"}
        raise UserError(
            f"{path} is no .npy file of numbers that fit here: needed is one of "
            f"{', '.join(names[kind] for kind in kinds)}; it has {dtype}"
        )
    if rank is not None and len(shape) != rank:
        raise UserError(f"{path} must have {rank} dimensions; got {shape}")


def _check_size(path: pathlib.Path, file: IO[bytes], size: int) -> None:
    start = file.tell()
    actual = file.seek(0, 2) - start
    file.seek(start)
    if actual != size:
        fault = "is cut off" if actual < size else "is longer than its header says"
        raise UserError(f"{path} {fault}: {size} bytes of numbers were expected, {actual} are there")
