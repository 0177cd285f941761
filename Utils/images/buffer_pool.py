"""Reused pixel buffers: page faults of fresh memory would cost a fifth of a batch's time."""

import collections
import math
import threading
import weakref

import numpy as np
import numpy.typing as npt

_ALIGNMENT = 64  # bytes; TensorFlow takes an array that begins at a multiple of it without a copy


class ThreadBuffers(threading.local):
    """Scratch arrays by name, separate for every thread; asking for a name again overwrites its array."""

    def array(self, name: str, shape: tuple[int, ...], dtype: npt.DTypeLike = np.uint8) -> np.ndarray:
        """Return the uninitialized array of a name; a new one if its shape has changed."""
        buffer = self.__dict__.get(name)
        if buffer is None or buffer.shape != shape:
            buffer = self.__dict__[name] = np.empty(shape, dtype)
        return buffer


_free: dict[int, list[bytearray]] = collections.defaultdict(list)  # by number of bytes


def pooled_array(shape: tuple[int, ...]) -> np.ndarray:
    """Return an uninitialized uint8 array, if possible in the memory of an earlier one of the same size.

    The memory is used again only when the array and all its views are gone.
    """
    size = math.prod(shape)
    free = _free[size]
    try:
        memory = free.pop()
    except IndexError:  # no check before: another thread could take the last one in between
        memory = bytearray(size + _ALIGNMENT)
    start = -np.frombuffer(memory, np.uint8).ctypes.data % _ALIGNMENT
    # The base of every view, even of a view of a view, is this array, since numpy does not own its memory.
    # So it lives as long as any of them.
    array = np.frombuffer(memory, np.uint8, size, start)
    weakref.finalize(array, free.append, memory).atexit = False
    return array.reshape(shape)
