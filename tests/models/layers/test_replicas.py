"""Models/layers/replicas.py: replicas of a tensorflow strategy, in a process with two devices."""

import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[3]


REPLICAS = """
import Models  # first: it starts Keras without what Keras never uses
import numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from Models.layers import randomness, residual
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
with strategy.scope():
    layers = residual.StochasticDepth(0.5, seed=7), randomness.Dropout(0.5, seed=8)
    for layer in layers:
        layer.build((None, 1))
@tf.function
def step():
    return strategy.run(lambda: tf.concat([l(tf.ones((64, 1)), training=True) for l in layers], 0))
seen = [np.array(part) for _ in range(2) for part in strategy.experimental_local_results(step())]
masks = [half.tobytes() for part in seen for half in np.split(part, 2)]
assert len(seen) == 4 and len(set(masks)) == 8, (len(seen), len(set(masks)))

from Models.layers.augmentation import BatchAugmentation
random = np.random.default_rng(0)
images = random.integers(0, 256, (8, 9, 9, 3), np.uint8)
draws = random.random((8, 4)).astype("float32")
def parts(array):
    per_replica = lambda context: tf.constant(np.split(array, 2)[context.replica_id_in_sync_group])
    return strategy.experimental_distribute_values_from_function(per_replica)
for group, partners in ((None, random.permutation(8)), (2, np.arange(8) ^ 1)):
    draws[:, 3] = partners
    layer = BatchAugmentation(group)
    augment = tf.function(lambda *inputs: layer(list(inputs), training=True))
    halves = strategy.experimental_local_results(strategy.run(augment, (parts(images), parts(draws))))
    whole = BatchAugmentation()([images, draws], training=True)
    np.testing.assert_allclose(np.concatenate(halves), whole, atol=1e-3)
"""


@pytest.mark.slow
def test_replicas_draw_different_masks_and_mix_with_one_another():
    words = [sys.executable, "-c", REPLICAS]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
