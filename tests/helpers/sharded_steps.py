"""Run by test_weight_sharding.py in a process of its own: three steps of every family on 4 CPU devices.

Prints one JSON object: ``{model: {ways: [difference, change, bytes on a device, expected, of all]}}``.
"""

import json
import sys

import keras
import numpy as np

import Models
from helpers import steps_on_devices
from Utils.training import checkpoints, devices
from Utils.training.weight_sharding import WeightSharding

STEPS, DEVICES = 3, 4


def stepped(name, ways):
    """Return the model after three steps, its weights in ``ways`` parts, and the states before and after."""
    sharding = WeightSharding(ways, Models.family(name).SHARD_AXES) if ways > 1 else None
    on = devices.Devices("", "CPU", DEVICES if sharding else 1, True, sharding=sharding)
    model = steps_on_devices.compiled_model(name, {}, on)
    before = checkpoints.capture(model)
    images, labels = steps_on_devices.batch(STEPS * steps_on_devices.BATCH)
    model.fit(images, labels, batch_size=steps_on_devices.BATCH, shuffle=False, verbose=0)
    return model, before, checkpoints.capture(model)


def bytes_on_devices(variables):
    """Return the bytes of variables on each device, all of which must agree."""
    sizes = {}
    for variable in variables:
        for shard in variable.value.addressable_shards:
            sizes[shard.device] = sizes.get(shard.device, 0) + shard.data.nbytes
    assert len(set(sizes.values())) == 1, sizes
    return next(iter(sizes.values()))


def compared(name, ways_tried):
    """Compare each way with one device."""
    _, start, one = stepped(name, 1)
    numbers = [key for key in one if "seed" not in key and "metrics/" not in key]  # these are sums
    change = steps_on_devices.largest(one, start, [key for key in numbers if key.startswith("model/")])
    results = {}
    for ways in ways_tried:
        model, before, after = stepped(name, ways)
        assert all(np.array_equal(before[key], start[key]) for key in numbers)
        state = [*model.trainable_variables, *model.optimizer.variables]
        size_of = lambda variable: variable.value.nbytes  # noqa: E731
        sharding = keras.distribution.distribution().sharding
        results[ways] = [
            steps_on_devices.largest(one, after, numbers),
            change,
            bytes_on_devices(state),
            sharding.bytes_on_a_device(state, model.trainable_variables, size_of),
            sum(map(size_of, state)),
        ]
    return results


def main(ways_tried, families):
    """Compare the first tiny model of families, of all if none is named."""
    names = [name for name, options in steps_on_devices.models() if not options]
    chosen = [name for name in names if not families or name.split("/")[0] in families]
    print(json.dumps({name: compared(name, ways_tried) for name in chosen}))


if __name__ == "__main__":
    main([int(ways) for ways in sys.argv[1].split(",")], sys.argv[2:])
