"""The replicas of a tensorflow strategy, which share a global batch and see a part of it each.

On JAX a step is of the global batch, whatever the number of devices, and nothing needs to be done. This is
the one file of ``Models`` that asks tensorflow for a replica, because ``keras.ops`` has no name for it.
"""

import keras


def replicas():
    """Return how many replicas of a tensorflow strategy run this together; 1 on other backends."""
    context = _context()
    return 1 if context is None else context.num_replicas_in_sync


def replica():
    """Return the number of this replica (an int or a scalar tensor), 0 where there is but one."""
    return 0 if replicas() == 1 else _context().replica_id_in_sync_group


def gathered(x):
    """Return the rows of ``x`` (B, ...) on all replicas, which are those of the global batch, in order."""
    return x if replicas() == 1 else _context().all_gather(x, axis=0)


def _context():
    if keras.backend.backend() != "tensorflow":
        return None
    import tensorflow as tf

    return tf.distribute.get_replica_context()
