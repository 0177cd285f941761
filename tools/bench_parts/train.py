"""images/s of a training step: of our models, and of timm's of the same shape on torch, the peer.

A step is forward, backward, SGD with momentum and binary cross entropy; its batch is on the device already.
Both sides take turns on the same cores; ratios are the median over rounds. With --limit also large matrix
products of that precision are measured: a step has three times the FLOPs of its forward pass.
"""

import argparse
import contextlib
import os
from collections.abc import Callable
from typing import Any

import numpy as np

from Utils.bench import matrix_products, timing, timm_peer
from Utils.bench.matrix_products import POLICIES
from Utils.command.cli import Parser, UserError, assignment, number

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
    add("--dtype", choices=[*POLICIES, "auto"], default="float32", help="of the computation (float32)")
    add("--backend", choices=("tensorflow", "jax"), help="of Keras (KERAS_BACKEND)")
    add("--peer", metavar="timm|timm:NAME", help="measure timm's model of the same shape too")
    add("--compile-peer", action="store_true", help="with torch.compile")
    add("--limit", action="store_true", help="also measure large matrix products")


def run_benchmark(options: argparse.Namespace) -> dict[str, Any]:
    """Measure training steps, ours and the peer's in turns, each in a process of its own."""
    overrides = dict(assignment("--set", text) for text in options.set)
    if options.compile_peer and not options.peer:
        raise UserError("--compile-peer is of the peer; name one with --peer timm")
    peers = {}
    if options.peer:
        peers = {model: timm_peer.model_name(model, options.peer) for model in options.model}
    setup = {name: getattr(options, name) for name in ("image_size", "batch_size", "num_labels", "threads")}
    setup |= {"dtype": options.dtype, "load before": round(os.getloadavg()[0], 2)}
    figures, ratios, rounds = {}, {}, {}
    for model in options.model:
        speeds, flops, limit = _rounds(model, overrides, peers.get(model), options)
        rounds |= speeds
        figures |= {side: float(np.median(values)) for side, values in speeds.items()}
        ours = next(iter(speeds.values()))
        if peers:
            theirs = list(speeds.values())[1]
            ratios[f"{model} to {peers[model]}"] = float(np.median(np.divide(ours, theirs)))
        if limit:
            figures[f"limit: {model} as fast as matrix products"] = limit / flops
            ratios[f"{model} to the limit"] = float(np.median(ours)) * flops / limit
    result = {"part": "train", "unit": "images/s", "setup": setup, "figures": figures, "ratios": ratios}
    return result | {"rounds": rounds}


def _rounds(
    model: str, overrides: dict[str, Any], peer: str | None, options: argparse.Namespace
) -> tuple[dict[str, list[float]], float, float]:
    """Return ``{side: images/s of every round}``, ours first; our FLOPs an image; FLOP/s of the limit."""
    sizes = {name: getattr(options, name) for name in ("image_size", "batch_size", "num_labels")}
    with contextlib.ExitStack() as stack:

        def start(make: Callable[..., Any], *arguments: Any) -> timing.TimedProcess:
            process = stack.enter_context(timing.TimedProcess(options.threads, make, *arguments))
            process.seconds(2)  # compiles
            return process

        ours = start(our_step, model, overrides, sizes, options.backend, options.dtype)
        facts = ours.facts[0]
        dtype, limit = facts["dtype"], 0.0
        if options.limit:
            side = matrix_products.SIDE if facts["kind"] == "CPU" else matrix_products.LARGE_SIDE
            chain = 1 if facts["kind"] == "CPU" else matrix_products.CHAIN
            products = start(matrix_products.prepared, options.backend, dtype, side, chain)
            limit = products.facts[0] / min(products.seconds(options.rounds))  # the best call, not the median
        sides = {facts["label"]: ours}
        if peer:
            rates, batch = facts["rates"], _noise(**sizes)
            settings = rates, batch, LEARNING_RATE, dtype, options.compile_peer
            theirs = start(timm_peer.training_step, peer, *settings)
            sides[theirs.facts[0]] = theirs
        speeds: dict[str, list[float]] = {label: [] for label in sides}
        for label in timing.alternate(sides, options.rounds):
            seconds = sum(sides[label].seconds(options.steps))
            speeds[label].append(options.steps * options.batch_size / seconds)
    return speeds, facts["flops"], limit


def _noise(image_size: int, batch_size: int, num_labels: int) -> tuple[np.ndarray, np.ndarray]:
    """Return images (B, S, S, 3), 0..255, and labels (B, num_labels), 1% of them true, both float32."""
    random = np.random.default_rng(0)
    images = random.random((batch_size, image_size, image_size, 3), np.float32) * 255
    return images, (random.random((batch_size, num_labels)) < 0.01).astype(np.float32)


def our_step(
    model: str, overrides: dict[str, Any], sizes: dict[str, int], backend: str | None, dtype: str
) -> tuple[Callable[[], Any], dict[str, Any]]:
    """Return a training step as train.py takes it, and what it is.

    The facts are ``label``, ``kind`` of the device, ``dtype``, ``rates`` of dropout in timm's words, and
    ``flops`` for an image.
    """
    keras = matrix_products.import_keras(backend)
    import Models
    from Models import summary
    from Utils.recipe.options import OptimizerOptions
    from Utils.training import devices, losses, optimizers

    found = devices.find()
    policy = POLICIES.get(dtype, found.dtype_policy)
    spec = Models.spec(model, **overrides)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        with found.scope():
            net = Models.build(
                model,
                image_size=sizes["image_size"],
                num_labels=sizes["num_labels"],
                classifier_activation=None,
                **overrides,
            )
            optimizer = optimizers.build(OptimizerOptions(optimizer="sgd"), LEARNING_RATE)
            jit_compile: Any = found.jit_compile  # Keras annotates nothing; "auto" would be inferred
            net.compile(optimizer, losses.SummedBCE(), jit_compile=jit_compile)
    finally:
        keras.config.set_dtype_policy(before)
    images, labels = map(keras.ops.convert_to_tensor, _noise(**sizes))
    facts = {
        "label": f"{model} ({found.text.partition(',')[0]}, {policy})",
        "kind": found.kind,
        "dtype": next(name for name, value in POLICIES.items() if value == policy),
        "rates": {"drop_rate": spec.dropout, "drop_path_rate": spec.stochastic_depth},
        "flops": 3 * 2 * summary.total_macs(net),
    }
    return lambda: net.train_on_batch(images, labels), facts
