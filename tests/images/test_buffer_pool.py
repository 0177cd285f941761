"""Utils/images/buffer_pool.py: memory used again is never two threads', and new memory begins where it
should."""

import threading

import numpy as np

from Utils.images.buffer_pool import ThreadBuffers, pooled_array


def test_a_name_is_one_array_of_each_thread():
    scratch = ThreadBuffers()
    first = scratch.array("a", (2, 3))
    assert scratch.array("a", (2, 3)) is first
    assert scratch.array("b", (2, 3)) is not first
    assert scratch.array("a", (3, 2)).shape == (3, 2)
    arrays = []
    thread = threading.Thread(target=lambda: arrays.append(scratch.array("b", (2, 3))))
    thread.start()
    thread.join()
    assert not np.shares_memory(arrays[0], scratch.array("b", (2, 3)))


def test_pooled_arrays_begin_at_multiples_of_64_bytes_and_are_apart():
    arrays = [pooled_array((count % 7 + 1, 3, 3)) for count in range(40)]
    assert {array.ctypes.data % 64 for array in arrays} == {0}
    assert all(array.flags.c_contiguous and array.flags.writeable for array in arrays)
    for number, array in enumerate(arrays):
        array[:] = number
    assert all((array == number).all() for number, array in enumerate(arrays))


def test_pooled_memory_is_used_again_when_the_last_view_is_gone():
    shape = (5, 1234)
    first = pooled_array(shape)
    address = first.ctypes.data
    row, part = first[3], first.reshape(-1)[10:20][::2]
    row[:], part[:] = 7, 9
    del first
    second = pooled_array(shape)  # the rows are still seen
    assert second.ctypes.data != address
    second[:] = 1
    assert (row == 7).all()
    del row
    assert pooled_array(shape).ctypes.data not in (address, second.ctypes.data)
    assert (part == 9).all()
    del part
    reused = [pooled_array(shape), pooled_array(shape)]
    assert address in [array.ctypes.data for array in reused]


def test_memory_that_tensorflow_still_holds_is_not_reused():
    import tensorflow as tf

    def make(number):
        array = pooled_array((1, 4096))
        array[:] = number
        return array

    held = [tf.numpy_function(make, [number], tf.uint8) for number in range(20)]
    views = [tensor.numpy() for tensor in held]
    del held
    for number in range(100, 120):
        tf.numpy_function(make, [number], tf.uint8)
    assert [int(view[0, 0]) for view in views] == list(range(20))
    assert all((view == view[0, 0]).all() for view in views)
