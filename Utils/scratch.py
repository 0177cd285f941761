"""Memory for pixels: arrays that a thread uses again and again, and arrays that TensorFlow takes as they are.

Fresh memory costs page faults: a seventh of the time of a training batch without the first, and TensorFlow
copies what does not begin at a multiple of 64 bytes.
"""

import math
import threading

import numpy as np

_ALIGNMENT = 64


class Scratch(threading.local):
    """Arrays by name, each thread its own; what one holds is lost when its name is asked for again."""

    def array(self, name, shape):
        """Return the uint8 array of a name, with any content, made anew where its shape was another."""
        kept = self.__dict__.get(name)
        if kept is None or kept.shape != shape:
            kept = self.__dict__[name] = np.empty(shape, np.uint8)
        return kept


def aligned(shape):
    """Return a new uint8 array with any content that begins at a multiple of 64 bytes."""
    count = math.prod(shape)
    room = np.empty(count + _ALIGNMENT, np.uint8)
    start = -room.ctypes.data % _ALIGNMENT
    return room[start : start + count].reshape(shape)
