"""images/s of a training step: of our models, and of timm's of the same shape on torch, the peer.

A step is forward, backward, SGD with momentum and binary cross entropy. Both sides take turns on the same
cores; ratios are the median over rounds.
"""

import argparse
import contextlib
import os
from collections.abc import Callable
from typing import Any

import numpy as np

from Utils.bench import timing, timm_peer
from Utils.command.backend import prepare_backend
from Utils.command.cli import Parser, assignment, number

LEARNING_RATE = 1e-5  # the batch is noise: weights shall move and stay finite


def add_arguments(parser: Parser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add("--model", nargs="+", default=["ConvNext/T"], metavar="FAMILY/VARIANT")
    add("--image-size", type=number(above=0), default=224, help="side of the images (224)")
    add("--batch-size", type=number(above=0), default=8, help="images in a batch (8)")
    add("--num-labels", type=number(above=0), default=2380, help="labels (2380)")
    add("--rounds", type=number(above=0), default=5, help="rounds; every side runs once in each (5)")
    add("--steps", type=number(above=0), default=2, help="steps per round (2)")
    add("--threads", type=number(above=0), default=timing.num_cores(), help="cores of each side (all)")
    add("--set", action="append", default=[], metavar="FIELD=VALUE", help="a field of every model")
    add("--peer", metavar="timm|timm:NAME", help="measure timm's model of the same shape too")


def run_benchmark(options: argparse.Namespace) -> dict[str, Any]:
    """Measure training steps, ours and the peer's in turns, each in a process of its own."""
    overrides = dict(assignment("--set", text) for text in options.set)
    peers = {}
    if options.peer:
        peers = {model: timm_peer.model_name(model, options.peer) for model in options.model}
    setup = {name: getattr(options, name) for name in ("image_size", "batch_size", "num_labels", "threads")}
    setup["load before"] = round(os.getloadavg()[0], 2)
    figures, ratios, rounds = {}, {}, {}
    for model in options.model:
        speeds = _rounds(model, overrides, peers.get(model), options)
        rounds |= speeds
        figures |= {side: float(np.median(values)) for side, values in speeds.items()}
        if peers:
            ours, theirs = speeds.values()
            ratios[f"{model} to {peers[model]}"] = float(np.median(np.divide(ours, theirs)))
    result = {"part": "train", "unit": "images/s", "setup": setup, "figures": figures, "ratios": ratios}
    return result | {"rounds": rounds}


def _rounds(
    model: str, overrides: dict[str, Any], peer: str | None, options: argparse.Namespace
) -> dict[str, list[float]]:
    """Return ``{side: images/s of every round}``."""
    sizes = {name: getattr(options, name) for name in ("image_size", "batch_size", "num_labels")}
    with contextlib.ExitStack() as stack:

        def start(make: Callable[..., Any], *arguments: Any) -> timing.TimedProcess:
            process = stack.enter_context(timing.TimedProcess(options.threads, make, *arguments))
            process.seconds(2)  # compiles
            return process

        ours = start(_our_step, model, overrides, sizes)
        label, rates = ours.facts
        sides = {label: ours}
        if peer:
            theirs = start(timm_peer.training_step, peer, rates, _noise(**sizes), LEARNING_RATE)
            sides[theirs.facts[0]] = theirs
        speeds: dict[str, list[float]] = {label: [] for label in sides}
        for label in timing.alternate(sides, options.rounds):
            seconds = sum(sides[label].seconds(options.steps))
            speeds[label].append(options.steps * options.batch_size / seconds)
    return speeds


def _noise(image_size: int, batch_size: int, num_labels: int) -> tuple[np.ndarray, np.ndarray]:
    """Return images (B, S, S, 3), 0..255, and labels (B, num_labels), 1% of them true, both float32."""
    random = np.random.default_rng(0)
    images = random.random((batch_size, image_size, image_size, 3), np.float32) * 255
    return images, (random.random((batch_size, num_labels)) < 0.01).astype(np.float32)


def _our_step(
    model: str, overrides: dict[str, Any], sizes: dict[str, int]
) -> tuple[Callable[[], Any], str, dict[str, float]]:
    """Return a training step as train.py takes it, what it is, and the rates of dropout in timm's words."""
    prepare_backend()
    import Models
    from Utils.recipe.options import OptimizerOptions
    from Utils.training import devices, losses, optimizers

    strategy = devices.find()
    spec = Models.spec(model, **overrides)
    with strategy.scope():
        net = Models.build(
            model,
            image_size=sizes["image_size"],
            num_labels=sizes["num_labels"],
            classifier_activation=None,
            **overrides,
        )
        optimizer = optimizers.build(OptimizerOptions(optimizer="sgd"), LEARNING_RATE)
        jit_compile: Any = strategy.jit_compile  # Keras annotates nothing; "auto" would be inferred
        net.compile(optimizer, losses.SummedBCE(), jit_compile=jit_compile)
    images, labels = _noise(**sizes)
    rates = {"drop_rate": spec.dropout, "drop_path_rate": spec.stochastic_depth}
    return lambda: net.train_on_batch(images, labels), f"{model} ({strategy.text.partition(',')[0]})", rates
