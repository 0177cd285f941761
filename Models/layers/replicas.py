"""Replicas of a TensorFlow distribution strategy: their number, this one's index, all-gather of rows.

Under ``tf.distribute`` every replica computes on its part of the global batch. On JAX a layer sees the global
batch on any number of devices, so the functions answer as for one replica. ``keras.ops`` has no name for
replicas, therefore this file asks tensorflow.
"""

from typing import Any

import keras

from Models.layers.tensors import Tensor


def num_replicas() -> int:
    """Return how many replicas of a tensorflow strategy run together; 1 on other backends."""
    context = _context()
    return 1 if context is None else context.num_replicas_in_sync


def replica_id() -> Tensor:
    """Return the number of this replica, an int or a scalar tensor; 0 if it is the only one."""
    return 0 if num_replicas() == 1 else _context().replica_id_in_sync_group


def all_gather(x: Tensor) -> Tensor:
    """Return the rows of ``x`` (B, ...) on all replicas, in the order of the global batch."""
    return x if num_replicas() == 1 else _context().all_gather(x, axis=0)


def _context() -> Any:
    """Return the replica context of tensorflow, None on other backends."""
    if keras.backend.backend() != "tensorflow":
        return None
    import tensorflow as tf  # here, because other backends need no tensorflow

    # None too while a strategy builds the model, outside of its replicas: there is nothing to gather then.
    return tf.distribute.get_replica_context()
