"""Run in a separate process: two CPU devices, and the weights that they train.

``two_devices.py FILE.npz`` writes the weights and prints the facts as JSON. The environment names the backend
and gives jax its second device.
"""

import json
import sys

import numpy as np

import Models  # noqa: F401  first: it starts Keras without what Keras never uses
from helpers.losses_on_devices import kernels_by_loss
from helpers.optimized import weights_by_optimizer
from Utils.training import devices


def main(file):
    """Find the devices, train, print."""
    import keras

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        pair = [tf.config.LogicalDeviceConfiguration()] * 2
        tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], pair)
    both = devices.find()
    with both.scope():
        by_loss = {f"loss/{name}": kernel for name, kernel in kernels_by_loss().items()}
        np.savez(file, **weights_by_optimizer(), **by_loss)
    facts = {name: getattr(both, name) for name in ("text", "kind", "replicas", "jit_compile")}
    print(json.dumps({**facts, "has_strategy": both.strategy is not None}))


if __name__ == "__main__":
    main(sys.argv[1])
