"""The training step compiled for a TPU: the collectives in its program's text."""

import keras

from Utils.training import compiled_step

# As libtpu 0.0.42 prints them, cut.
PROGRAM = """
  %all-reduce.5 = f32[16,6]{1,0:T(8,128)} all-reduce(%fusion.3), channel_id=1, replica_groups={{0,1}}
  %ar = (f32[10]{0:T(128)}, bf16[4,4]{1,0:T(8,128)(2,1)}) all-reduce(%a, %b), channel_id=2
  %all-gather-start.1 = (u8[4,2]{1,0}, u8[32,2]{1,0}) all-gather-start(%p), channel_id=3
  %all-gather-done.1 = u8[32,2]{1,0} all-gather-done(%all-gather-start.1)
  %all-reduce-scatter = pred[8]{0} reduce-scatter(%c), channel_id=4
  %fusion.9 = f32[100]{0} fusion(%all-reduce.5), calls=%all-reduce-computation
  ROOT %t = (f32[], s32[3]) tuple(%x, %y)
"""


def test_collectives_are_counted_by_the_bytes_of_their_results():
    assert compiled_step.collective_bytes(PROGRAM) == {
        "all-gather": 32 * 2,
        "all-reduce": 16 * 6 * 4 + 10 * 4 + 16 * 2,
        "reduce-scatter": 8,
    }


def test_variables_of_a_model_that_is_only_compiled_take_no_memory():
    with compiled_step.weights_without_memory():
        layer = keras.layers.Dense(10**6)
        layer.build((None, 10**6))  # 4 TB
    assert (layer.kernel.shape, layer.kernel._value.strides) == ((10**6, 10**6), (0, 0))
    layer = keras.layers.Dense(2, kernel_initializer="ones")
    layer.build((None, 2))
    assert keras.ops.convert_to_numpy(layer.kernel).sum() == 4


def test_estimates_that_make_no_sense_are_none():
    values = [1.5, 0.0, -3.0, float("nan"), float("inf"), None]
    assert [compiled_step._positive(value) for value in values] == [1.5, None, None, None, None, None]
