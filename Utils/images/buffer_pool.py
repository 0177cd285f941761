"""Memory for pixels that is used again: fresh memory costs page faults, a fifth of the time of a batch."""

import collections
import math
import threading
import weakref

import numpy as np

_ALIGNMENT = 64


class ThreadBuffers(threading.local):
    """Arrays by name, each thread its own; what one holds is lost when its name is asked for again."""

    def array(self, name, shape, dtype=np.uint8):
        """Return the array of a name, with any content, made anew where its shape was another."""
        kept = self.__dict__.get(name)
        if kept is None or kept.shape != shape:
            kept = self.__dict__[name] = np.empty(shape, dtype)
        return kept


_free = collections.defaultdict(list)  # by length


def pooled_array(shape):
    """Return a uint8 array with any content, in memory of former ones of as many bytes that are gone.

    It is nobody else's until it and all its views are gone. It begins at a multiple of 64 bytes, so that
    TensorFlow takes it as it is; other arrays are copied.
    """
    count = math.prod(shape)
    free = _free[count]
    try:
        room = free.pop()
    except IndexError:  # not asked before: another thread may take the last one meanwhile
        room = bytearray(count + _ALIGNMENT)
    start = -np.frombuffer(room, np.uint8).ctypes.data % _ALIGNMENT
    # Views of views refer to the first array, whose memory is none of numpy's: this one outlives them all.
    array = np.frombuffer(room, np.uint8, count, start)
    weakref.finalize(array, free.append, room).atexit = False
    return array.reshape(shape)
