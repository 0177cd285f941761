"""Run by test_hosts.py: train.py as one host of several, which tells its state and what it read.

``one_host.py STOP FLAG...``: STOP is the step at which this host gets SIGTERM, 0 for never. Prints a JSON
line ``{"step": n, "state": digests}`` whenever the state is captured, and ``{"read": ids}`` at last.
"""

import hashlib
import json
import os
import signal
import sys
import time

import train


def main(stop, *flags):
    """Train with eyes and a signal built in."""
    import numpy as np

    from Generators import batches, host_sharding
    from Utils.training import checkpoints, loop

    host_sharding.MIN_RECORDS, host_sharding.MIN_ROWS = 10, 4  # two streams of a tiny dataset
    capture, begin, make, read = (
        checkpoints.capture,
        loop.TrainingLoop.on_train_batch_begin,
        batches.multi_hot,
        [],
    )

    def seen(model):
        arrays = capture(model)
        digests = {name: hashlib.sha256(arrays[name].tobytes()).hexdigest()[:8] for name in sorted(arrays)}
        print(json.dumps({"step": int(arrays["optimizer/sgd/iteration"]), "state": digests}), flush=True)
        return arrays

    def stopped(training, batch, logs=None):
        if training.fit_start + batch == int(stop) > 0:
            os.kill(os.getpid(), signal.SIGTERM)
        if int(stop):
            time.sleep(0.1)
        return begin(training, batch, logs)

    def reading(ids, *others):
        read.extend(np.asarray(ids).tolist())
        return make(ids, *others)

    checkpoints.capture, loop.TrainingLoop.on_train_batch_begin, batches.multi_hot = seen, stopped, reading
    code = train.main(list(flags))
    print(json.dumps({"read": read}), flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
