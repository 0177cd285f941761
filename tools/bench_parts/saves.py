"""seconds that training waits for a checkpoint: of weights in parts, written by a thread, and of whole ones.

Whole weights, the peer, are captured, checked and written by the first host while training waits: the way of
runs without --shard-model. Each way runs in a process of its own, on devices that share this machine's cores:
parts on --devices of them, whole weights on one. The state is that of AdamW, three times the weights.
"""

import argparse
import os
import pathlib
import statistics
import tempfile
import time
from typing import Any

from Utils.bench import timing
from Utils.command.backend import prepare_backend
from Utils.command.cli import Parser, assignment, number


def add_arguments(parser: Parser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add("--model", default="ViT/L16", metavar="F/V", help="Family/Variant (ViT/L16)")
    add("--set", action="append", default=[], metavar="FIELD=VALUE", help="a field of the model's Spec")
    add("--image-size", type=number(above=0), default=64, help="side of the model's images (64)")
    add("--num-labels", type=number(above=0), default=5500, help="the model's tags (5500)")
    add("--devices", type=number(above=1), default=4, help="devices that the weights are spread over (4)")
    add("--rounds", type=number(above=0), default=3, help="saves of each way, of which the median counts (3)")


def run_benchmark(options: argparse.Namespace) -> dict[str, Any]:
    """Measure both ways."""
    fields = dict(assignment("--set", text) for text in options.set)
    model = {"name": options.model, "image_size": options.image_size, "num_labels": options.num_labels}
    ways = {"parts, written by a thread": options.devices, "peer: whole, written at once": 1}
    results = {
        name: timing.call_in_new_process(_seconds, {**model, **fields}, devices, options.rounds)
        for name, devices in ways.items()
    }
    waits, durations, parameters = zip(*results.values(), strict=True)
    setup = {"model": options.model, **fields, "parameters": f"{parameters[0]:,}", "devices": options.devices}
    setup |= {
        f"seconds until {name.partition(',')[0].removeprefix('peer: ')} ones are on disk": round(seconds, 1)
        for name, seconds in zip(ways, durations, strict=True)
    }
    ratios = {"wait for parts to the peer's": waits[0] / waits[1]}
    figures = dict(zip(ways, waits, strict=True))
    return {"part": "saves", "unit": "s", "setup": setup, "figures": figures, "ratios": ratios}


def _seconds(model: dict[str, Any], num_devices: int, rounds: int) -> tuple[float, float, int]:
    """Return how long ``save`` takes, how long until all is on disk, and the model's parameters."""
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={num_devices}"
    os.environ.update(KERAS_BACKEND="jax", JAX_PLATFORMS="cpu", XLA_FLAGS=flags)
    prepare_backend()
    import Models
    from Utils.recipe.options import OptimizerOptions
    from Utils.training import checkpoint_savers, devices, losses, optimizers
    from Utils.training.weight_sharding import WeightSharding

    axes = Models.family(model["name"]).SHARD_AXES
    found = devices.find(WeightSharding(num_devices, axes) if num_devices > 1 else None)
    net = Models.build(**model, classifier_activation=None)
    net.compile(optimizers.build(OptimizerOptions(optimizer="adamw"), 1e-4), losses.SummedBCE())
    net.optimizer.build(net.trainable_variables)
    waits, durations = [], []
    with tempfile.TemporaryDirectory() as folder:
        saver = checkpoint_savers.build(pathlib.Path(folder), 1, found)
        for step in range(1, rounds + 1):
            begin = time.perf_counter()
            saver.save(net, step)
            waits.append(time.perf_counter() - begin)
            saver.wait()
            durations.append(time.perf_counter() - begin)
    return statistics.median(waits), statistics.median(durations), net.count_params()
