"""Utils/scratch.py: memory used again is never two threads', and new memory begins where it should."""

import threading

import numpy as np

from Utils.scratch import Scratch, aligned


def test_a_name_is_one_array_of_each_thread():
    scratch = Scratch()
    first = scratch.array("a", (2, 3))
    assert scratch.array("a", (2, 3)) is first
    assert scratch.array("b", (2, 3)) is not first
    assert scratch.array("a", (3, 2)).shape == (3, 2)
    found = []
    thread = threading.Thread(target=lambda: found.append(scratch.array("b", (2, 3))))
    thread.start()
    thread.join()
    assert not np.shares_memory(found[0], scratch.array("b", (2, 3)))


def test_aligned_arrays_begin_at_multiples_of_64_bytes():
    arrays = [aligned((count, 3, 3)) for count in range(1, 40)]
    assert {array.ctypes.data % 64 for array in arrays} == {0}
    assert all(array.flags.c_contiguous and array.flags.writeable for array in arrays)
    for number, array in enumerate(arrays):
        array[:] = number
    assert all((array == number).all() for number, array in enumerate(arrays))
